//! What can be asked of a relay: the contract that the real one and the fake both keep.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use fairlead_core::address::{Family, Protocol};
use fairlead_core::model::ServicePortName;
use fairlead_core::route::{Pool, Target};
use fairlead_core::scheduling::Scheduler;

/// A relay, the real one or a fake.
pub trait Relay {
    /// Carries out the operations in order, those too that follow one that is refused.
    fn apply(&mut self, ops: &[Op]) -> Vec<Refusal>;

    /// What is set.
    fn observe(&self) -> Relayed;

    /// Where somebody else listens among these: to listen there would be refused with
    /// `EADDRINUSE`.
    fn in_use(&mut self, among: &[ListenerAddress]) -> BTreeSet<ListenerAddress>;
}

/// What a relay does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Relayed {
    /// Where it listens.
    pub listeners: BTreeMap<ListenerAddress, Listener>,
    /// The endpoints it knows.
    pub upstreams: BTreeMap<UpstreamName, Upstream>,
}

/// An operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// There is such an upstream; one that is there already is changed. Connections to endpoints
    /// that are not in it any more go on, datagrams to them do not.
    SetUpstream(UpstreamName, Upstream),
    /// The upstream is gone. No listener has it.
    RemoveUpstream(UpstreamName),
    /// Listen there, for an upstream that is there. If the relay listens there already, what it
    /// accepts from now on is for this.
    Listen(ListenerAddress, Listener),
    /// Do not listen there any more. Connections go on; clients of datagrams are forgotten.
    Close(ListenerAddress),
}

/// Where a listener is: on the loopback address of the family, so that nobody but rules can bring
/// anything from another host to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenerAddress {
    /// Of the loopback address.
    pub family: Family,
    /// TCP or UDP. For SCTP the relay refuses with `EPROTONOSUPPORT`.
    pub protocol: Protocol,
    /// The port.
    pub port: u16,
}

impl ListenerAddress {
    /// What its socket is bound to.
    pub fn socket(&self) -> SocketAddr {
        let ip = match self.family {
            Family::V4 => IpAddr::V4(Ipv4Addr::LOCALHOST),
            Family::V6 => IpAddr::V6(Ipv6Addr::LOCALHOST),
        };
        SocketAddr::new(ip, self.port)
    }
}

impl fmt::Display for ListenerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.protocol, self.socket())
    }
}

/// Whom a listener's clients are carried to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Listener {
    /// Whose endpoints.
    pub upstream: UpstreamName,
    /// Which of them.
    pub pool: Pool,
    /// Whom the endpoint sees.
    pub source: Source,
}

/// Whom an endpoint sees as its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// This node.
    Node,
    /// The client itself where the endpoint is on this node ([`Upstream::here`]) and is not the
    /// client; elsewhere this node, since the answer would not come back through it.
    Client,
}

/// Names an upstream: a service port in one family.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UpstreamName {
    /// The service port.
    pub port: ServicePortName,
    /// The family of its endpoints.
    pub family: Family,
}

impl fmt::Display for UpstreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.port, self.family)
    }
}

/// The endpoints of a service port, and how one is chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// The endpoints of [`Pool::Cluster`], sorted.
    pub cluster: Arc<[Target]>,
    /// The endpoints of [`Pool::Local`], sorted.
    pub local: Arc<[Target]>,
    /// Those of either that are pods of this node with a network of their own, sorted: what they
    /// answer passes this node.
    pub here: Arc<[Target]>,
    /// Who chooses: one of [`Scheduler::IN_USERSPACE`]; any other is as [`Scheduler::Rr`].
    pub scheduler: Scheduler,
    /// How long a client is remembered after its last connection, in seconds; `None`: it is not.
    pub affinity_seconds: Option<u32>,
}

impl Upstream {
    /// The endpoints of a pool.
    pub fn pool(&self, pool: Pool) -> &Arc<[Target]> {
        match pool {
            Pool::Cluster => &self.cluster,
            Pool::Local => &self.local,
        }
    }
}

/// An operation that was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// Its index.
    pub op: usize,
    /// The error number (errno(3)).
    pub errno: i32,
}

impl Refusal {
    /// Whether somebody else listens there (`EADDRINUSE`).
    pub fn is_in_use(&self) -> bool {
        self.errno == libc::EADDRINUSE
    }
}
