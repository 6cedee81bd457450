//! The one decision: which endpoints serve which traffic, and why not.
//!
//! [`route`] is pure and is the only place where policy is decided. Backends say its answer in
//! the kernel's words and add nothing.

mod pools;
mod verdict;

use std::net::IpAddr;

use ipnet::IpNet;

pub use pools::Target;
pub use verdict::{DropReason, Origin, Pool, RejectReason, Route, Verdict, Verdicts};

use crate::model::{
    Destination, DestinationKind, Endpoint, ServicePort, ServicePortName, destinations,
};
use crate::scheduling::Scheduling;
use pools::Pools;

/// What a decision depends on besides the Service and its endpoints.
#[derive(Debug, Clone, Copy, Default)]
pub struct Context<'a> {
    /// The zone this node is in.
    pub zone: Option<&'a str>,
    /// Whether something tells the traffic of local pods from other traffic.
    pub detects_local: bool,
    /// Whether all traffic to cluster IPs is masqueraded.
    pub masquerade_all: bool,
    /// This node's address in the port's family.
    pub node_ip: Option<IpAddr>,
}

/// The decision for one service port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routes {
    /// Whose it is.
    pub name: ServicePortName,
    /// How long a client is remembered, with `ClientIP` affinity, in seconds.
    pub affinity_seconds: Option<u32>,
    /// How one is chosen, if the Service says and the mode has a choice.
    pub scheduling: Option<Scheduling>,
    /// The endpoints of [`Pool::Cluster`], sorted.
    pub cluster: Vec<Target>,
    /// The endpoints of [`Pool::Local`], sorted.
    pub local: Vec<Target>,
    /// The endpoints of either pool that are on this node: a pod that is sent back to itself
    /// must not see its own address as the source.
    pub hairpin: Vec<Target>,
    /// How many endpoints the port has, whatever their condition.
    pub endpoints: usize,
    /// Where a load balancer asks whether this node has endpoints.
    pub health_check_node_port: Option<u16>,
    /// One route for each destination.
    pub routes: Vec<Route>,
    /// Destinations that another service port has, and which.
    pub contested: Vec<(Destination, ServicePortName)>,
    /// The traffic policies that nothing on this node answers to.
    pub unserved: Unserved,
}

/// Which of a service port's traffic policies are Local while its endpoints are all on other
/// nodes. A port without any endpoint that serves lacks more than that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unserved {
    /// `internalTrafficPolicy`.
    pub internal: bool,
    /// `externalTrafficPolicy`.
    pub external: bool,
}

/// Decides for a service port, given its endpoints sorted as the model sorts them.
pub fn route(port: &ServicePort, endpoints: &[Endpoint<'_>], context: &Context<'_>) -> Routes {
    let pools = Pools::of(port, endpoints, context.zone);
    let route_to = |(destination, kind)| Route {
        destination,
        kind,
        verdicts: verdicts(port, &pools, kind, context),
        sources: if kind == DestinationKind::LoadBalancer {
            sources(port, context.node_ip, destination)
        } else {
            None
        },
    };
    Routes {
        name: port.name.clone(),
        affinity_seconds: port.affinity_seconds,
        scheduling: port.scheduling,
        endpoints: endpoints.len(),
        health_check_node_port: port.health_check_node_port,
        routes: destinations(port).into_iter().map(route_to).collect(),
        hairpin: pools.hairpin,
        cluster: pools.cluster,
        local: pools.local,
        contested: Vec::new(),
        unserved: unserved(port, endpoints),
    }
}

fn unserved(port: &ServicePort, endpoints: &[Endpoint<'_>]) -> Unserved {
    let is_elsewhere =
        (port.internal_local || port.external_local) && pools::are_elsewhere(endpoints);
    Unserved {
        internal: port.internal_local && is_elsewhere,
        external: port.external_local && is_elsewhere,
    }
}

fn verdicts(
    port: &ServicePort,
    pools: &Pools,
    kind: DestinationKind,
    context: &Context<'_>,
) -> Verdicts {
    match kind {
        DestinationKind::ClusterIp => cluster_ip_verdicts(port, pools, context),
        _ if port.external_local => external_local_verdicts(pools, context),
        _ => Verdicts::same(pools.cluster_verdict(true)),
    }
}

/// Cluster IPs are masqueraded for those who are not pods of the cluster: the answer must come
/// back through this node.
fn cluster_ip_verdicts(port: &ServicePort, pools: &Pools, context: &Context<'_>) -> Verdicts {
    let verdict = |masquerade| {
        if port.internal_local {
            pools.local_verdict(DropReason::NoLocalEndpointInternal, masquerade)
        } else {
            pools.cluster_verdict(masquerade)
        }
    };
    let others = verdict(context.masquerade_all || context.detects_local);
    Verdicts {
        local_pod: verdict(context.masquerade_all),
        node: others,
        elsewhere: others,
    }
}

/// `externalTrafficPolicy: Local` keeps the source of traffic from outside and therefore stays
/// on this node. What comes from this node's pods or the node itself was never outside: it may
/// go anywhere, as if it had used the cluster IP.
fn external_local_verdicts(pools: &Pools, context: &Context<'_>) -> Verdicts {
    let elsewhere = pools.local_verdict(DropReason::NoLocalEndpointExternal, false);
    let local_pod = if context.detects_local {
        pools.cluster_verdict(false)
    } else {
        elsewhere
    };
    Verdicts {
        local_pod,
        node: pools.cluster_verdict(true),
        elsewhere,
    }
}

/// The sources that may use a load balancer's address; `None` when all may. If this node may,
/// then so may the load balancer's address itself: a packet that the node sends to it can carry
/// it as its source.
fn sources(
    port: &ServicePort,
    node_ip: Option<IpAddr>,
    destination: Destination,
) -> Option<Vec<IpNet>> {
    if port.source_ranges.is_empty() {
        return None;
    }
    let mut sources = port.source_ranges.clone();
    let node_may = node_ip.is_some_and(|ip| sources.iter().any(|net| net.contains(&ip)));
    if let (true, Destination::Address(..)) = (node_may, destination) {
        sources.extend(port.load_balancer_ips.iter().map(|ip| IpNet::from(*ip)));
    }
    Some(sources)
}
