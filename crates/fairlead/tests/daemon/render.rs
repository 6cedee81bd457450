//! `fairlead render` prints what `fairlead run` programs, and nft(8) reads and prints both.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use fairlead_lab::Lab;
use libtest_mimic::Failed;
use serde_json::Value;
use tempfile::NamedTempFile;

use crate::many::many;
use crate::rig::{FAIRLEAD, Folder};
use crate::tests;
use crate::watch::{listing, on_node};

tests! {
    what_is_rendered_is_what_is_programmed,
    what_is_rendered_as_json_is_what_nft_lists_as_json,
    what_nft_prints_of_it_loads_again,
    nothing_but_elements_grows_with_the_services,
}

const RECORDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../lab/recorded");

/// Recorded cases that between them use everything there is.
const CASES: [&str; 5] = [
    "affinity",
    "dual-stack",
    "etp-local",
    "loadbalancer",
    "no-endpoints",
];

const FLAGS: [&str; 2] = [
    "--hostname-override=node1",
    "--cluster-cidr=10.244.0.0/16,fd00:10:244::/48",
];

fn what_is_rendered_is_what_is_programmed() -> Result<(), Failed> {
    let (running, rendered) = (Lab::new()?, Lab::new()?);
    for manifests in objects() {
        running.run_on_node(&mut run_once(&manifests))?;
        load(&rendered, &render(&rendered, "text", &manifests)?)?;
        assert_eq!(
            listing(&rendered)?,
            listing(&running)?,
            "{}",
            manifests.display()
        );
        flush([&running, &rendered])?;
    }
    Ok(())
}

/// nft 1.0.6 has JSON for less than it programs, so the names are compared.
fn what_is_rendered_as_json_is_what_nft_lists_as_json() -> Result<(), Failed> {
    let lab = Lab::new()?;
    for manifests in objects() {
        lab.run_on_node(&mut run_once(&manifests))?;
        let rendered = names(&render(&lab, "json", &manifests)?)?;
        assert!(rendered.len() > 40);
        assert_eq!(rendered, names(&on_node(&lab, "nft -j list ruleset")?)?);
        on_node(&lab, "nft flush ruleset")?;
    }
    Ok(())
}

fn what_nft_prints_of_it_loads_again() -> Result<(), Failed> {
    let (first, second) = (Lab::new()?, Lab::new()?);
    for manifests in objects() {
        first.run_on_node(&mut run_once(&manifests))?;
        load(&second, &on_node(&first, "nft list ruleset")?)?;
        assert_eq!(
            listing(&second)?,
            listing(&first)?,
            "{}",
            manifests.display()
        );
        flush([&first, &second])?;
    }
    Ok(())
}

fn nothing_but_elements_grows_with_the_services() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let folder = Folder::new(&[])?;
    let rendered = |services| {
        folder.write("many.json", many(services).to_string().as_bytes())?;
        names(&render(&lab, "json", folder.path())?)
    };
    let (few, many) = (rendered(10)?, rendered(1000)?);
    assert!(few.len() > 40);
    assert_eq!(few, many);
    Ok(())
}

fn objects() -> impl Iterator<Item = PathBuf> {
    CASES
        .iter()
        .map(|case| Path::new(RECORDED).join(case).join("objects.yaml"))
}

fn run_once(manifests: &Path) -> Command {
    let mut command = Command::new(FAIRLEAD);
    command
        .args(["run", "--once"])
        .args(FLAGS)
        .arg("--manifests")
        .arg(manifests);
    command
}

/// Renders without any privilege.
fn render(lab: &Lab, format: &str, manifests: &Path) -> Result<String, Failed> {
    let mut command = Command::new("setpriv");
    command.args([
        "--bounding-set=-all",
        "--inh-caps=-all",
        FAIRLEAD,
        "render",
        "--format",
        format,
    ]);
    let output = lab.run_on_node(command.args(FLAGS).arg("--manifests").arg(manifests))?;
    Ok(String::from_utf8(output.stdout)?)
}

fn load(lab: &Lab, script: &str) -> Result<(), Failed> {
    let mut file = NamedTempFile::new()?;
    file.write_all(script.as_bytes())?;
    Ok(lab
        .run_on_node(Command::new("nft").arg("-f").arg(file.path()))
        .map(drop)?)
}

fn flush(labs: [&Lab; 2]) -> Result<(), Failed> {
    for lab in labs {
        on_node(lab, "nft flush ruleset")?;
    }
    Ok(())
}

/// The tables, chains, sets and maps in the JSON of libnftables-json(5), as commands or listed.
fn names(json: &str) -> Result<BTreeSet<String>, Failed> {
    let document: Value = serde_json::from_str(json)?;
    let objects = document["nftables"]
        .as_array()
        .ok_or("there is no array nftables")?;
    let objects = objects
        .iter()
        .map(|object| object.get("add").unwrap_or(object));
    let name = |object: &Value| {
        ["table", "chain", "set", "map"].iter().find_map(|kind| {
            let fields = object.get(kind)?;
            Some(format!("{kind} {} {}", fields["family"], fields["name"]))
        })
    };
    Ok(objects.filter_map(name).collect())
}
