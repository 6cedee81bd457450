//! What one service port has: the routes that its rules say.

use fairlead_core::address::{Family, Protocol};
use fairlead_core::model::{Destination, DestinationKind};
use fairlead_core::route::{Pool, Route, Routes, Target, Verdict};
use fairlead_kernel::iptables::rule;
use fairlead_kernel::iptables::ruleset::ChainName;

use super::names::{PortChain, endpoint_chain, port_chain};

/// What one Service has: its ports, in both families.
pub type Group = Box<[PortState]>;

/// What one service port has in the tables of its family. Its rules are made when they are
/// needed: there are three for every endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortState {
    /// In which family's tables.
    pub family: Family,
    /// The decision that its rules say.
    pub routes: Routes,
    /// The rules of its endpoints have no comments: there are too many of them in the cluster.
    pub terse: bool,
}

impl PortState {
    pub(super) fn chain(&self, kind: PortChain) -> ChainName {
        port_chain(kind, &self.routes.name)
    }

    pub(super) fn endpoint_chain(&self, endpoint: Target) -> ChainName {
        endpoint_chain(&self.routes.name, endpoint)
    }

    /// The chain that sends connections to the endpoints of a pool.
    pub(super) fn pool_chain(&self, pool: Pool) -> ChainName {
        self.chain(match pool {
            Pool::Cluster => PortChain::Cluster,
            Pool::Local => PortChain::Local,
        })
    }

    /// The pools that some traffic goes to, with their endpoints. Where all of a pool's addresses
    /// are another Service's, there is none.
    pub(super) fn pools(&self) -> impl Iterator<Item = (Pool, &[Target])> {
        let Routes {
            cluster,
            local,
            routes,
            ..
        } = &self.routes;
        let is_used = |of: Pool| {
            let mut verdicts = routes.iter().flat_map(|route| route.verdicts.all());
            verdicts.any(|verdict| matches!(verdict, Verdict::Forward { pool, .. } if pool == of))
        };
        let pools = [(Pool::Cluster, &cluster[..]), (Pool::Local, &local[..])];
        pools.into_iter().filter(move |(pool, _)| is_used(*pool))
    }

    /// The endpoints of its pools, each once.
    pub(super) fn endpoints(&self) -> Vec<Target> {
        let mut all: Vec<Target> = self.pools().flat_map(|(_, of)| of).copied().collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The cluster IP's route.
    pub(super) fn cluster_ip(&self) -> Option<&Route> {
        let mut routes = self.routes.routes.iter();
        routes.find(|route| route.kind == DestinationKind::ClusterIp)
    }

    /// The routes of what can be reached from outside the cluster, in the order of their rules:
    /// external IPs, load balancers, the node port.
    pub(super) fn external(&self) -> impl Iterator<Item = &Route> {
        const ORDER: [DestinationKind; 3] = [
            DestinationKind::ExternalIp,
            DestinationKind::LoadBalancer,
            DestinationKind::NodePort,
        ];
        let of = |kind| {
            self.routes
                .routes
                .iter()
                .filter(move |route| route.kind == kind)
        };
        ORDER.into_iter().flat_map(of)
    }

    /// The protocol in iptables' words.
    pub(super) fn protocol(&self) -> rule::Protocol {
        match self.routes.name.protocol {
            Protocol::Tcp => rule::Protocol::Tcp,
            Protocol::Udp => rule::Protocol::Udp,
            Protocol::Sctp => rule::Protocol::Sctp,
        }
    }

    /// What it is reached by.
    pub(super) fn destinations(&self) -> impl Iterator<Item = Destination> {
        self.routes.routes.iter().map(|route| route.destination)
    }
}

/// Whether some endpoint serves what comes to an address from outside the cluster, be it only
/// what this node sends there.
pub(super) fn is_served(route: &Route) -> bool {
    matches!(route.verdicts.node, Verdict::Forward { .. })
}

/// Whether all traffic to an address from outside the cluster is treated alike.
pub(super) fn treats_all_alike(route: &Route) -> bool {
    route.verdicts.elsewhere == route.verdicts.node
}
