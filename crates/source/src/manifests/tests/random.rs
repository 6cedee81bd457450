//! Contents nobody would write.

use proptest::prelude::*;

use super::{Desk, service};

fn valid(names: &[u8], style: u8) -> String {
    let documents: Vec<_> = names
        .iter()
        .map(|name| service(&format!("s{name}"), name))
        .collect();
    match style % 3 {
        0 => documents.join("---\n"),
        1 => {
            let item = |text: &String| format!("- {}\n", text.trim_end().replace('\n', "\n  "));
            let items: String = documents.iter().map(item).collect();
            format!("apiVersion: v1\nitems:\n{items}kind: List\n")
        }
        _ => {
            let item = |name: &u8| {
                format!(
                    r#"{{"apiVersion":"v1","kind":"Service","metadata":{{"name":"s{name}"}},"spec":{{"ports":[{{"port":{name}}}]}}}}"#
                )
            };
            let items: Vec<_> = names.iter().map(item).collect();
            format!(
                "{{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[\n{}]}}\n",
                items.join(",\n")
            )
        }
    }
}

proptest! {
    /// Wherever a writer has got to, nothing is deleted, nothing is said that its work does not
    /// mean in the end, and its end is the same as if it had written at once.
    #[test]
    fn a_truncated_file_deletes_nothing(
        before in prop::collection::btree_set(1..9u8, 1..6),
        after in prop::collection::btree_set(1..9u8, 1..6),
        style in 0..3u8,
        cut in any::<prop::sample::Index>(),
    ) {
        let [before, after] = [before, after].map(|names| names.into_iter().collect::<Vec<_>>());
        let mut desk = Desk::new();
        desk.take("a", &valid(&before, style), 0);
        let text = valid(&after, style);
        let half = &text.as_bytes()[..cut.index(text.len())];
        let mut said: Vec<_> = desk.take_bytes("a", half, false, 10).iter().map(super::short).collect();
        prop_assert_eq!(desk.settle(10_000), Vec::<String>::new());
        said.extend(desk.take("a", &text, 20_000));
        said.sort();
        let new: Vec<_> = after.iter().filter(|name| !before.contains(name)).map(|name| format!("default/s{name} {name}")).collect();
        prop_assert_eq!(said, new);
        let gone: Vec<_> = before.iter().filter(|name| !after.contains(name)).map(|name| format!("-Service default/s{name}")).collect();
        prop_assert_eq!(desk.settle(30_000), gone);
    }

    /// JSON, and a list that names its kind last, show by themselves that they were cut off, even
    /// if the writer is gone.
    #[test]
    fn what_shows_its_end_needs_no_writer(
        names in prop::collection::btree_set(1..9u8, 1..6),
        style in 1..3u8,
        cut in any::<prop::sample::Index>(),
    ) {
        let names: Vec<_> = names.into_iter().collect();
        let mut desk = Desk::new();
        let text = valid(&names, style);
        desk.take("a", &text, 0);
        let half = &text.as_bytes()[..cut.index(text.trim_end().len())];
        prop_assert_eq!(desk.take_bytes("a", half, true, 10).len(), 0);
        prop_assert_eq!(desk.settle(10_000), Vec::<String>::new());
        prop_assert!(!desk.news().is_empty());
    }

    #[test]
    fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        Desk::new().take_bytes("a", &bytes, true, 0);
    }

    /// The same with text that gets further in.
    #[test]
    fn no_mutilation_panics(
        style in 0..3u8,
        edits in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(
            &["\n", " ", "-", "---\n", "- ", "{", "}", "[", "]", ":", "#", "'", "\"", "&a ", "*a", "<<: ", "\t", "items:\n", "é", "\u{feff}", "..."][..]
        )), 1..12),
    ) {
        let mut text = valid(&[1, 2, 3], style);
        for (place, piece) in edits {
            let mut at = place.index(text.len());
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            text.insert_str(at, piece);
        }
        let mut desk = Desk::new();
        desk.take("a", &valid(&[1, 2, 3], 0), 0);
        desk.take("a", &text, 1);
        desk.settle(1000);
    }
}
