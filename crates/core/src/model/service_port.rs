//! A port of a Service in one IP family.

mod reader;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::address::{Family, Protocol};
use crate::api::ObjectName;
use crate::scheduling::Scheduling;
pub(super) use reader::read;

/// Names a port of a Service. Prints as `namespace/name:port`, without `:port` if the port has
/// no name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServicePortName {
    /// The Service.
    pub service: ObjectName,
    /// The port's name, empty if it has none.
    pub port: Arc<str>,
    /// The protocol, which is part of the identity and is not printed.
    pub protocol: Protocol,
}

impl fmt::Display for ServicePortName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.port {
            "" => write!(f, "{}", self.service),
            port => write!(f, "{}:{port}", self.service),
        }
    }
}

/// A port of a Service in one IP family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePort {
    /// Its name.
    pub name: ServicePortName,
    /// The family of all its addresses.
    pub family: Family,
    /// The cluster IP.
    pub cluster_ip: IpAddr,
    /// The port of all addresses but the nodes'.
    pub port: u16,
    /// The port of the nodes' addresses.
    pub node_port: Option<u16>,
    /// Addresses that are routed to the nodes by other means.
    pub external_ips: Vec<IpAddr>,
    /// Addresses that a load balancer delivers to the nodes.
    pub load_balancer_ips: Vec<IpAddr>,
    /// The only sources that may use the load balancer addresses; empty means all.
    pub source_ranges: Vec<IpNet>,
    /// `externalTrafficPolicy: Local`, on a Service that can be reached from outside.
    pub external_local: bool,
    /// `internalTrafficPolicy: Local`.
    pub internal_local: bool,
    /// `ClientIP` affinity: seconds a client is remembered.
    pub affinity_seconds: Option<u32>,
    /// The annotation `fairlead.dev/scheduler`: how an endpoint is chosen, in ipvs mode.
    pub scheduling: Option<Scheduling>,
    /// Where a load balancer asks whether this node has endpoints.
    pub health_check_node_port: Option<u16>,
}

impl ServicePort {
    /// Whether it has an address that is meant to be reached from outside the cluster.
    pub fn is_externally_accessible(&self) -> bool {
        self.node_port.is_some()
            || !self.load_balancer_ips.is_empty()
            || !self.external_ips.is_empty()
    }

    /// Whether any traffic may go to endpoints on other nodes.
    pub fn uses_cluster_endpoints(&self) -> bool {
        !self.internal_local || self.is_externally_accessible()
    }

    /// Whether any traffic may go to endpoints on this node alone.
    pub fn uses_local_endpoints(&self) -> bool {
        self.internal_local || (self.external_local && self.is_externally_accessible())
    }
}

/// A port number of the API, where 0 and what is out of range is none.
pub(super) fn port_number(number: i32) -> Option<u16> {
    u16::try_from(number).ok().filter(|port| *port != 0)
}
