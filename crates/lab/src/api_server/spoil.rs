//! JSON that is not as it should be.

use serde_json::Value;

/// No JSON, on a line of its own.
pub(super) const GARBAGE: &[u8] = b"\x00\xff{\"type\": not json\n";

/// What a portal answers in place of the server.
pub(super) const HTML: &str = "<!DOCTYPE html>\n<html><body>Please log in.</body></html>\n";

/// Puts numbers in place of all fields but metadata, kind and version, in the object of a line, the
/// first object of a list, or the one object.
pub(super) fn misshapen(json: &[u8]) -> Vec<u8> {
    spoilt(json, |object| {
        let Some(fields) = object.as_object_mut() else {
            return;
        };
        let kept = ["metadata", "kind", "apiVersion"];
        for (_, value) in fields
            .iter_mut()
            .filter(|(key, _)| !kept.contains(&key.as_str()))
        {
            *value = 7.into();
        }
    })
}

/// Gives that object an annotation of so many bytes.
pub(super) fn long(json: &[u8], bytes: usize) -> Vec<u8> {
    spoilt(json, |object| {
        object["metadata"]["annotations"]["example.com/long"] = "x".repeat(bytes).into();
    })
}

/// What cannot be read stays as it is.
fn spoilt(json: &[u8], spoil: impl FnOnce(&mut Value)) -> Vec<u8> {
    let Ok(mut value) = serde_json::from_slice::<Value>(json) else {
        return json.to_owned();
    };
    if value.get("type").is_some() {
        spoil(&mut value["object"]);
    } else if let Some(items) = value.get_mut("items") {
        if let Some(first) = items.get_mut(0) {
            spoil(first);
        }
    } else {
        spoil(&mut value);
    }
    let mut json = value.to_string().into_bytes();
    json.push(b'\n');
    json
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_object_is_spoilt() {
        let list = json!({"kind": "List", "items": [
            {"metadata": {"name": "a"}, "spec": {"ports": []}},
            {"metadata": {"name": "b"}, "spec": {}},
        ]});
        let spoilt: Value =
            serde_json::from_slice(&misshapen(&list.to_string().into_bytes())).unwrap();
        assert_eq!(
            spoilt["items"][0],
            json!({"metadata": {"name": "a"}, "spec": 7})
        );
        assert_eq!(spoilt["items"][1], list["items"][1]);
        let line = json!({"type": "ADDED", "object": {"metadata": {"name": "a"}}});
        let long = long(&line.to_string().into_bytes(), 5);
        let long: Value = serde_json::from_slice(&long).unwrap();
        assert_eq!(
            long["object"]["metadata"]["annotations"]["example.com/long"],
            "xxxxx"
        );
    }
}
