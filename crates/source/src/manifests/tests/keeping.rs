//! What stays, what goes, and when.

use std::time::Duration;

use super::{Desk, service};

fn files(documents: &[String]) -> String {
    documents.join("---\n")
}

#[test]
fn only_differences_are_said() {
    let mut desk = Desk::new();
    assert_eq!(
        desk.take("a", &files(&[service("x", 1), service("y", 1)]), 0)
            .len(),
        2
    );
    assert!(
        desk.take("a", &files(&[service("x", 1), service("y", 1)]), 1)
            .is_empty()
    );
    assert!(
        desk.take(
            "a",
            &files(&[service("y", 1), service("x", "1 # said anew")]),
            2
        )
        .is_empty()
    );
    assert_eq!(
        desk.take("a", &files(&[service("y", 2), service("x", 1)]), 3),
        ["default/y 2"]
    );
}

#[test]
fn an_object_goes_when_it_was_missing_long_enough() {
    let mut desk = Desk::new();
    desk.take("a", &files(&[service("x", 1), service("y", 1)]), 0);
    assert!(desk.take("a", &service("x", 1), 10).is_empty());
    assert!(desk.settle(109).is_empty());
    assert_eq!(desk.settle(110), ["-Service default/y"]);
    assert!(desk.settle(1000).is_empty(), "once");

    assert!(desk.take("a", &service("y", 1), 1000).len() == 1);
    assert!(
        desk.take("a", &service("x", 1), 1050).is_empty(),
        "it returned as it was"
    );
    assert_eq!(desk.settle(1200), ["-Service default/y"]);
}

#[test]
fn nothing_goes_while_its_file_is_restless() {
    let mut desk = Desk::new();
    desk.take("a", &files(&[service("x", 1), service("y", 1)]), 0);
    desk.take("a", &service("x", 1), 10);
    let later = desk.start + Duration::from_mins(1);
    let objects = &mut desk.book.objects;
    objects.settle(later, |file| file.ends_with("a"), &mut |change| {
        panic!("{change:?}")
    });
    assert_eq!(objects.due(|file| file.ends_with("a")), None);
    assert_eq!(
        objects.due(|_| false),
        Some(desk.start + Duration::from_millis(110))
    );
    assert_eq!(desk.settle(60_000), ["-Service default/y"]);
}

#[test]
fn a_document_that_cannot_be_read_leaves_its_object_alone() {
    let mut desk = Desk::new();
    desk.take(
        "a",
        &files(&[service("x", 1), service("y", 1), service("z", 1)]),
        0,
    );
    for broken in [
        service("x", "http"),
        service("x", "1").replace("spec:", "spec: ]"),
    ] {
        assert!(
            desk.take("a", &files(&[broken, service("z", 1)]), 10)
                .is_empty()
        );
        assert!(desk.news()[0].ends_with("; it stays as it was"));
    }
    assert_eq!(
        desk.settle(200),
        ["-Service default/y"],
        "the other one is gone without doubt"
    );
    assert!(
        desk.take("a", &files(&[service("x", 1), service("z", 1)]), 300)
            .is_empty()
    );
    assert_eq!(desk.book.problems().count(), 0);
}

#[test]
fn a_document_of_unknown_identity_could_be_any() {
    let mut desk = Desk::new();
    desk.take(
        "a",
        &files(&[service("x", 1), service("y", 1), service("z", 1)]),
        0,
    );
    let unnamed = service("x", 1).replace("  name: x\n", "");
    assert_eq!(
        desk.take("a", &files(&[unnamed, service("z", 2)]), 10),
        ["default/z 2"]
    );
    assert!(desk.settle(1000).is_empty());
    assert!(desk.news()[0].ends_with("; what this file described before stays"));
    desk.take("a", &service("z", 2), 2000);
    assert_eq!(
        desk.settle(2100),
        ["-Service default/x", "-Service default/y"]
    );
}

#[test]
fn a_file_that_ends_too_early_gives_nothing_up() {
    let mut desk = Desk::new();
    let json = |names: &[&str]| {
        let item = |name| {
            format!(
                r#"{{"apiVersion":"v1","kind":"Service","metadata":{{"name":"{name}"}},"spec":{{}}}}"#
            )
        };
        let items: Vec<_> = names.iter().map(item).collect();
        format!(
            r#"{{"apiVersion":"v1","kind":"List","items":[{}]}}"#,
            items.join(",")
        )
    };
    desk.take("a", &files(&[service("x", 1), service("y", 1)]), 0);
    desk.take("b", &json(&["v", "w"]), 0);
    for contents in [
        "",
        "\n# nothing\n",
        "---\n",
        "apiVersion: v1\nkind: Service\nmetadata:\n  na",
    ] {
        assert!(desk.take("a", contents, 10).is_empty());
        assert_eq!(desk.book.problems().count(), 1, "{contents}");
    }
    let half = service("x", 1).replace("ports:", "ports: [");
    assert!(
        desk.take("a", &half, 10).is_empty(),
        "it says whose it is, but not what follows"
    );
    assert!(
        desk.take("b", json(&["v"]).trim_end_matches('}'), 10)
            .is_empty()
    );
    assert!(desk.take_bytes("b", b"\xff\xfe{", true, 10).is_empty());
    assert!(desk.settle(1000).is_empty());
    desk.take("b", &json(&["v"]), 2000);
    assert_eq!(desk.settle(2100), ["-Service default/w"]);
    desk.take("b", &json(&[]), 3000);
    assert_eq!(
        desk.settle(3100),
        ["-Service default/v"],
        "a list can say that there are none"
    );
}

