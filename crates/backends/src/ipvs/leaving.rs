//! Real servers on their way out: they keep the connections they have and get no new ones.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use fairlead_core::address::Family;
use fairlead_kernel::ipvs::server::{Protocol, VirtualAddress};

/// How soon it is looked whether a real server has connections at all.
const FIRST_LOOK: Duration = Duration::from_secs(1);

/// How often it is looked whether they have ended, as kube-proxy does.
const LOOK_EVERY: Duration = Duration::from_mins(1);

/// Whether connections of a protocol end in a way that tells. IPVS forgets a datagram's flow by
/// itself when its real server is gone.
pub(super) fn has_connections(protocol: Protocol) -> bool {
    protocol == Protocol::Tcp
}

/// The real servers that wait for their connections to end, by virtual server.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    by_server: BTreeMap<VirtualAddress, BTreeSet<SocketAddr>>,
    /// When to look at them.
    look_at: Option<Instant>,
}

impl Leaving {
    pub(super) fn insert(&mut self, of: VirtualAddress, real: SocketAddr, now: Instant) {
        self.by_server.entry(of).or_default().insert(real);
        let soon = now + FIRST_LOOK;
        self.look_at = Some(self.look_at.map_or(soon, |at| at.min(soon)));
    }

    /// It goes or stays after all. False if it was not about to leave.
    pub(super) fn remove(&mut self, of: VirtualAddress, real: SocketAddr) -> bool {
        let Some(reals) = self.by_server.get_mut(&of) else {
            return false;
        };
        let was_leaving = reals.remove(&real);
        if reals.is_empty() {
            self.by_server.remove(&of);
        }
        self.settle();
        was_leaving
    }

    /// The virtual server is gone, and its real servers with it.
    pub(super) fn remove_server(&mut self, of: VirtualAddress) {
        self.by_server.remove(&of);
        self.settle();
    }

    /// They were looked at.
    pub(super) fn looked_at(&mut self, now: Instant) {
        self.look_at = Some(now + LOOK_EVERY);
        self.settle();
    }

    fn settle(&mut self) {
        self.look_at = self.look_at.filter(|_| !self.by_server.is_empty());
    }

    /// When to look at them; `None` if there are none.
    pub(super) fn look_at(&self) -> Option<Instant> {
        self.look_at
    }

    /// How many there are with addresses of a family.
    pub(super) fn count(&self, family: Family) -> usize {
        let of_family = |of: &VirtualAddress| Family::of(of.address) == family;
        let reals = self.by_server.iter().filter(|(of, _)| of_family(of));
        reals.map(|(_, reals)| reals.len()).sum()
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (VirtualAddress, &BTreeSet<SocketAddr>)> {
        self.by_server.iter().map(|(of, reals)| (*of, reals))
    }
}
