//! Which endpoints serve: readiness, the serving-terminating fallback, topology hints.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::{DropReason, Pool, RejectReason, Verdict};
use crate::model::{Endpoint, ServicePort};

/// Where a connection can be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target {
    /// The endpoint's address.
    pub address: IpAddr,
    /// The port it listens on.
    pub port: u16,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SocketAddr::new(self.address, self.port).fmt(f)
    }
}

/// The endpoints that serve a service port.
#[derive(Debug, Default)]
pub(super) struct Pools {
    /// For traffic that may leave the node; empty when no traffic may.
    pub(super) cluster: Vec<Target>,
    /// For traffic that must stay on the node; empty when no traffic must.
    pub(super) local: Vec<Target>,
    /// Those of either that are on this node.
    pub(super) hairpin: Vec<Target>,
    any_endpoint: bool,
    /// Some endpoint somewhere could serve, even if not from here.
    any_usable: bool,
}

impl Pools {
    /// Sorts the endpoints of a service port into its pools, as Kubernetes means them (KEP-1669
    /// for terminating endpoints, KEP-2433 and KEP-3015 for hints).
    pub(super) fn of(port: &ServicePort, endpoints: &[Endpoint<'_>], zone: Option<&str>) -> Pools {
        let cluster = if port.uses_cluster_endpoints() {
            cluster_pool(endpoints, zone)
        } else {
            Vec::new()
        };
        let local = if port.uses_local_endpoints() {
            local_pool(endpoints)
        } else {
            Vec::new()
        };
        let here = cluster.iter().chain(&local).filter(|e| e.is_local());
        let hairpin: BTreeSet<Target> = here.map(|e| e.target()).collect();
        Pools {
            cluster: cluster.iter().map(|e| e.target()).collect(),
            local: local.iter().map(|e| e.target()).collect(),
            hairpin: hairpin.into_iter().collect(),
            any_endpoint: !endpoints.is_empty(),
            any_usable: endpoints.iter().any(is_usable),
        }
    }

    pub(super) fn cluster_verdict(&self, masquerade: bool) -> Verdict {
        if self.cluster.is_empty() {
            Verdict::Reject(self.reject_reason())
        } else {
            Verdict::Forward {
                pool: Pool::Cluster,
                masquerade,
            }
        }
    }

    pub(super) fn local_verdict(&self, otherwise: DropReason, masquerade: bool) -> Verdict {
        match (self.local.is_empty(), self.any_usable) {
            (false, _) => Verdict::Forward {
                pool: Pool::Local,
                masquerade,
            },
            (true, true) => Verdict::Drop(otherwise),
            (true, false) => Verdict::Reject(self.reject_reason()),
        }
    }

    fn reject_reason(&self) -> RejectReason {
        if self.any_endpoint {
            RejectReason::NoneReady
        } else {
            RejectReason::NoEndpoint
        }
    }
}

/// Whether some endpoint could serve and none that could is on this node.
pub(super) fn are_elsewhere(endpoints: &[Endpoint<'_>]) -> bool {
    let mut usable = endpoints.iter().filter(|e| is_usable(e)).peekable();
    usable.peek().is_some() && !usable.any(Endpoint::is_local)
}

fn is_usable(endpoint: &Endpoint<'_>) -> bool {
    endpoint.is_ready() || endpoint.is_serving_terminating()
}

/// Ready endpoints that the hints allow; if none is ready, those that serve on while they
/// terminate, wherever they are.
fn cluster_pool<'a>(endpoints: &'a [Endpoint<'a>], zone: Option<&str>) -> Vec<&'a Endpoint<'a>> {
    let scope = Scope::of(endpoints, zone);
    let near = endpoints
        .iter()
        .filter(|e| e.is_ready() && scope.includes(e, zone));
    or_terminating(near.collect(), endpoints.iter())
}

/// As the cluster's pool, of this node's endpoints and without hints.
fn local_pool<'a>(endpoints: &'a [Endpoint<'a>]) -> Vec<&'a Endpoint<'a>> {
    let here = || endpoints.iter().filter(|e| e.is_local());
    or_terminating(here().filter(|e| e.is_ready()).collect(), here())
}

fn or_terminating<'a>(
    ready: Vec<&'a Endpoint<'a>>,
    all: impl Iterator<Item = &'a Endpoint<'a>>,
) -> Vec<&'a Endpoint<'a>> {
    if ready.is_empty() {
        all.filter(|e| e.is_serving_terminating()).collect()
    } else {
        ready
    }
}

/// How near endpoints must be. It is decided by the ready ones together: a single one without a
/// hint widens the scope for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Node,
    Zone,
    Cluster,
}

impl Scope {
    fn of(endpoints: &[Endpoint<'_>], zone: Option<&str>) -> Scope {
        let ready = || endpoints.iter().filter(|e| e.is_ready());
        let all_and_one = |hint: &dyn Fn(&Endpoint<'_>) -> (bool, bool)| {
            ready().all(|e| hint(e).0) && ready().any(|e| hint(e).1)
        };
        if all_and_one(&|e| e.node_hint()) {
            Scope::Node
        } else if all_and_one(&|e| e.zone_hint(zone)) {
            Scope::Zone
        } else {
            Scope::Cluster
        }
    }

    fn includes(self, endpoint: &Endpoint<'_>, zone: Option<&str>) -> bool {
        match self {
            Scope::Node => endpoint.node_hint().1,
            Scope::Zone => endpoint.zone_hint(zone).1,
            Scope::Cluster => true,
        }
    }
}
