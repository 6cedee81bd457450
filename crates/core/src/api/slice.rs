//! discovery.k8s.io/v1 EndpointSlice, reduced.

use std::sync::Arc;

use super::ObjectName;
use crate::address::{Family, Protocol};

/// A discovery.k8s.io/v1 EndpointSlice: some of the endpoints of one Service.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EndpointSlice {
    /// `metadata.namespace` and `metadata.name`.
    pub name: ObjectName,
    /// The label `kubernetes.io/service-name`, the name of the Service in the same namespace.
    pub service: Option<String>,
    /// Whether the label `service.kubernetes.io/headless` is present: not proxied.
    pub headless: bool,
    /// `addressType`.
    pub address_type: AddressType,
    /// `endpoints`.
    pub endpoints: Vec<Endpoint>,
    /// `ports`.
    pub ports: Vec<SlicePort>,
    /// The annotation `endpoints.kubernetes.io/last-change-trigger-time`, in nanoseconds since
    /// 1970 (UTC): when the change that led to this slice happened.
    pub triggered: Option<i128>,
}

/// `addressType` of a slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AddressType {
    /// `IPv4`.
    Ipv4,
    /// `IPv6`.
    Ipv6,
    /// `FQDN`, never proxied.
    Fqdn,
}

impl From<Family> for AddressType {
    fn from(family: Family) -> AddressType {
        match family {
            Family::V4 => AddressType::Ipv4,
            Family::V6 => AddressType::Ipv6,
        }
    }
}

/// An entry of `endpoints`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Endpoint {
    /// `addresses`. Only the first counts.
    pub addresses: Vec<String>,
    /// `conditions.ready`; absent means true.
    pub ready: Option<bool>,
    /// `conditions.serving`; absent means true.
    pub serving: Option<bool>,
    /// `conditions.terminating`; absent means false.
    pub terminating: Option<bool>,
    /// `nodeName`. One allocation serves all endpoints of a slice that are on the same node.
    pub node_name: Option<Arc<str>>,
    /// `hints.forZones[].name`.
    pub zone_hints: Vec<String>,
    /// `hints.forNodes[].name`.
    pub node_hints: Vec<String>,
}

/// An entry of `ports`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SlicePort {
    /// The name that ties it to the Service's port; a port without one is skipped, an empty
    /// name is a name.
    pub name: Option<String>,
    /// The transport protocol.
    pub protocol: Protocol,
    /// The port the endpoints listen on; absent means "all ports" and is skipped.
    pub port: Option<i32>,
}
