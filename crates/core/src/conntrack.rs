//! Which tracked connections have outlived what they were made for.
//!
//! The kernel goes on translating the packets of a connection it knows, whatever the rules say.
//! TCP ends by itself; UDP and SCTP clients may send for ever to an endpoint that is gone, or to
//! a Service whose first packets came when it had no endpoint.
//!
//! A connection to an endpoint that serves is never cut, wherever that endpoint is and whatever
//! the traffic policy says by now: as in kube-proxy, policies choose for new connections.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::address::{Family, Protocol};
use crate::model::{Destination, NodeView};
use crate::route::Target;
use crate::settings::NodePortAddresses;

/// The most destinations that are searched for one by one.
const FEW: usize = 5;

/// So many connections in the table make up for a further walk through it. A walk past 200,000
/// connections that are not wanted took 60 ms, most of it waiting for memory; one that tells them
/// all 380 ms; one through an empty table of the same size 10 ms.
const WORTH_A_WALK: usize = 15_000;

/// What a tracked connection was asked for and who answers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow {
    /// The transport protocol.
    pub protocol: Protocol,
    /// The destination the client asked for.
    pub asked: Target,
    /// The source that answers are expected from.
    pub answers: Target,
}

/// Whether connections of a protocol may go on when what answers them is gone.
pub fn outlives_endpoints(protocol: Protocol) -> bool {
    protocol != Protocol::Tcp
}

/// The destinations that changed, each with the endpoints that serve it now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Suspects {
    /// Endpoints are sorted.
    serving: HashMap<Destination, Arc<[Target]>>,
}

impl Suspects {
    /// Adds the destinations of a service port and the endpoints that serve it; TCP is let alone.
    pub fn insert(
        &mut self,
        destinations: impl IntoIterator<Item = Destination>,
        mut serving: Vec<Target>,
    ) {
        serving.sort_unstable();
        let serving: Arc<[Target]> = serving.into();
        for destination in destinations {
            if outlives_endpoints(protocol(destination)) {
                self.serving.insert(destination, Arc::clone(&serving));
            }
        }
    }

    /// Adds a destination that nothing serves any more, unless something is known to.
    pub fn insert_former(&mut self, destination: Destination) {
        if outlives_endpoints(protocol(destination)) {
            self.serving.entry(destination).or_default();
        }
    }

    /// Adds those of a later sync, which knows better what serves.
    pub fn absorb(&mut self, later: Suspects) {
        self.serving.extend(later.serving);
    }

    /// The families whose connections have to be looked at.
    pub fn families(&self) -> BTreeSet<Family> {
        self.serving.keys().copied().map(family).collect()
    }

    /// Where to look, given how many connections there are: few destinations are searched for one
    /// by one if that is less work.
    pub fn searches(&self, of: Family, connections: usize) -> Vec<Search> {
        let mut destinations: BTreeMap<Protocol, Vec<Destination>> = BTreeMap::new();
        for destination in self.serving.keys().filter(|at| family(**at) == of) {
            let same = destinations.entry(protocol(*destination)).or_default();
            same.push(*destination);
        }
        let mut searches = Vec::new();
        for (protocol, destinations) in destinations {
            let walks = destinations.len();
            if walks <= FEW && connections >= (walks - 1) * WORTH_A_WALK {
                searches.extend(destinations.into_iter().map(Search::Destination));
            } else {
                searches.push(Search::All(protocol));
            }
        }
        searches
    }

    /// Whether there is nothing to look at.
    pub fn is_empty(&self) -> bool {
        self.serving.is_empty()
    }

    /// Whether a connection has to go: it leads to something that does not serve its destination.
    ///
    /// Where nothing serves, a connection that was never translated does no harm: a first packet
    /// that was refused leaves no connection, and there is nothing to lead it to.
    pub fn is_stale(&self, flow: &Flow, node_ports: &NodePortReach) -> bool {
        let Target { address, port } = flow.asked;
        let at_address = Destination::Address(address, flow.protocol, port);
        let at_node = || {
            let at_node = Destination::NodePort(Family::of(address), flow.protocol, port);
            node_ports.has(address).then_some(at_node)
        };
        let serving = self
            .serving
            .get(&at_address)
            .or_else(|| self.serving.get(&at_node()?));
        serving.is_some_and(|serving| match serving.is_empty() {
            true => flow.asked != flow.answers,
            false => serving.binary_search(&flow.answers).is_err(),
        })
    }
}

/// Connections to look through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Search {
    /// Those to one destination.
    Destination(Destination),
    /// All of a protocol.
    All(Protocol),
}

/// The addresses that node ports answer on. A connection to another address of the same port is
/// somebody else's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodePortReach {
    addresses: HashSet<IpAddr>,
    localhost: bool,
}

impl NodePortReach {
    /// Resolves the setting, given the node and the addresses the host has now.
    pub fn new(setting: &NodePortAddresses, node: &NodeView, host: &[IpAddr]) -> NodePortReach {
        let mut reach = NodePortReach::default();
        for family in Family::BOTH {
            let scope = setting.scope(family, node, host);
            reach.localhost |= scope.localhost;
            let of_family = host.iter().filter(|ip| Family::of(**ip) == family);
            match scope.all {
                true => reach.addresses.extend(of_family),
                false => reach.addresses.extend(scope.addresses),
            }
        }
        reach
    }

    fn has(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(ip) if ip.is_loopback() => self.localhost,
            _ => self.addresses.contains(&address),
        }
    }
}

fn protocol(destination: Destination) -> Protocol {
    match destination {
        Destination::Address(_, protocol, _) | Destination::NodePort(_, protocol, _) => protocol,
    }
}

fn family(destination: Destination) -> Family {
    match destination {
        Destination::Address(ip, ..) => Family::of(ip),
        Destination::NodePort(family, ..) => family,
    }
}
