//! What a watch says: one line of JSON for each event.

use super::object::{Object, head};
use super::resource::Resource;
use super::selector::Selection;
use super::status::Status;
use super::store::Event;

/// Writes what an event is to somebody who wants these objects: one that begins to match is added,
/// one that no longer does is deleted. Returns whether it is anything to them.
pub(super) fn write_event(event: &Event, selection: &Selection, to: &mut Vec<u8>) -> bool {
    let wanted = |object: &&std::sync::Arc<Object>| selection.holds(object);
    let before = event.before.as_ref().filter(wanted);
    let after = event.after.as_ref().filter(wanted);
    match (before, after) {
        (None, None) => return false,
        (None, Some(object)) => write("ADDED", object, to),
        (Some(_), Some(object)) => write("MODIFIED", object, to),
        // As it last was, with the version of what happened.
        (Some(object), None) => write("DELETED", &object.with_version(event.version), to),
    }
    true
}

/// Writes a line about an object.
pub(super) fn write(kind: &str, object: &Object, to: &mut Vec<u8>) {
    begin(kind, to);
    object.write(to);
    to.extend_from_slice(b"}\n");
}

/// A line that says how far the watch has come, and, with `initial`, that all objects that were
/// there at its beginning have been said.
pub(super) fn bookmark(resource: Resource, version: u64, initial: bool) -> Vec<u8> {
    let annotations = match initial {
        true => r#","annotations":{"k8s.io/initial-events-end":"true"}"#,
        false => "",
    };
    let mut line = Vec::new();
    begin("BOOKMARK", &mut line);
    line.extend_from_slice(head(resource).as_bytes());
    let metadata = format!(r#","metadata":{{"resourceVersion":"{version}"{annotations}}}"#);
    line.extend_from_slice(metadata.as_bytes());
    line.extend_from_slice(resource.nothing().as_bytes());
    line.extend_from_slice(b"}}\n");
    line
}

/// A line that says what went wrong.
pub(super) fn error(status: &Status) -> Vec<u8> {
    let mut line = Vec::new();
    begin("ERROR", &mut line);
    line.extend_from_slice(&status.json());
    line.extend_from_slice(b"}\n");
    line
}

fn begin(kind: &str, to: &mut Vec<u8>) {
    to.extend_from_slice(br#"{"type":""#);
    to.extend_from_slice(kind.as_bytes());
    to.extend_from_slice(br#"","object":"#);
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::selector::Labels;
    use super::super::store::Store;
    use super::*;

    #[test]
    fn what_begins_and_ceases_to_match_is_added_and_deleted() {
        let mut store = Store::new(10, false);
        let selection = Selection {
            labels: Labels::parse("!hidden").unwrap(),
            ..Selection::default()
        };
        let mut said = Vec::new();
        for labels in [
            json!({"hidden": ""}),
            json!({}),
            json!({"a": "b"}),
            json!({"hidden": ""}),
            json!({"hidden": "yes"}),
        ] {
            let value = json!({"metadata": {"name": "x", "labels": labels}});
            let event = store.put(Resource::Services, value, "now");
            let mut line = Vec::new();
            if write_event(&event, &selection, &mut line) {
                let line: Value = serde_json::from_slice(&line).unwrap();
                let kind = line["type"].as_str().unwrap().to_owned();
                let version = &line["object"]["metadata"]["resourceVersion"];
                said.push((kind, version.as_str().unwrap().to_owned()));
            }
        }
        let said: Vec<(&str, &str)> = said.iter().map(|(kind, at)| (&**kind, &**at)).collect();
        assert_eq!(
            said,
            [("ADDED", "1002"), ("MODIFIED", "1003"), ("DELETED", "1004")]
        );
    }

    #[test]
    fn bookmarks_are_objects_with_nothing_in_them() {
        for resource in Resource::ALL {
            let line: Value = serde_json::from_slice(&bookmark(resource, 7, true)).unwrap();
            assert_eq!(line["type"], "BOOKMARK");
            assert_eq!(line["object"]["kind"], resource.kind());
            let metadata = &line["object"]["metadata"];
            assert_eq!(metadata["resourceVersion"], "7");
            assert_eq!(metadata["annotations"]["k8s.io/initial-events-end"], "true");
        }
    }
}
