//! Errors as the API has them: `metav1.Status` with the real reasons and messages.

use serde_json::{Value, json};

use super::resource::Resource;

/// An answer that is an error.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Status {
    pub(super) code: u16,
    pub(super) reason: &'static str,
    pub(super) message: String,
    /// As JSON; null if there are none.
    pub(super) details: Value,
    /// The token with which an expired list goes on.
    pub(super) go_on: Option<String>,
}

impl Status {
    fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Status {
        Status {
            code,
            reason,
            message: message.into(),
            details: Value::Null,
            go_on: None,
        }
    }

    fn about(self, resource: Resource, name: &str) -> Status {
        let mut details = json!({"kind": resource.name()});
        if !name.is_empty() {
            details["name"] = name.into();
        }
        if !resource.group().is_empty() {
            details["group"] = resource.group().into();
        }
        Status { details, ..self }
    }

    pub(super) fn not_found(resource: Resource, name: &str) -> Status {
        let message = format!("{} \"{name}\" not found", resource.qualified());
        Status::new(404, "NotFound", message).about(resource, name)
    }

    pub(super) fn already_exists(resource: Resource, name: &str) -> Status {
        let message = format!("{} \"{name}\" already exists", resource.qualified());
        Status::new(409, "AlreadyExists", message).about(resource, name)
    }

    pub(super) fn conflict(resource: Resource, name: &str) -> Status {
        let message = format!(
            "Operation cannot be fulfilled on {} \"{name}\": the object has been modified; please \
             apply your changes to the latest version and try again",
            resource.qualified()
        );
        Status::new(409, "Conflict", message).about(resource, name)
    }

    /// `verb` as in RBAC; the namespace is empty at the cluster scope.
    pub(super) fn forbidden(
        user: &str,
        verb: &str,
        resource: Resource,
        namespace: Option<&str>,
        name: Option<&str>,
    ) -> Status {
        let what = match name {
            Some(name) => format!("{} \"{name}\"", resource.qualified()),
            None => resource.qualified(),
        };
        let scope = match namespace {
            Some(namespace) => format!("in the namespace \"{namespace}\""),
            None => "at the cluster scope".to_owned(),
        };
        let message = format!(
            "{what} is forbidden: User \"{user}\" cannot {verb} resource \"{}\" in API group \
             \"{}\" {scope}",
            resource.name(),
            resource.group()
        );
        Status::new(403, "Forbidden", message).about(resource, name.unwrap_or_default())
    }

    pub(super) fn forbidden_path(user: &str, verb: &str, path: &str) -> Status {
        let message = format!("forbidden: User \"{user}\" cannot {verb} path \"{path}\"");
        Status {
            details: json!({}),
            ..Status::new(403, "Forbidden", message)
        }
    }

