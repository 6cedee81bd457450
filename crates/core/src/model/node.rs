//! This node: its zone, its addresses, its pods' networks.

use std::net::IpAddr;

use ipnet::IpNet;

use super::Problem;
use crate::address::{Family, parse_ip, parse_net};
use crate::api::{self, NodeAddressKind, Taint};

/// What the Node object says of this node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeView {
    /// The label `topology.kubernetes.io/zone`; an empty one is no zone.
    pub zone: Option<String>,
    /// The addresses the node is known by: the first internal one (else external), then the
    /// first of the other family.
    pub ips: Vec<IpAddr>,
    /// `spec.podCIDRs`.
    pub pod_cidrs: Vec<IpNet>,
}

impl NodeView {
    /// The node's address in a family.
    pub fn ip(&self, family: Family) -> Option<IpAddr> {
        self.ips
            .iter()
            .copied()
            .find(|ip| Family::of(*ip) == family)
    }

    /// The family of the node's first address; IPv4 while it has none.
    pub fn primary_family(&self) -> Family {
        self.ips.first().map_or(Family::V4, |ip| Family::of(*ip))
    }
}

/// The taint that the cluster autoscaler gives to a node that it is about to remove.
const TO_BE_DELETED: &str = "ToBeDeletedByClusterAutoscaler";

/// What the Node object says of the node's life. It shapes no rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NodeLife {
    deleting: bool,
    pub(super) taints: Vec<Taint>,
}

impl NodeLife {
    /// Reads a Node.
    pub(super) fn of(node: &api::Node) -> NodeLife {
        NodeLife {
            deleting: node.deleting,
            taints: node.taints.clone(),
        }
    }

    /// Whether load balancers may send new connections here. That a node is cordoned does not
    /// count: its pods go on serving.
    pub(super) fn is_eligible(&self) -> bool {
        !self.deleting && self.taints.iter().all(|taint| taint.key != TO_BE_DELETED)
    }
}

/// Reads a Node, of which one address may be known better; addresses and networks that are none
/// are left out and reported.
pub(super) fn read(node: &api::Node, node_ip: Option<IpAddr>) -> (NodeView, Vec<Problem>) {
    let mut problems = Vec::new();
    let mut report = |field: &str, message: String| {
        problems.push(Problem::new(format!("Node {}", node.name), field, message));
    };
    let mut ips: Vec<IpAddr> = node_ip.into_iter().collect();
    for kind in [NodeAddressKind::InternalIp, NodeAddressKind::ExternalIp] {
        for entry in node.addresses.iter().filter(|entry| entry.kind == kind) {
            match parse_ip(&entry.address) {
                Ok(ip) if ips.iter().all(|known| Family::of(*known) != Family::of(ip)) => {
                    ips.push(ip);
                }
                Ok(_) => {}
                Err(error) => report("status.addresses", format!("{error}; it is left out")),
            }
        }
    }
    let mut pod_cidrs = Vec::new();
    for text in &node.pod_cidrs {
        match parse_net(text) {
            Ok(net) => pod_cidrs.push(net),
            Err(error) => report("spec.podCIDRs", format!("{error}; it is left out")),
        }
    }
    (
        NodeView {
            zone: node.zone.clone().filter(|zone| !zone.is_empty()),
            ips,
            pod_cidrs,
        },
        problems,
    )
}
