//! Files and folders on disk, with inotify and the clock.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use fairlead_core::api::{Change, Kind};
use fairlead_source::manifests::{Manifests, SourceError};

/// Manifests, and what they said.
struct Reader {
    manifests: Manifests,
    said: Vec<String>,
    problems: Vec<String>,
}

impl Reader {
    fn open(path: &Path) -> Reader {
        let manifests = Manifests::open(path).unwrap();
        let mut reader = Reader {
            manifests,
            said: Vec::new(),
            problems: Vec::new(),
        };
        reader.turn();
        reader
    }

    fn turn(&mut self) {
        let said = &mut self.said;
        let mut say = |change| said.push(short(&change));
        let problems = self.manifests.changes(Instant::now(), &mut say);
        self.problems
            .extend(problems.iter().map(ToString::to_string));
    }

    /// Waits until so many things were said, and returns them sorted.
    fn wait(&mut self, count: usize) -> Vec<String> {
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.said.len() < count && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
            self.turn();
        }
        let mut said = std::mem::take(&mut self.said);
        said.sort();
        said
    }

    /// What is said in a time in which everything should have settled.
    fn rest(&mut self) -> Vec<String> {
        let end = Instant::now() + Duration::from_millis(400);
        while Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
            self.turn();
        }
        std::mem::take(&mut self.said)
    }
}

fn short(change: &Change) -> String {
    match change {
        Change::Service(service) => format!("{} {}", service.name, service.ports[0].port),
        Change::Deleted(_, name) => format!("-{name}"),
        Change::Synced(kind) => format!("synced {kind}"),
        other => panic!("{other:?}"),
    }
}

fn service(name: &str, port: u16) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{ports: [{{port: {port}}}]}}\n"
    )
}

#[test]
fn a_folder_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("a.yaml"), service("a", 1)).unwrap();
    fs::write(
        at("b.json"),
        r#"{"apiVersion":"v1","kind":"Node","metadata":{}}"#,
    )
    .unwrap();
    for leftover in [
        ".a.yaml.swp",
        "a.yaml~",
        ".hidden.yaml",
        "#a.yaml#",
        "README.md",
    ] {
        fs::write(at(leftover), service("x", 1)).unwrap();
    }
    fs::create_dir(at("sub.yaml")).unwrap();
    let mut reader = Reader::open(folder.path());
    assert_eq!(reader.said[0], "default/a 1");
    assert_eq!(
        reader.said[1..],
        Kind::ALL.map(|kind| format!("synced {kind}"))
    );
    let problem = &reader.problems[0];
    assert!(problem.contains("b.json:1: metadata.name"), "{problem}");
    reader.said.clear();

    fs::write(at("c.yml"), service("c", 1)).unwrap();
    assert_eq!(reader.wait(1), ["default/c 1"]);
    fs::write(at("a.yaml"), service("a", 2)).unwrap();
    assert_eq!(reader.wait(1), ["default/a 2"]);
    fs::write(at("a.yaml.new"), service("a", 3)).unwrap();
    fs::rename(at("a.yaml.new"), at("a.yaml")).unwrap();
    assert_eq!(reader.wait(1), ["default/a 3"]);
    fs::rename(at("a.yaml"), at("z.yaml")).unwrap();
    assert!(reader.rest().is_empty(), "the same object in another file");
    fs::remove_file(at("z.yaml")).unwrap();
    assert_eq!(reader.wait(1), ["-default/a"]);
}

#[test]
fn a_single_file_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("objects");
    fs::write(&file, service("a", 1)).unwrap();
    let mut reader = Reader::open(&file);
    assert_eq!(reader.wait(5).len(), 5);
    fs::write(folder.path().join("other.yaml"), service("b", 1)).unwrap();
    fs::remove_file(&file).unwrap();
    fs::write(&file, service("a", 2)).unwrap();
    assert_eq!(
        reader.wait(1),
        ["default/a 2"],
        "away and back at once is no deletion"
    );
    fs::remove_file(&file).unwrap();
    assert_eq!(reader.wait(1), ["-default/a"]);
}

#[test]
fn a_slow_writer_deletes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.yaml");
    let both = format!("{}---\n{}", service("a", 1), service("b", 1));
    fs::write(&file, &both).unwrap();
    let mut reader = Reader::open(folder.path());
    assert_eq!(reader.wait(6).len(), 6);
    let mut writer = fs::File::create(&file).unwrap();
    assert!(reader.rest().is_empty(), "the file is empty now");
    writer.write_all(service("a", 2).as_bytes()).unwrap();
    assert!(reader.rest().is_empty(), "its end may be half a document");
    writer.write_all(b"---\n").unwrap();
    writer.write_all(service("c", 1).as_bytes()).unwrap();
    assert_eq!(reader.rest(), ["default/a 2"]);
    drop(writer);
    assert_eq!(reader.wait(2), ["-default/b", "default/c 1"]);
}

