//! v1 Node.

use fairlead_core::api::{self, NodeAddressKind, ObjectName};
use serde::Deserialize;

use super::metadata::{Labels, Metadata};
use super::service::each;

/// A v1 Node.
#[derive(Debug, Deserialize)]
#[serde(expecting = "a mapping (a Node)")]
pub struct Node {
    metadata: Option<Metadata>,
    spec: Option<Spec>,
    status: Option<Status>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(expecting = "a mapping (the spec of a Node)")]
struct Spec {
    #[serde(rename = "podCIDR")]
    pod_cidr: Option<String>,
    #[serde(rename = "podCIDRs")]
    pod_cidrs: Option<Vec<String>>,
    taints: Option<Vec<Taint>>,
}

#[derive(Debug, Deserialize)]
#[serde(expecting = "a mapping with a key and an effect")]
struct Taint {
    key: String,
    effect: String,
}

#[derive(Debug, Deserialize)]
#[serde(expecting = "a mapping (the status of a Node)")]
struct Status {
    addresses: Option<Vec<Address>>,
}

#[derive(Debug, Deserialize)]
#[serde(expecting = "a mapping with a type and an address")]
struct Address {
    r#type: String,
    address: String,
}

impl Node {
    pub(super) fn metadata(&self) -> Option<&Metadata> {
        self.metadata.as_ref()
    }

    pub(super) fn into_api(mut self, name: &ObjectName) -> api::Node {
        let deleting = self.metadata.as_ref().is_some_and(Metadata::is_deleting);
        let spec = self.spec.unwrap_or_default();
        let alone = spec.pod_cidr.filter(|cidr| !cidr.is_empty());
        let pod_cidrs = spec.pod_cidrs.filter(|cidrs| !cidrs.is_empty());
        api::Node {
            name: name.name.to_string(),
            zone: Labels::take(&mut self.metadata).zone,
            addresses: each(
                self.status.and_then(|status| status.addresses),
                Address::into_api,
            ),
            pod_cidrs: pod_cidrs.unwrap_or_else(|| alone.into_iter().collect()),
            deleting,
            taints: each(spec.taints, Taint::into_api),
        }
    }
}

impl Taint {
    fn into_api(self) -> api::Taint {
        api::Taint {
            key: self.key,
            effect: self.effect,
        }
    }
}

impl Address {
    fn into_api(self) -> api::NodeAddress {
        let kind = match self.r#type.as_str() {
            "InternalIP" => NodeAddressKind::InternalIp,
            "ExternalIP" => NodeAddressKind::ExternalIp,
            _ => NodeAddressKind::Other,
        };
        api::NodeAddress {
            kind,
            address: self.address,
        }
    }
}
