//! What the relay has of a service port, and the way from that to something else.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use fairlead_core::route::{Pool, Target};
use fairlead_relay::handle::{Listener, ListenerAddress, Op, Upstream, UpstreamName};

use super::port::Way;

/// What the relay has of a service port.
#[derive(Debug)]
pub(super) struct Relayed {
    pub(super) name: UpstreamName,
    pub(super) upstream: Upstream,
    /// The endpoints of this node, the host's own addresses too.
    pub(super) on_node: Arc<[Target]>,
    pub(super) listeners: BTreeMap<Way, ListenerAddress>,
}

/// What is done before the rules, and what after.
#[derive(Debug, Default)]
pub(super) struct RelayOps {
    pub(super) before: Vec<Op>,
    pub(super) after: Vec<Op>,
    /// Not to be given away before all is done.
    pub(super) freed: Vec<ListenerAddress>,
}

impl Relayed {
    /// The endpoints while the rules still lead to listeners that are about to go: these keep what
    /// they had where nothing takes its place.
    fn until(&self, next: &Upstream) -> Upstream {
        let has_listener = |pool| self.listeners.keys().any(|way| way.pool == pool);
        let of = |pool| match next.pool(pool).is_empty() && has_listener(pool) {
            true => Arc::clone(self.upstream.pool(pool)),
            false => Arc::clone(next.pool(pool)),
        };
        Upstream {
            cluster: of(Pool::Cluster),
            local: of(Pool::Local),
            ..next.clone()
        }
    }
}

impl RelayOps {
    /// What makes of what was there what is wanted. Endpoints are known before anybody listens for
    /// them, and until nobody does.
    pub(super) fn exchange(&mut self, old: Option<Relayed>, now: &Relayed) {
        let name = &now.name;
        let set = |upstream: &Upstream| Op::SetUpstream(name.clone(), upstream.clone());
        let there = old.as_ref();
        let meanwhile = there.map_or_else(|| now.upstream.clone(), |old| old.until(&now.upstream));
        if there.is_none_or(|old| old.upstream != meanwhile) {
            self.before.push(set(&meanwhile));
        }
        let before = old.as_ref().map(|old| &old.listeners);
        for (way, at) in &now.listeners {
            if !has(before, *way, *at) {
                self.before.push(Op::Listen(*at, listener(name, *way)));
            }
        }
        for (way, at) in old.into_iter().flat_map(|old| old.listeners) {
            if !has(Some(&now.listeners), way, at) {
                self.close(at);
            }
        }
        if meanwhile != now.upstream {
            self.after.push(set(&now.upstream));
        }
    }

    pub(super) fn remove(&mut self, gone: Relayed) {
        for at in gone.listeners.into_values() {
            self.close(at);
        }
        self.after.push(Op::RemoveUpstream(gone.name));
    }

    pub(super) fn close(&mut self, at: ListenerAddress) {
        self.after.push(Op::Close(at));
        self.freed.push(at);
    }
}

/// The listener of a way to a service port.
fn listener(name: &UpstreamName, way: Way) -> Listener {
    Listener {
        upstream: name.clone(),
        pool: way.pool,
        source: way.source,
    }
}

/// Whether a way has this listener already.
pub(super) fn has(
    listeners: Option<&BTreeMap<Way, ListenerAddress>>,
    way: Way,
    at: ListenerAddress,
) -> bool {
    listeners.is_some_and(|listeners| listeners.get(&way) == Some(&at))
}

/// Without those endpoints that have an address of the host: what they answer to somebody else's
/// address would leave by another way.
pub(super) fn with_here(upstream: Upstream, is_host: impl Fn(&IpAddr) -> bool) -> Upstream {
    let here = upstream.here.iter().copied();
    let here = here.filter(|target| !is_host(&target.address)).collect();
    Upstream { here, ..upstream }
}
