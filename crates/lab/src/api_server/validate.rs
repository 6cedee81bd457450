//! What the real server demands of an Event, so that one it would refuse is refused in a test.

use serde_json::Value;

use super::status::Status;
use super::store::text;

/// The limits of `pkg/apis/core/validation/events.go`.
const NOTE: usize = 1024;
const WORD: usize = 128;

/// Checks an Event of `events.k8s.io/v1`.
pub(super) fn check_event(event: &Value) -> Result<(), Status> {
    let mut causes = Vec::new();
    let mut wrong = |field: &'static str, reason: &'static str, message: &str| {
        causes.push((field, reason, message.to_owned()));
    };
    if text(event, "/eventTime").is_none() {
        wrong("eventTime", "FieldValueRequired", "Required value");
    }
    for (field, pointer) in [
        ("reportingController", "/reportingController"),
        ("reportingInstance", "/reportingInstance"),
        ("action", "/action"),
        ("reason", "/reason"),
    ] {
        match text(event, pointer).unwrap_or_default().len() {
            0 => wrong(field, "FieldValueRequired", "Required value"),
            length if length > WORD => wrong(
                field,
                "FieldValueInvalid",
                "Invalid value: can have at most 128 characters",
            ),
            _ => {}
        }
    }
    if !matches!(text(event, "/type"), Some("Normal" | "Warning")) {
        wrong(
            "type",
            "FieldValueInvalid",
            "Invalid value: has invalid value",
        );
    }
    if text(event, "/note").unwrap_or_default().len() > NOTE {
        wrong(
            "note",
            "FieldValueInvalid",
            "Invalid value: can have at most 1024 characters",
        );
    }
    // Of something in no namespace, events are in the default one.
    let regarding = match text(event, "/regarding/namespace") {
        None | Some("") => "default",
        Some(namespace) => namespace,
    };
    if text(event, "/metadata/namespace") != Some(regarding) {
        wrong(
            "involvedObject.namespace",
            "FieldValueInvalid",
            "Invalid value: does not match event.namespace",
        );
    }
    if causes.is_empty() {
        return Ok(());
    }
    let name = text(event, "/metadata/name").unwrap_or_default();
    Err(Status::invalid("events.k8s.io", "Event", name, &causes))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_has_to_say_who_what_and_when() {
        let event = json!({
            "metadata": {"name": "n.1", "namespace": "default"},
            "eventTime": "2026-01-02T03:04:05.000000Z",
            "reportingController": "kube-proxy",
            "reportingInstance": "kube-proxy-n",
            "action": "StartKubeProxy",
            "reason": "Starting",
            "type": "Normal",
            "regarding": {"kind": "Node", "name": "n"},
        });
        assert_eq!(check_event(&event), Ok(()));
        for (field, value) in [
            ("eventTime", Value::Null),
            ("action", json!("")),
            ("reason", json!("x".repeat(129))),
            ("type", json!("Error")),
            ("note", json!("x".repeat(1025))),
            ("regarding", json!({"namespace": "shop"})),
        ] {
            let mut event = event.clone();
            event[field] = value;
            let refused = check_event(&event).unwrap_err();
            assert_eq!((refused.code, refused.reason), (422, "Invalid"), "{field}");
        }
    }
}
