//! The three kinds of patch.

use serde_json::{Map, Value};

use super::status::Status;

/// A kind of patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// RFC 6902.
    Json,
    /// RFC 7386.
    Merge,
    /// As merge, but lists with a key are merged by it.
    Strategic,
}

impl Kind {
    pub(super) fn of(content_type: &str) -> Option<Kind> {
        match content_type.split(';').next().unwrap_or_default().trim() {
            "application/json-patch+json" => Some(Kind::Json),
            "application/merge-patch+json" => Some(Kind::Merge),
            "application/strategic-merge-patch+json" => Some(Kind::Strategic),
            _ => None,
        }
    }
}

/// Changes an object.
pub(super) fn patch(kind: Kind, object: &mut Value, body: &[u8]) -> Result<(), Status> {
    let unreadable =
        |error: serde_json::Error| Status::bad_request(format!("error decoding patch: {error}"));
    match kind {
        Kind::Json => {
            let patch: json_patch::Patch = serde_json::from_slice(body).map_err(unreadable)?;
            json_patch::patch(object, &patch).map_err(|_| Status::patch_failed())
        }
        Kind::Merge => {
            let patch: Value = serde_json::from_slice(body).map_err(unreadable)?;
            json_patch::merge(object, &patch);
            Ok(())
        }
        Kind::Strategic => {
            let patch: Value = serde_json::from_slice(body).map_err(unreadable)?;
            merge_strategically(object, &patch);
            Ok(())
        }
    }
}

/// Lists whose elements are told apart by one of their fields, as the API's types have it. The
/// taints of a Node are not among them: they are replaced as a whole.
const KEYED: [(&str, &str); 4] = [
    ("conditions", "type"),
    ("addresses", "type"),
    ("ports", "port"),
    ("ownerReferences", "uid"),
];

fn merge_strategically(object: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        object.clone_from(patch);
        return;
    };
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    let Some(fields) = object.as_object_mut() else {
        return;
    };
    for (field, change) in changes.iter().filter(|(field, _)| !field.starts_with('$')) {
        let key = KEYED.iter().find(|(list, _)| list == field);
        match (key, change) {
            (_, Value::Null) => drop(fields.remove(field)),
            (Some((_, key)), Value::Array(changes)) => {
                let list = fields.entry(field).or_insert(Value::Array(Vec::new()));
                merge_lists(list, key, changes);
            }
            _ => merge_strategically(fields.entry(field).or_insert(Value::Null), change),
        }
    }
}

fn merge_lists(list: &mut Value, key: &str, changes: &[Value]) {
    let Some(list) = list.as_array_mut() else {
        return;
    };
    for change in changes {
        let there = list.iter().position(|element| element[key] == change[key]);
        match (there, change["$patch"] == "delete") {
            (Some(at), true) => drop(list.remove(at)),
            (Some(at), false) => merge_strategically(&mut list[at], change),
            (None, true) => {}
            (None, false) => list.push(change.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn patched(kind: Kind, change: &Value) -> Result<Value, Status> {
        let mut node = json!({
            "spec": {"podCIDR": "10.0.0.0/24", "taints": [{"key": "a"}, {"key": "b"}]},
            "status": {"conditions": [{"type": "Ready", "status": "False", "reason": "x"}]},
        });
        patch(kind, &mut node, change.to_string().as_bytes()).map(|()| node)
    }

    #[test]
    fn a_test_in_a_json_patch_has_to_hold() {
        let change = |key: &str| {
            json!([
                {"op": "test", "path": "/spec/taints/0/key", "value": key},
                {"op": "remove", "path": "/spec/taints/0"},
            ])
        };
        let node = patched(Kind::Json, &change("a")).unwrap();
        assert_eq!(node["spec"]["taints"], json!([{"key": "b"}]));
        let refused = patched(Kind::Json, &change("b")).unwrap_err();
        assert_eq!((refused.code, refused.reason), (422, "Invalid"));
        assert_eq!(patched(Kind::Json, &json!({})).unwrap_err().code, 400);
    }

    #[test]
    fn taints_are_replaced_and_conditions_merged() {
        let change = json!({
            "spec": {"taints": [{"key": "b"}], "podCIDR": null},
            "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Other"}]},
        });
        let node = patched(Kind::Strategic, &change).unwrap();
        assert_eq!(node["spec"], json!({"taints": [{"key": "b"}]}));
        let ready = json!({"type": "Ready", "status": "True", "reason": "x"});
        assert_eq!(
            node["status"]["conditions"],
            json!([ready, {"type": "Other"}])
        );
        let node = patched(Kind::Merge, &change).unwrap();
        assert_eq!(node["status"], change["status"]);
    }

    #[test]
    fn an_element_can_be_deleted() {
        let change = json!({"status": {"conditions": [{"type": "Ready", "$patch": "delete"}]}});
        let node = patched(Kind::Strategic, &change).unwrap();
        assert_eq!(node["status"]["conditions"], json!([]));
    }
}
