//! What a client wants of a list or a watch, read from its query and checked as the real server
//! does.

use std::time::Duration;

use super::object::selectable;
use super::resource::Target;
use super::selector::{Fields, Labels, Selection};
use super::status::Status;

/// Whether a watch may begin with all objects there are (`sendInitialEvents`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StreamingLists {
    /// As servers do by default.
    #[default]
    On,
    /// As servers do where it is turned off: 422.
    Refused,
    /// As servers do that have never heard of it: nothing says where the initial objects end.
    Unknown,
}

/// How a version is meant (`resourceVersionMatch`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Match {
    Exact,
    NotOlderThan,
}

/// The query of a list or a watch.
#[derive(Debug, Default)]
pub(super) struct Options {
    pub(super) selection: Selection,
    pub(super) watch: bool,
    /// 0: all.
    pub(super) limit: usize,
    pub(super) go_on: Option<String>,
    /// `None`: the most recent; 0: any.
    pub(super) version: Option<u64>,
    pub(super) version_match: Option<Match>,
    pub(super) timeout: Option<Duration>,
    pub(super) bookmarks: bool,
    pub(super) send_initial_events: Option<bool>,
}

impl Options {
    /// Reads and checks them.
    pub(super) fn parse(
        query: &str,
        target: &Target,
        streaming: StreamingLists,
    ) -> Result<Options, Status> {
        let mut options = Options::default();
        options.selection.namespace.clone_from(&target.namespace);
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            options.set(&key, &value, target)?;
        }
        if streaming == StreamingLists::Unknown {
            options.send_initial_events = None;
            if options.watch {
                options.version_match = None;
            }
        }
        let causes = match options.watch {
            true => options.wrong_for_watch(streaming),
            false => options.wrong_for_list(),
        };
        if causes.is_empty() {
            return Ok(options);
        }
        Err(Status::invalid("meta.k8s.io", "ListOptions", "", &causes))
    }

    /// What it does not know it passes over.
    fn set(&mut self, key: &str, value: &str, target: &Target) -> Result<(), Status> {
        if value.is_empty() {
            return Ok(());
        }
        match key {
            "watch" => self.watch = is_true(value),
            "limit" => self.limit = number(key, value)?,
            "continue" => self.go_on = Some(value.to_owned()),
            "resourceVersion" => self.version = Some(number(key, value)?),
            "resourceVersionMatch" => self.version_match = Some(version_match(value)?),
            "timeoutSeconds" => self.timeout = Some(Duration::from_secs(number(key, value)?)),
            "allowWatchBookmarks" => self.bookmarks = is_true(value),
            "sendInitialEvents" => self.send_initial_events = Some(is_true(value)),
            "labelSelector" => self.selection.labels = labels(value)?,
            "fieldSelector" => self.selection.fields = fields(value, target)?,
            _ => {}
        }
        Ok(())
    }

    fn wrong_for_list(&self) -> Vec<Cause> {
        let mut wrong = Vec::new();
        if let Some(kind) = self.version_match {
            let field = "resourceVersionMatch";
            if self.version.is_none() {
                wrong.push(forbidden(
                    field,
                    "resourceVersionMatch is forbidden unless resourceVersion is provided",
                ));
            }
            if self.go_on.is_some() {
                wrong.push(forbidden(
                    field,
                    "resourceVersionMatch is forbidden when continue is provided",
                ));
            }
            if kind == Match::Exact && self.version == Some(0) {
                wrong.push(forbidden(
                    field,
                    "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
                ));
            }
        }
        if self.send_initial_events.is_some() {
            wrong.push(forbidden(
                "sendInitialEvents",
                "sendInitialEvents is forbidden for list",
            ));
        }
        wrong
    }

    fn wrong_for_watch(&self, streaming: StreamingLists) -> Vec<Cause> {
        let mut wrong = Vec::new();
        let field = "resourceVersionMatch";
        if self.send_initial_events.is_some() {
            if self.version_match != Some(Match::NotOlderThan) {
                wrong.push(forbidden(
                    field,
                    "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
                ));
            }
            if streaming == StreamingLists::Refused {
                wrong.push(forbidden(
                    "sendInitialEvents",
                    "sendInitialEvents is forbidden for watch unless the WatchList feature gate \
                     is enabled",
                ));
            }
        } else if self.version_match.is_some() {
            wrong.push(forbidden(
                field,
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            ));
        }
        wrong
    }
}

/// Field, reason and message.
type Cause = (&'static str, &'static str, String);

fn forbidden(field: &'static str, why: &str) -> Cause {
    (field, "FieldValueForbidden", format!("Forbidden: {why}"))
}

fn labels(value: &str) -> Result<Labels, Status> {
    let refused = |part| Status::bad_request(format!("unable to parse requirement: {part}"));
    Labels::parse(value).map_err(refused)
}

fn fields(value: &str, target: &Target) -> Result<Fields, Status> {
    let fields = Fields::parse(value).map_err(|part| {
        Status::bad_request(format!(
            "invalid field selector: \"{part}\"; can't understand it"
        ))
    })?;
    let resource = target.resource;
    let unknown = fields
        .keys()
        .find(|key| !selectable(resource).contains(key))
        .map(|key| format!("field label not supported: {key}"));
    match unknown {
        Some(message) => Err(Status::bad_request(message)),
        None => Ok(fields),
    }
}

fn is_true(value: &str) -> bool {
    matches!(value, "1" | "t" | "T" | "true" | "TRUE" | "True")
}

fn number<T: std::str::FromStr>(key: &str, value: &str) -> Result<T, Status> {
    value
        .parse()
        .map_err(|_| Status::bad_request(format!("Invalid value: \"{value}\": {key} is no number")))
}

fn version_match(value: &str) -> Result<Match, Status> {
    match value {
        "Exact" => Ok(Match::Exact),
        "NotOlderThan" => Ok(Match::NotOlderThan),
        _ => Err(Status::invalid(
            "meta.k8s.io",
            "ListOptions",
            "",
            &[(
                "resourceVersionMatch",
                "FieldValueNotSupported",
                format!(
                    "Unsupported value: \"{value}\": supported values: \"Exact\", \"NotOlderThan\""
                ),
            )],
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str, streaming: StreamingLists) -> Result<Options, Status> {
        let target = Target::of_path("/api/v1/services").unwrap();
        Options::parse(query, &target, streaming)
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        let initial = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
        for (query, code) in [
            ("resourceVersionMatch=Exact", 422),
            ("resourceVersionMatch=Exact&resourceVersion=0", 422),
            ("resourceVersionMatch=exact&resourceVersion=5", 422),
            ("sendInitialEvents=true", 422),
            ("watch=true&sendInitialEvents=true", 422),
            ("watch=true&resourceVersionMatch=NotOlderThan", 422),
            ("limit=many", 400),
            ("labelSelector=a b", 400),
            ("fieldSelector=spec.nothing%3Dx", 400),
        ] {
            let status = parse(query, StreamingLists::On).unwrap_err();
            assert_eq!(status.code, code, "{query}");
        }
        assert!(parse(initial, StreamingLists::On).is_ok());
        assert_eq!(
            parse(initial, StreamingLists::Refused).unwrap_err().code,
            422
        );
        let old = parse(initial, StreamingLists::Unknown).unwrap();
        assert_eq!(old.send_initial_events, None);
    }
}
