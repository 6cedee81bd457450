//! v1 Service, reduced.

use super::ObjectName;
use crate::address::{Family, Protocol};

/// A v1 Service.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Service {
    /// `metadata.namespace` and `metadata.name`.
    pub name: ObjectName,
    /// `metadata.creationTimestamp` in seconds since 1970 (UTC). Of two Services that claim one
    /// address and port the older one has it.
    pub created: Option<i64>,
    /// Whether the label `service.kubernetes.io/service-proxy-name` is present: another proxy's.
    pub other_proxy: bool,
    /// The annotation `fairlead.dev/scheduler`.
    pub scheduler: Option<String>,
    /// `spec.type`.
    pub kind: ServiceType,
    /// `spec.clusterIP`: empty, `None` or an address.
    pub cluster_ip: String,
    /// `spec.clusterIPs`.
    pub cluster_ips: Vec<String>,
    /// `spec.ipFamilies`.
    pub ip_families: Vec<Family>,
    /// `spec.externalIPs`.
    pub external_ips: Vec<String>,
    /// `status.loadBalancer.ingress`.
    pub ingress: Vec<Ingress>,
    /// `spec.loadBalancerSourceRanges`.
    pub source_ranges: Vec<String>,
    /// `spec.externalTrafficPolicy`.
    pub external_policy: TrafficPolicy,
    /// `spec.internalTrafficPolicy`.
    pub internal_policy: TrafficPolicy,
    /// `spec.sessionAffinity` with its timeout.
    pub affinity: SessionAffinity,
    /// `spec.healthCheckNodePort`, 0 when absent.
    pub health_check_node_port: i32,
    /// `spec.ports`.
    pub ports: Vec<ServicePort>,
}

/// `spec.type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ServiceType {
    /// Reached by its cluster IP.
    #[default]
    ClusterIp,
    /// Also by a port of every node.
    NodePort,
    /// Also by addresses that a load balancer brings to the nodes.
    LoadBalancer,
    /// A DNS alias, never proxied.
    ExternalName,
}

/// `externalTrafficPolicy` or `internalTrafficPolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TrafficPolicy {
    /// Any endpoint of the cluster.
    #[default]
    Cluster,
    /// Endpoints of this node alone.
    Local,
}

/// `spec.sessionAffinity`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SessionAffinity {
    /// Every connection is for itself.
    #[default]
    None,
    /// A client's connections meet one endpoint until so many seconds have passed without one.
    ClientIp {
        /// `sessionAffinityConfig.clientIP.timeoutSeconds`, `None` when not given.
        timeout_seconds: Option<i32>,
    },
}

/// An entry of `status.loadBalancer.ingress`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Ingress {
    /// The address; empty when the entry has a host name alone.
    pub ip: String,
    /// Whether the node sees the address itself.
    pub mode: IpMode,
}

/// `ipMode` of an ingress entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum IpMode {
    /// Packets arrive with this destination address.
    #[default]
    Vip,
    /// The load balancer delivers to a node port or pod by itself; nodes leave the address alone.
    Proxy,
}

/// An entry of `spec.ports`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServicePort {
    /// The port's name, empty for a Service with one unnamed port.
    pub name: String,
    /// The transport protocol.
    pub protocol: Protocol,
    /// The port of the service addresses.
    pub port: i32,
    /// The port of the node addresses, 0 when absent.
    pub node_port: i32,
}