    pub(super) fn unauthorized() -> Status {
        Status::new(401, "Unauthorized", "Unauthorized")
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Status {
        Status::new(400, "BadRequest", message)
    }

    pub(super) fn method_not_allowed() -> Status {
        let message = "the server does not allow this method on the requested resource";
        Status {
            details: json!({}),
            ..Status::new(405, "MethodNotAllowed", message)
        }
    }

    pub(super) fn unknown_patch() -> Status {
        let message = "the body of the request was in an unknown format - accepted media types \
            include: application/json-patch+json, application/merge-patch+json, \
            application/strategic-merge-patch+json";
        Status::new(415, "UnsupportedMediaType", message)
    }

    /// A JSON patch that does not fit.
    pub(super) fn patch_failed() -> Status {
        let message = "the server rejected our request due to an error in our request";
        Status {
            details: json!({}),
            ..Status::new(422, "Invalid", message)
        }
    }

    /// An object or its options with fields that are wrong, each with why: `(field, reason of
    /// the cause, message)`.
    pub(super) fn invalid(
        group: &str,
        kind: &str,
        name: &str,
        causes: &[(&str, &'static str, String)],
    ) -> Status {
        let told: Vec<String> = causes
            .iter()
            .map(|(field, _, message)| format!("{field}: {message}"))
            .collect();
        let told = match &told[..] {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let dot = if group.is_empty() { "" } else { "." };
        let message = format!("{kind}{dot}{group} \"{name}\" is invalid: {told}");
        let causes: Vec<Value> = causes
            .iter()
            .map(|(field, reason, message)| {
                json!({"reason": reason, "message": message, "field": field})
            })
            .collect();
        let mut details = json!({"kind": kind, "causes": causes});
        for (key, value) in [("name", name), ("group", group)] {
            if !value.is_empty() {
                details[key] = value.into();
            }
        }
        Status {
            details,
            ..Status::new(422, "Invalid", message)
        }
    }

    /// A watch, or a list of a version, from before what the server remembers.
    pub(super) fn too_old(version: u64, oldest: u64) -> Status {
        let message = format!("too old resource version: {version} ({oldest})");
        Status::new(410, "Expired", message)
    }

    /// A page of a list that is no longer to be had as it was. The token gets the rest as it is.
    pub(super) fn expired_continue(token: String) -> Status {
        let message = "The provided continue parameter is too old to display a consistent list \
            result. You can start a new list without the continue parameter, or use the continue \
            token in this response to retrieve the remainder of the results. Continuing with the \
            provided token results in an inconsistent list - objects that were created, modified, \
            or deleted between the time the first chunk was returned and now may show up in the \
            list.";
        Status {
            go_on: Some(token),
            ..Status::new(410, "Expired", message)
        }
    }

    /// A version that is yet to come.
    pub(super) fn too_large(version: u64, current: u64) -> Status {
        let message = format!("Timeout: Too large resource version: {version}, current: {current}");
        let cause = json!({
            "reason": "ResourceVersionTooLarge",
            "message": "Too large resource version",
        });
        Status {
            details: json!({"causes": [cause], "retryAfterSeconds": 1}),
            ..Status::new(504, "Timeout", message)
        }
    }

    /// What a server says that has something wrong with itself.
    pub(super) fn of_code(code: u16, retry_after: Option<u64>) -> Status {
        let (reason, message) = match code {
            401 => return Status::unauthorized(),
            408 | 504 => (
                "Timeout",
                "Timeout: request did not complete within the allotted timeout",
            ),
            410 => (
                "Expired",
                "The resourceVersion for the provided watch is too old.",
            ),
            429 => (
                "TooManyRequests",
                "Too many requests, please try again later.",
            ),
            503 => ("ServiceUnavailable", "apiserver is shutting down."),
            _ => (
                "InternalError",
                "Internal error occurred: etcdserver: request timed out",
            ),
        };
        let mut details = Value::Null;
        if let Some(seconds) = retry_after {
            details = json!({"retryAfterSeconds": seconds});
        }
        if reason == "InternalError" {
            details["causes"] = json!([{"message": "etcdserver: request timed out"}]);
        }
        Status {
            details,
            ..Status::new(code, reason, message)
        }
    }

    pub(super) fn json(&self) -> Vec<u8> {
        self.value().to_string().into_bytes()
    }

    fn value(&self) -> Value {
        let mut value = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        });
        if !self.details.is_null() {
            value["details"] = self.details.clone();
        }
        if let Some(token) = &self.go_on {
            value["metadata"]["continue"] = token.as_str().into();
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_those_of_the_real_server() {
        let slices = Resource::EndpointSlices;
        let cases = [
            (
                Status::not_found(slices, "a"),
                "endpointslices.discovery.k8s.io \"a\" not found",
            ),
            (
                Status::forbidden("x", "list", Resource::Services, None, None),
                "services is forbidden: User \"x\" cannot list resource \"services\" in API group \
                 \"\" at the cluster scope",
            ),
            (
                Status::forbidden("x", "get", slices, Some("shop"), Some("a")),
                "endpointslices.discovery.k8s.io \"a\" is forbidden: User \"x\" cannot get resource \
                 \"endpointslices\" in API group \"discovery.k8s.io\" in the namespace \"shop\"",
            ),
            (Status::too_old(3, 8), "too old resource version: 3 (8)"),
        ];
        for (status, message) in cases {
            assert_eq!(status.message, message);
        }
    }

    #[test]
    fn a_status_names_all_that_is_invalid() {
        let causes = [
            ("a", "FieldValueRequired", "Required value".to_owned()),
            ("b", "FieldValueForbidden", "Forbidden: no".to_owned()),
        ];
        let status = Status::invalid("meta.k8s.io", "ListOptions", "", &causes);
        assert_eq!(
            status.message,
            "ListOptions.meta.k8s.io \"\" is invalid: [a: Required value, b: Forbidden: no]"
        );
        let details = &status.value()["details"];
        assert_eq!(details["causes"][1]["field"], "b");
        assert_eq!(details["group"], "meta.k8s.io");
    }
}
