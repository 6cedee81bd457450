//! Chooses the endpoint of a connection where this program carries it itself: whose turn it is,
//! whom a client had last, and who does not answer at the moment.
//!
//! ```text
//!  pick ──▶ dial ──▶ connected ──▶ … ──▶ ended
//!    ▲        │
//!    └─ failed ◀┘   and the next pick leaves out those that were tried
//! ```
//!
//! An endpoint that a dial failed to is set aside for a second, and for twice as long after each
//! failed trial, up to a minute. When its time is over, one connection tries it. Those set aside are
//! picked all the same when there is nobody else: a guess must not make a service unreachable.

mod clients;
mod endpoints;
mod ring;

use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::route::{Pool, Target};
use crate::scheduling::Scheduler;
use clients::Clients;
use endpoints::Endpoints;
use ring::Ring;

pub use clients::MOST_CLIENTS;
pub use endpoints::{LONGEST_ASIDE, SHORTEST_ASIDE, TRIAL};

/// Chooses among the endpoints of one service port in one family. The pools share what is known
/// of an endpoint.
#[derive(Debug, Clone, Default)]
pub struct Balancer {
    endpoints: Endpoints,
    cluster: Ring,
    local: Ring,
    clients: Clients,
    scheduler: Scheduler,
    affinity: Option<Duration>,
}

/// What is known of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition {
    /// Which one.
    pub target: Target,
    /// How many connections to it are open.
    pub open: u32,
    /// How many dials failed since it came.
    pub failures: u64,
    /// Whether it is set aside, until a connection to it succeeds.
    pub is_aside: bool,
}

impl Balancer {
    /// One without endpoints.
    pub fn new() -> Balancer {
        Balancer::default()
    }

    /// Has these endpoints from now on. What is known of those that stay is kept, and whose turn it
    /// is. `affinity` is how long a client is remembered after its last connection. Schedulers that
    /// are not of [`Scheduler::IN_USERSPACE`] are as [`Scheduler::Rr`].
    pub fn update(
        &mut self,
        cluster: &[Target],
        local: &[Target],
        scheduler: Scheduler,
        affinity: Option<Duration>,
    ) {
        let next = |ring: &Ring| ring.next().map(|index| self.endpoints.target(index));
        let (next_of_cluster, next_of_local) = (next(&self.cluster), next(&self.local));
        self.endpoints.update(cluster, local);
        self.cluster = self.ring_of(cluster, next_of_cluster);
        self.local = self.ring_of(local, next_of_local);
        self.scheduler = scheduler;
        self.affinity = affinity;
        if affinity.is_none() {
            self.clients = Clients::default();
        }
    }

    /// The endpoint that a client's connection goes to: the one that it had last, or the scheduler's
    /// choice among those that are neither `tried` nor set aside, then among those that are not
    /// tried, then among all. `None` if the pool is empty. `chance(n)` draws from `0..n`.
    ///
    /// From here on the client is remembered, so that connections that it opens at once go to one
    /// endpoint.
    pub fn pick(
        &mut self,
        pool: Pool,
        client: IpAddr,
        tried: &[Target],
        now: Instant,
        chance: &mut impl FnMut(u32) -> u32,
    ) -> Option<Target> {
        let index = match self.remembered(pool, client, tried, now) {
            Some(index) => index,
            None => self.scheduled(pool, tried, now, chance)?,
        };
        self.endpoints.begin_trial(index, now);
        self.remember(index, client, now);
        Some(self.endpoints.target(index))
    }

    /// A dial succeeded: the same as [`opened`](Balancer::opened) and
    /// [`answered`](Balancer::answered).
    pub fn connected(&mut self, target: Target, client: IpAddr, now: Instant) {
        self.opened(target, client, now);
        self.answered(target);
    }

    /// A connection to an endpoint is open, or a session of which nobody can know whether it is
    /// heard there. The time for which the client is remembered begins.
    pub fn opened(&mut self, target: Target, client: IpAddr, now: Instant) {
        self.endpoints.opened(target);
        if let Some(index) = self.endpoints.find(target) {
            self.remember(index, client, now);
        }
    }

    /// An endpoint is there: it is not set aside any more.
    pub fn answered(&mut self, target: Target) {
        self.endpoints.answered(target);
    }

    /// A dial failed, or a session was refused. The endpoint is set aside, and the client is not
    /// bound to it any more.
    pub fn failed(&mut self, target: Target, client: IpAddr, now: Instant) {
        self.endpoints.failed(target, now);
        self.clients.forget(client, target);
    }

    /// A connection that was open is not any more.
    pub fn ended(&mut self, target: Target) {
        self.endpoints.ended(target);
    }

    /// Whether an endpoint is in a pool.
    pub fn has(&self, pool: Pool, target: Target) -> bool {
        let index = self.endpoints.find(target);
        index.is_some_and(|index| self.ring(pool).has(index))
    }

    /// What is known of each endpoint, sorted.
    pub fn conditions(&self) -> impl Iterator<Item = Condition> {
        self.endpoints.conditions()
    }

    /// How many endpoints are set aside.
    pub fn aside(&self) -> usize {
        self.endpoints.aside()
    }

    /// How many connections are open, those included whose endpoint is gone.
    pub fn open(&self) -> u64 {
        self.endpoints.open()
    }

    /// How many clients are remembered, or were and have not been swept yet; at most
    /// [`MOST_CLIENTS`].
    pub fn clients(&self) -> usize {
        self.clients.len()
    }

    /// A pool, in which it is the turn of `next`, or of who comes after it.
    fn ring_of(&self, targets: &[Target], next: Option<Target>) -> Ring {
        let members = self.endpoints.indices(targets);
        let is_before = |index: &u32, next| self.endpoints.target(*index as usize) < next;
        let next = next.map(|next| members.partition_point(|index| is_before(index, next)));
        Ring::new(members, next)
    }

    fn ring(&self, pool: Pool) -> &Ring {
        match pool {
            Pool::Cluster => &self.cluster,
            Pool::Local => &self.local,
        }
    }

    fn remembered(
        &self,
        pool: Pool,
        client: IpAddr,
        tried: &[Target],
        now: Instant,
    ) -> Option<usize> {
        let (target, birth) = self.clients.find(client, self.affinity?, now)?;
        let index = self.endpoints.find(target)?;
        let may = self.endpoints.birth(index) == birth
            && self.ring(pool).has(index)
            && !tried.contains(&target)
            && self.endpoints.takes(index, now);
        may.then_some(index)
    }

    fn scheduled(
        &mut self,
        pool: Pool,
        tried: &[Target],
        now: Instant,
        chance: &mut impl FnMut(u32) -> u32,
    ) -> Option<usize> {
        let (endpoints, scheduler) = (&self.endpoints, self.scheduler);
        let ring = match pool {
            Pool::Cluster => &mut self.cluster,
            Pool::Local => &mut self.local,
        };
        let is_new = |index| !tried.contains(&endpoints.target(index));
        let is_fit = |index| endpoints.takes(index, now) && is_new(index);
        ring.pick(scheduler, endpoints, is_fit, chance)
            .or_else(|| ring.pick(scheduler, endpoints, is_new, chance))
            .or_else(|| ring.pick(scheduler, endpoints, |_| true, chance))
    }

    fn remember(&mut self, index: usize, client: IpAddr, now: Instant) {
        if let Some(affinity) = self.affinity {
            let (target, birth) = (self.endpoints.target(index), self.endpoints.birth(index));
            self.clients.remember(client, target, birth, affinity, now);
        }
    }
}
