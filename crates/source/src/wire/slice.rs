//! discovery.k8s.io/v1 EndpointSlice.

use std::collections::HashSet;
use std::sync::Arc;

use fairlead_core::address::Protocol;
use fairlead_core::api::{self, AddressType, ObjectName};
use serde::Deserialize;

use super::field::{Flag, Int, Word};
use super::metadata::{Labels, Metadata};
use super::service::each;

/// A discovery.k8s.io/v1 EndpointSlice.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "a mapping (an EndpointSlice)")]
pub struct EndpointSlice {
    metadata: Option<Metadata>,
    address_type: Word<AddressType>,
    endpoints: Option<Vec<Endpoint>>,
    ports: Option<Vec<PortEntry>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "a mapping with addresses")]
struct Endpoint {
    addresses: Option<Vec<String>>,
    conditions: Option<Conditions>,
    node_name: Option<String>,
    hints: Option<Hints>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(expecting = "a mapping of conditions")]
struct Conditions {
    ready: Option<Flag>,
    serving: Option<Flag>,
    terminating: Option<Flag>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(
    rename_all = "camelCase",
    expecting = "a mapping with forZones or forNodes"
)]
struct Hints {
    for_zones: Option<Vec<Hint>>,
    for_nodes: Option<Vec<Hint>>,
}

#[derive(Debug, Deserialize)]
#[serde(expecting = "a mapping with a name")]
struct Hint {
    name: String,
}

#[derive(Debug, Deserialize)]
#[serde(expecting = "a mapping with a port")]
struct PortEntry {
    name: Option<String>,
    protocol: Option<Word<Protocol>>,
    port: Option<Int>,
}

impl EndpointSlice {
    pub(super) fn metadata(&self) -> Option<&Metadata> {
        self.metadata.as_ref()
    }

    pub(super) fn into_api(mut self, name: ObjectName) -> api::EndpointSlice {
        let triggered = self.metadata.as_ref().and_then(Metadata::triggered);
        let labels = Labels::take(&mut self.metadata);
        let mut nodes = Nodes::default();
        api::EndpointSlice {
            name,
            service: labels.service,
            headless: labels.headless,
            address_type: self.address_type.0,
            endpoints: each(self.endpoints, |endpoint| endpoint.into_api(&mut nodes)),
            ports: each(self.ports, PortEntry::into_api),
            triggered,
        }
    }
}

impl Endpoint {
    fn into_api(self, nodes: &mut Nodes) -> api::Endpoint {
        let conditions = self.conditions.unwrap_or_default();
        let hints = self.hints.unwrap_or_default();
        api::Endpoint {
            addresses: self.addresses.unwrap_or_default(),
            ready: conditions.ready.map(|Flag(ready)| ready),
            serving: conditions.serving.map(|Flag(serving)| serving),
            terminating: conditions.terminating.map(|Flag(terminating)| terminating),
            node_name: self.node_name.map(|name| nodes.shared(&name)),
            zone_hints: each(hints.for_zones, |hint| hint.name),
            node_hints: each(hints.for_nodes, |hint| hint.name),
        }
    }
}

impl PortEntry {
    fn into_api(self) -> api::SlicePort {
        api::SlicePort {
            name: self.name,
            protocol: self
                .protocol
                .map_or(Protocol::Tcp, |Word(protocol)| protocol),
            port: self.port.map(|Int(port)| port),
        }
    }
}

/// The node names of a slice, each allocated once.
#[derive(Default)]
struct Nodes(HashSet<Arc<str>>);

impl Nodes {
    fn shared(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.0.get(name) {
            return Arc::clone(known);
        }
        let name: Arc<str> = name.into();
        self.0.insert(Arc::clone(&name));
        name
    }
}
