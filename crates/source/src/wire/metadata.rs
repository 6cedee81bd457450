//! `metadata` of the watched kinds.

use fairlead_core::api::{Kind, ObjectName};
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::IgnoredAny;
use thiserror::Error;

use super::field::{Time, present};

/// `metadata`, with the labels and annotations that any of the watched kinds is asked for.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "a mapping with a name")]
pub(super) struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    resource_version: Option<String>,
    generate_name: Option<IgnoredAny>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    labels: Option<Labels>,
    annotations: Option<Annotations>,
}

/// Presence is what counts for the first two, so a label without a value is there as well.
#[derive(Debug, Default, Deserialize)]
#[serde(expecting = "a mapping of labels")]
pub(super) struct Labels {
    #[serde(
        rename = "service.kubernetes.io/service-proxy-name",
        default,
        deserialize_with = "present"
    )]
    pub(super) other_proxy: bool,
    #[serde(
        rename = "service.kubernetes.io/headless",
        default,
        deserialize_with = "present"
    )]
    pub(super) headless: bool,
    #[serde(rename = "kubernetes.io/service-name")]
    pub(super) service: Option<String>,
    #[serde(rename = "topology.kubernetes.io/zone")]
    pub(super) zone: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(expecting = "a mapping of annotations")]
struct Annotations {
    #[serde(rename = "endpoints.kubernetes.io/last-change-trigger-time")]
    triggered: Option<String>,
    #[serde(rename = "fairlead.dev/scheduler")]
    scheduler: Option<String>,
}

/// Why an object has no usable name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NameError {
    /// No name, or an empty one.
    #[error("metadata.name: is missing or empty, every object needs one")]
    Missing,
    /// A name that an API server would have to make up.
    #[error("metadata.generateName: only an API server can make a name up, write metadata.name")]
    Generated,
}

impl Metadata {
    /// The name of an object of this kind.
    pub(super) fn object_name(&self, kind: Kind) -> Result<ObjectName, NameError> {
        let name = match self.name.as_deref() {
            Some(name) if !name.is_empty() => name,
            _ if self.generate_name.is_some() => return Err(NameError::Generated),
            _ => return Err(NameError::Missing),
        };
        Ok(object_name(kind, self.namespace.as_deref(), name))
    }

    pub(super) fn revision(&self) -> &str {
        self.resource_version.as_deref().unwrap_or_default()
    }

    pub(super) fn created(&self) -> Option<i64> {
        self.creation_timestamp
            .as_ref()
            .map(|Time(time)| time.as_second())
    }

    pub(super) fn is_deleting(&self) -> bool {
        self.deletion_timestamp.is_some()
    }

    /// Who is to choose among the endpoints of a Service.
    pub(super) fn take_scheduler(&mut self) -> Option<String> {
        self.annotations.as_mut()?.scheduler.take()
    }

    /// Feeds a metric only, so what does not parse is not worth an error.
    pub(super) fn triggered(&self) -> Option<i128> {
        let text = self.annotations.as_ref()?.triggered.as_ref()?;
        text.parse::<Timestamp>().ok().map(Timestamp::as_nanosecond)
    }
}

impl Labels {
    pub(super) fn take(metadata: &mut Option<Metadata>) -> Labels {
        metadata
            .as_mut()
            .and_then(|metadata| metadata.labels.take())
            .unwrap_or_default()
    }
}

/// The full name: cluster-wide kinds have no namespace, others are in `default` when none is said.
pub(crate) fn object_name(kind: Kind, namespace: Option<&str>, name: &str) -> ObjectName {
    match kind {
        Kind::Node | Kind::ServiceCidr => ObjectName::cluster(name),
        Kind::Service | Kind::EndpointSlice => {
            let namespace = namespace.filter(|namespace| !namespace.is_empty());
            ObjectName::new(namespace.unwrap_or("default"), name)
        }
    }
}
