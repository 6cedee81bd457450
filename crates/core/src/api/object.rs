//! Names, the cluster-wide objects, and the [`Change`] that carries all of them.

use std::fmt;
use std::sync::Arc;

use super::{EndpointSlice, Service};

/// `namespace/name`; cluster-wide objects have an empty namespace and print as `name`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectName {
    /// The namespace, empty for a cluster-wide object.
    pub namespace: Arc<str>,
    /// The name inside the namespace.
    pub name: Arc<str>,
}

impl ObjectName {
    /// A namespaced name.
    pub fn new(namespace: &str, name: &str) -> ObjectName {
        ObjectName {
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// The name of a cluster-wide object.
    pub fn cluster(name: &str) -> ObjectName {
        ObjectName::new("", name)
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.namespace {
            "" => f.write_str(&self.name),
            namespace => write!(f, "{namespace}/{}", self.name),
        }
    }
}

/// The kinds of object that are watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// v1 Service.
    Service,
    /// discovery.k8s.io/v1 EndpointSlice.
    EndpointSlice,
    /// v1 Node.
    Node,
    /// networking.k8s.io/v1 ServiceCIDR.
    ServiceCidr,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 4] = [
        Kind::Service,
        Kind::EndpointSlice,
        Kind::Node,
        Kind::ServiceCidr,
    ];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Service => "Service",
            Kind::EndpointSlice => "EndpointSlice",
            Kind::Node => "Node",
            Kind::ServiceCidr => "ServiceCIDR",
        })
    }
}

/// One thing a source has to say.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Change {
    /// A Service appeared or is different now.
    Service(Service),
    /// An EndpointSlice appeared or is different now.
    EndpointSlice(EndpointSlice),
    /// A Node appeared or is different now.
    Node(Node),
    /// A ServiceCIDR appeared or is different now.
    ServiceCidr(ServiceCidr),
    /// An object is gone.
    Deleted(Kind, ObjectName),
    /// Every object of this kind that exists has been told once. Nothing is programmed before
    /// that is so for Services and EndpointSlices.
    Synced(Kind),
}

impl Change {
    /// The object that it is about; `None` if it is about a kind as a whole.
    pub fn object(&self) -> Option<(Kind, ObjectName)> {
        Some(match self {
            Change::Service(service) => (Kind::Service, service.name.clone()),
            Change::EndpointSlice(slice) => (Kind::EndpointSlice, slice.name.clone()),
            Change::Node(node) => (Kind::Node, ObjectName::cluster(&node.name)),
            Change::ServiceCidr(cidr) => (Kind::ServiceCidr, ObjectName::cluster(&cidr.name)),
            Change::Deleted(kind, name) => (*kind, name.clone()),
            Change::Synced(_) => return None,
        })
    }
}

/// A Node: what a proxy needs of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Node {
    /// `metadata.name`.
    pub name: String,
    /// The label `topology.kubernetes.io/zone`, `None` when absent.
    pub zone: Option<String>,
    /// `status.addresses`, in their order.
    pub addresses: Vec<NodeAddress>,
    /// `spec.podCIDRs`, or `spec.podCIDR` alone.
    pub pod_cidrs: Vec<String>,
    /// `metadata.deletionTimestamp` is there.
    pub deleting: bool,
    /// `spec.taints`, in their order.
    pub taints: Vec<Taint>,
}

/// An entry of `spec.taints`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Taint {
    /// `key`.
    pub key: String,
    /// `effect`: `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
}

/// An entry of `status.addresses`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NodeAddress {
    /// Which use the address has.
    pub kind: NodeAddressKind,
    /// The address as written.
    pub address: String,
}

/// The types of node address that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NodeAddressKind {
    /// `InternalIP`.
    InternalIp,
    /// `ExternalIP`.
    ExternalIp,
    /// `Hostname` and all others.
    Other,
}

/// A ServiceCIDR: ranges that cluster IPs are allocated from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServiceCidr {
    /// `metadata.name`.
    pub name: String,
    /// `spec.cidrs` as written.
    pub cidrs: Vec<String>,
}
