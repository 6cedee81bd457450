//! What an API server answers with, around the objects: events, lists, statuses.

use std::borrow::Cow;
use std::time::Duration;

use fairlead_core::api::{Kind, ObjectName};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::wire::object_name;

/// A line of a watch.
#[derive(Debug, Deserialize)]
pub(super) struct Event<'a> {
    #[serde(borrow)]
    pub(super) r#type: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) object: &'a RawValue,
}

/// What every object says of itself, read without reading the object.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Header<'a> {
    #[serde(borrow, default)]
    metadata: Option<Metadata<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    namespace: Option<Cow<'a, str>>,
    #[serde(borrow)]
    resource_version: Option<Cow<'a, str>>,
    annotations: Option<Annotations>,
}

#[derive(Debug, Default, Deserialize)]
struct Annotations {
    #[serde(rename = "k8s.io/initial-events-end")]
    initial_events_end: Option<String>,
}

impl Header<'_> {
    /// The name of an object of this kind, if it has one.
    pub(super) fn name(&self, kind: Kind) -> Option<ObjectName> {
        let metadata = self.metadata.as_ref()?;
        let name = metadata.name.as_deref().filter(|name| !name.is_empty())?;
        Some(object_name(kind, metadata.namespace.as_deref(), name))
    }

    /// The resource version, empty when there is none.
    pub(super) fn revision(&self) -> &str {
        let metadata = self.metadata.as_ref();
        let revision = metadata.and_then(|metadata| metadata.resource_version.as_deref());
        revision.unwrap_or_default()
    }

    /// Whether this bookmark ends the initial events of a streaming list.
    pub(super) fn ends_initial_events(&self) -> bool {
        let metadata = self.metadata.as_ref();
        let annotations = metadata.and_then(|metadata| metadata.annotations.as_ref());
        annotations.is_some_and(|all| all.initial_events_end.as_deref() == Some("true"))
    }
}

/// A list without its items.
#[derive(Debug, Deserialize)]
pub(super) struct List {
    kind: Option<String>,
    metadata: Option<ListMetadata>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListMetadata {
    resource_version: Option<String>,
    r#continue: Option<String>,
}

impl List {
    /// The version that the list shows, and the token for what comes after it, empty at the end.
    /// `None` if it is no list of this kind: what a portal on the way answers with may be JSON as
    /// well, and is no reason to take every object for gone.
    pub(super) fn read(text: &[u8], kind: Kind) -> Option<(String, String)> {
        let list: List = serde_json::from_slice(text).ok()?;
        let metadata = list.metadata?;
        let revision = metadata.resource_version.filter(|text| !text.is_empty())?;
        (list.kind? == format!("{kind}List"))
            .then(|| (revision, metadata.r#continue.unwrap_or_default()))
    }
}

/// A metav1.Status: why something is refused.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Status {
    code: Option<u16>,
    message: Option<String>,
    details: Option<Details>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Details {
    retry_after_seconds: Option<u64>,
}

impl Status {
    /// Reads the body of a refusal, which a proxy on the way may have written in words of its own.
    pub(super) fn read(body: &[u8]) -> Status {
        serde_json::from_slice(body).unwrap_or_else(|_| Status {
            message: Some(
                String::from_utf8_lossy(body)
                    .trim()
                    .chars()
                    .take(200)
                    .collect(),
            ),
            ..Status::default()
        })
    }

    /// The HTTP status that belongs to it, 500 when it says none.
    pub(super) fn code(&self) -> u16 {
        self.code.filter(|code| *code != 0).unwrap_or(500)
    }

    /// What the server says in words; empty when nothing.
    pub(super) fn message(&self) -> &str {
        self.message.as_deref().unwrap_or_default()
    }

    /// How long the server wants to be left alone.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        let seconds = self.details.as_ref()?.retry_after_seconds?;
        (seconds > 0).then(|| Duration::from_secs(seconds))
    }
}
