//! IPVS that notices what others do to it.
//!
//! The kernel tells nobody of changes to virtual and real servers: they have to be looked at. All
//! virtual servers come in one answer; real servers have to be asked for one virtual server after
//! the other, so of those only some are looked at each time.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::handle::{Applied, Ipvs, Op};
use super::server::{ObservedReal, Timeouts, VirtualAddress, VirtualServer};
use crate::error::CallError;

/// How often to look, as often as kube-proxy does.
pub const LOOK_EVERY: Duration = Duration::from_secs(30);

/// Of how many virtual servers the real servers are looked at each time.
const LOOKED_INTO: usize = 256;

/// A handle to IPVS that remembers what it did.
#[derive(Debug)]
pub struct WatchedIpvs<I> {
    ipvs: I,
    known: HashMap<VirtualAddress, Known>,
    /// Whether `known` is all that there was.
    is_read: bool,
    /// Virtual servers whose real servers are looked at next, the last first.
    next: Vec<VirtualAddress>,
    /// What is done in these networks is others' business.
    others: Vec<IpNet>,
    hasher: RandomState,
}

/// What a virtual server is known to be.
#[derive(Debug)]
struct Known {
    server: VirtualServer,
    /// The sum of its real servers' hashes, if they are known: it does not depend on their order.
    reals: Option<u64>,
}

impl<I: Ipvs> WatchedIpvs<I> {
    /// Knows nothing yet.
    pub fn new(ipvs: I) -> WatchedIpvs<I> {
        WatchedIpvs {
            ipvs,
            known: HashMap::new(),
            is_read: false,
            next: Vec::new(),
            others: Vec::new(),
            hasher: RandomState::new(),
        }
    }

    /// The handle itself: what is done to it is done by others.
    pub fn ipvs_mut(&mut self) -> &mut I {
        &mut self.ipvs
    }

    /// Leaves virtual servers in these networks to others from now on: what is done to them is not
    /// noticed.
    pub fn leave(&mut self, others: &[IpNet]) {
        self.others = others.to_vec();
    }

    /// Whether someone else changed virtual servers, or those real servers that it is the turn of,
    /// since they were last read or written here. False as long as they were not read.
    pub fn touched(&mut self) -> Result<bool, CallError> {
        if !self.is_read {
            return Ok(false);
        }
        let mut there = self.ipvs.servers()?;
        there.retain(|server| self.is_watched(&server.address));
        let is_known = |server: &VirtualServer| {
            let known = self.known.get(&server.address);
            known.is_some_and(|known| known.server == *server)
        };
        let watched = self.known.keys().filter(|at| self.is_watched(at)).count();
        if there.len() != watched || !there.iter().all(is_known) {
            return Ok(true);
        }
        if self.next.is_empty() {
            self.next = there.iter().map(|server| server.address).collect();
        }
        let from = self.next.len().saturating_sub(LOOKED_INTO);
        for at in self.next.split_off(from) {
            let there = self.ipvs.reals(at)?;
            let sum = self.sum(&there);
            let known = self.known.get(&at).and_then(|known| known.reals);
            if known.is_some_and(|known| known != sum) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn is_watched(&self, at: &VirtualAddress) -> bool {
        !self.others.iter().any(|net| net.contains(&at.address))
    }

    fn sum(&self, reals: &[ObservedReal]) -> u64 {
        let hashes = reals.iter().map(|real| self.hash(real.server.address));
        hashes.fold(0, u64::wrapping_add)
    }

    fn hash(&self, real: SocketAddr) -> u64 {
        self.hasher.hash_one(real)
    }

    fn note(&mut self, op: &Op) {
        match op {
            Op::AddServer(server) => {
                let (server, reals) = (*server, Some(0));
                self.known.insert(server.address, Known { server, reals });
            }
            Op::EditServer(server) => {
                if let Some(known) = self.known.get_mut(&server.address) {
                    known.server = *server;
                }
            }
            Op::RemoveServer(at) => drop(self.known.remove(at)),
            Op::AddReal(at, real) => self.add(*at, self.hash(real.address)),
            Op::EditReal(..) => {}
            Op::RemoveReal(at, real) => self.add(*at, self.hash(*real).wrapping_neg()),
        }
    }

    fn add(&mut self, at: VirtualAddress, hash: u64) {
        let known = self.known.get_mut(&at);
        if let Some(sum) = known.and_then(|known| known.reals.as_mut()) {
            *sum = sum.wrapping_add(hash);
        }
    }
}

impl<I: Ipvs> Ipvs for WatchedIpvs<I> {
    fn apply(&mut self, ops: &[Op]) -> Result<Applied, CallError> {
        let applied = self.ipvs.apply(ops)?;
        let mut refused = applied.refused.iter().peekable();
        for (at, op) in ops.iter().enumerate() {
            if refused.next_if(|refusal| refusal.op == at).is_none() {
                self.note(op);
            }
        }
        Ok(applied)
    }

    fn servers(&mut self) -> Result<Vec<VirtualServer>, CallError> {
        let there = self.ipvs.servers()?;
        let known = there.iter().map(|server| {
            let known = Known {
                server: *server,
                reals: None,
            };
            (server.address, known)
        });
        self.known = known.collect();
        self.is_read = true;
        Ok(there)
    }

    fn reals(&mut self, of: VirtualAddress) -> Result<Vec<ObservedReal>, CallError> {
        let there = self.ipvs.reals(of)?;
        let sum = self.sum(&there);
        // What was known already is not forgotten for what others made of it.
        if let Some(known) = self.known.get_mut(&of) {
            known.reals.get_or_insert(sum);
        }
        Ok(there)
    }

    fn set_timeouts(&mut self, timeouts: Timeouts) -> Result<(), CallError> {
        self.ipvs.set_timeouts(timeouts)
    }
}