#[test]
fn a_config_map_is_swapped() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for (version, port) in [("..1", 1), ("..2", 2)] {
        fs::create_dir(at(version)).unwrap();
        fs::write(at(version).join("a.yaml"), service("a", port)).unwrap();
    }
    fs::write(at("..1/b.yaml"), service("b", 1)).unwrap();
    symlink("..1", at("..data")).unwrap();
    symlink("..data/a.yaml", at("a.yaml")).unwrap();
    symlink("..data/b.yaml", at("b.yaml")).unwrap();
    let mut reader = Reader::open(folder.path());
    assert_eq!(reader.wait(6)[..2], ["default/a 1", "default/b 1"]);
    let mut single = Reader::open(&at("a.yaml"));
    assert_eq!(single.wait(5)[0], "default/a 1");

    symlink("..2", at("..data_tmp")).unwrap();
    fs::rename(at("..data_tmp"), at("..data")).unwrap();
    fs::remove_file(at("b.yaml")).unwrap();
    fs::remove_dir_all(at("..1")).unwrap();
    assert_eq!(reader.wait(2), ["-default/b", "default/a 2"]);
    assert_eq!(single.wait(1), ["default/a 2"]);
}

#[test]
fn a_folder_that_vanishes_takes_nothing_along() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("manifests");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("a.yaml"), service("a", 1)).unwrap();
    fs::write(folder.join("b.yaml"), service("b", 1)).unwrap();
    let mut reader = Reader::open(&folder);
    assert_eq!(reader.wait(6).len(), 6);
    fs::remove_dir_all(&folder).unwrap();
    assert!(reader.rest().is_empty());
    assert_eq!(reader.problems.len(), 1, "{:?}", reader.problems);
    assert!(
        reader.problems[0].contains("what was read from it stays"),
        "{:?}",
        reader.problems
    );

    let made = parent.path().join("made");
    fs::create_dir(&made).unwrap();
    fs::write(made.join("a.yaml"), service("a", 2)).unwrap();
    fs::rename(&made, &folder).unwrap();
    assert_eq!(reader.wait(2), ["-default/b", "default/a 2"]);
    fs::write(folder.join("a.yaml"), service("a", 3)).unwrap();
    assert_eq!(reader.wait(1), ["default/a 3"], "the new folder is watched");
    assert_eq!(reader.manifests.problems().count(), 0);
}

/// The way `rm -r` and `cp -r` do it, with a look in between.
#[test]
fn a_folder_that_vanishes_and_returns_by_and_by_takes_nothing_along() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("manifests");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("a.yaml"), service("a", 1)).unwrap();
    let mut reader = Reader::open(&folder);
    assert_eq!(reader.wait(5).len(), 5);
    fs::remove_file(folder.join("a.yaml")).unwrap();
    reader.turn();
    fs::remove_dir(&folder).unwrap();
    assert!(reader.rest().is_empty());

    fs::create_dir(&folder).unwrap();
    while reader.manifests.problems().count() > 0 {
        std::thread::sleep(Duration::from_millis(5));
        reader.turn();
    }
    fs::write(folder.join("a.yaml"), service("a", 1)).unwrap();
    assert!(reader.rest().is_empty());
}

#[test]
fn the_next_description_counts_when_the_one_that_did_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("a.yaml"), service("x", 1)).unwrap();
    fs::write(at("b.yaml"), service("x", 2)).unwrap();
    let mut reader = Reader::open(folder.path());
    assert_eq!(reader.wait(5)[0], "default/x 2");
    assert_eq!(reader.problems.len(), 1);
    fs::remove_file(at("b.yaml")).unwrap();
    assert_eq!(reader.wait(1), ["default/x 1"]);
    assert_eq!(reader.manifests.problems().count(), 0);
}

#[test]
fn a_path_that_cannot_be_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let error = Manifests::open(folder.path().join("none")).unwrap_err();
    assert!(matches!(error, SourceError::Missing(_)));
    let advice = "does not exist: name a manifest file, or a folder of .yaml, .yml and .json files";
    assert!(error.to_string().ends_with(advice));
}
