//! networking.k8s.io/v1 ServiceCIDR.

use fairlead_core::api::{self, ObjectName};
use serde::Deserialize;

use super::field::spec;
use super::metadata::Metadata;

/// A networking.k8s.io/v1 ServiceCIDR.
#[derive(Debug, Deserialize)]
#[serde(expecting = "a mapping (a ServiceCIDR)")]
pub struct ServiceCidr {
    metadata: Option<Metadata>,
    #[serde(deserialize_with = "spec")]
    spec: Spec,
}

#[derive(Debug, Deserialize)]
#[serde(expecting = "a mapping with cidrs")]
struct Spec {
    cidrs: Option<Vec<String>>,
}

impl ServiceCidr {
    pub(super) fn metadata(&self) -> Option<&Metadata> {
        self.metadata.as_ref()
    }

    pub(super) fn into_api(self, name: &ObjectName) -> api::ServiceCidr {
        api::ServiceCidr {
            name: name.name.to_string(),
            cidrs: self.spec.cidrs.unwrap_or_default(),
        }
    }
}