#[test]
fn while_a_writer_is_at_work_the_last_document_waits_and_nothing_goes() {
    let mut desk = Desk::new();
    desk.take("a", &files(&[service("x", 1), service("y", 1)]), 0);
    let half = files(&[service("x", 2), service("z", 1)]);
    let said = desk.take_bytes("a", half.as_bytes(), false, 10);
    assert_eq!(
        said.iter().map(super::short).collect::<Vec<_>>(),
        ["default/x 2"]
    );
    assert!(desk.settle(1000).is_empty());
    assert_eq!(desk.take("a", &half, 2000), ["default/z 1"]);
    assert_eq!(desk.settle(2100), ["-Service default/y"]);
}

#[test]
fn a_file_that_is_gone_takes_its_objects_along_unless_another_has_them() {
    let mut desk = Desk::new();
    desk.take("a", &files(&[service("x", 1), service("y", 1)]), 0);
    desk.book.gone(&super::path("a"), desk.start);
    assert!(
        desk.take("b", &service("x", 1), 50).is_empty(),
        "moved, not changed"
    );
    assert_eq!(desk.settle(100), ["-Service default/y"]);
}

#[test]
fn the_last_description_of_an_object_counts() {
    let mut desk = Desk::new();
    assert_eq!(
        desk.take("b", &files(&[service("x", 1), service("x", 2)]), 0),
        ["default/x 2"]
    );
    let message = "b:1: Service default/x: is described in a later document of this file too, which counts; remove one of them";
    assert_eq!(desk.news(), [message]);
    assert!(
        desk.take("b", &files(&[service("x", 1), service("x", 2)]), 1)
            .is_empty()
    );
    assert!(desk.news().is_empty(), "reported once");
    desk.take("b", &service("x", 2), 2);

    assert!(desk.take("a", &service("x", 3), 3).is_empty());
    assert_eq!(
        desk.news(),
        ["a:1: Service default/x: is described in b:1 too, which counts; remove one of them"]
    );
    assert_eq!(desk.take("c", &service("x", 4), 4), ["default/x 4"]);

    // What counted is gone: the next in line is asked to speak again.
    while desk.book.objects.next_again().is_some() {}
    desk.book.gone(&super::path("c"), desk.start);
    let again: Vec<_> = std::iter::from_fn(|| desk.book.objects.next_again()).collect();
    assert_eq!(again, [super::path("b"), super::path("a")]);
    assert_eq!(desk.take("b", &service("x", 2), 5), ["default/x 2"]);
    assert!(desk.take("a", &service("x", 3), 5).is_empty());
    assert!(desk.settle(1000).is_empty());
}

#[test]
fn a_list_is_as_good_as_documents() {
    let mut desk = Desk::new();
    let list = |items: &[String]| {
        let item = |text: &String| format!("- {}\n", text.trim_end().replace('\n', "\n  "));
        let items: String = items.iter().map(item).collect();
        format!("apiVersion: v1\nkind: List\nitems:\n{items}")
    };
    desk.take("a", &list(&[service("x", 1), service("y", 1)]), 0);
    assert!(
        desk.take("a", &files(&[service("x", 1), service("y", 1)]), 1)
            .is_empty()
    );
    assert!(
        desk.take("a", &list(&[service("y", "http"), service("x", 1)]), 2)
            .is_empty()
    );
    assert_eq!(desk.news().len(), 1);
    assert!(desk.settle(1000).is_empty());
}

/// More documents than are parsed at once, on several processors.
#[test]
fn large_files_keep_their_order() {
    let mut desk = Desk::new();
    let mut documents: Vec<_> = (0..3000)
        .map(|index| service(&format!("s{index}"), index))
        .collect();
    let said = desk.take("a", &files(&documents), 0);
    let expected: Vec<_> = (0..3000)
        .rev()
        .map(|index| format!("default/s{index} {index}"))
        .collect();
    assert_eq!(said, expected);
    documents[1500] = service("s1500", "http");
    documents[7] = service("s7", 7777);
    assert_eq!(desk.take("a", &files(&documents), 1), ["default/s7 7777"]);
    let line = 1500 * 8 + 7;
    assert!(desk.news()[0].starts_with(&format!(
        "a:{line}: Service default/s1500: spec.ports[0].port: "
    )));
}
