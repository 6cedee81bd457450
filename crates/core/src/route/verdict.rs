//! What a decision says.

use ipnet::IpNet;

use crate::model::{Destination, DestinationKind};

/// The decision for one destination of a service port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// What the packet is addressed to.
    pub destination: Destination,
    /// What kind of address that is.
    pub kind: DestinationKind,
    /// What becomes of it, by where it comes from.
    pub verdicts: Verdicts,
    /// The only sources that may use it (others are dropped before anything else), as the
    /// Service gives them: in its order, and one may lie in another. `None` when all may.
    pub sources: Option<Vec<IpNet>>,
}

impl Route {
    /// The endpoints of a balancer that serves all origins alike: those that traffic from outside
    /// this node may go to, which is what the Service promises it; where none of it may, those
    /// that the rest may go to. `None`: nobody may go anywhere.
    pub fn one_pool(&self) -> Option<Pool> {
        let Verdicts {
            local_pod,
            node,
            elsewhere,
        } = self.verdicts;
        let pools = [elsewhere, node, local_pod].into_iter();
        let mut pools = pools.filter_map(|verdict| match verdict {
            Verdict::Forward { pool, .. } => Some(pool),
            Verdict::Reject(_) | Verdict::Drop(_) => None,
        });
        pools.next()
    }
}

/// Where traffic comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A pod of this node (with `ClusterCIDR`: of the cluster), as far as it can be told.
    LocalPod,
    /// This node itself.
    Node,
    /// Anything else.
    Elsewhere,
}

/// One verdict for each origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdicts {
    /// For [`Origin::LocalPod`]. When nothing tells local pods it equals `elsewhere`, but where
    /// masquerading of cluster IP traffic is concerned.
    pub local_pod: Verdict,
    /// For [`Origin::Node`].
    pub node: Verdict,
    /// For [`Origin::Elsewhere`].
    pub elsewhere: Verdict,
}

impl Verdicts {
    /// The same for everybody.
    pub fn same(verdict: Verdict) -> Verdicts {
        Verdicts {
            local_pod: verdict,
            node: verdict,
            elsewhere: verdict,
        }
    }

    /// All of them.
    pub fn all(&self) -> [Verdict; 3] {
        [self.local_pod, self.node, self.elsewhere]
    }

    /// The verdict for an origin.
    pub fn from(&self, origin: Origin) -> Verdict {
        match origin {
            Origin::LocalPod => self.local_pod,
            Origin::Node => self.node,
            Origin::Elsewhere => self.elsewhere,
        }
    }
}

/// What becomes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It goes to an endpoint of the pool.
    Forward {
        /// Which endpoints.
        pool: Pool,
        /// Whether the endpoint sees this node as the source.
        masquerade: bool,
    },
    /// The client is told at once.
    Reject(RejectReason),
    /// The client is told nothing: another node may be the right one to ask.
    Drop(DropReason),
}

/// A list of endpoints of a service port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Pool {
    /// Those of the cluster, near ones alone if topology hints say so.
    Cluster,
    /// Those of this node.
    Local,
}

/// Why a connection is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RejectReason {
    /// The Service has no endpoint at all.
    NoEndpoint,
    /// It has some, but none is ready and none serves on while it terminates.
    NoneReady,
}

/// Why a connection is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// `internalTrafficPolicy: Local`, and only other nodes have endpoints.
    NoLocalEndpointInternal,
    /// `externalTrafficPolicy: Local`, and only other nodes have endpoints.
    NoLocalEndpointExternal,
}
