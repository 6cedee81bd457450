//! The upstreams as connections see them.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fairlead_core::balance::Balancer;
use fairlead_core::route::{Pool, Target};

use crate::counters::Counters;
use crate::counts::UpstreamCounts;
use crate::handle::{Source, Upstream};

/// An upstream at work: listeners and connections of all threads share it.
#[derive(Debug)]
pub(crate) struct Serving {
    choice: Mutex<Choice>,
    changes: AtomicUsize,
    pub(crate) counters: Counters,
}

/// Who chooses an endpoint, and what it needs for it.
#[derive(Debug)]
struct Choice {
    balancer: Balancer,
    here: Arc<[Target]>,
    dice: Dice,
}

/// An endpoint that was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Picked {
    pub(crate) target: Target,
    /// Whether it may see the client as its client, if the listener has it so.
    pub(crate) sees_client: bool,
}

impl Picked {
    /// Whom the endpoint sees as its client, if not this node.
    pub(crate) fn shows_client(&self, source: Source) -> bool {
        self.sees_client && source == Source::Client
    }
}

impl Serving {
    pub(crate) fn new(upstream: &Upstream) -> Serving {
        let serving = Serving {
            choice: Mutex::new(Choice {
                balancer: Balancer::new(),
                here: Arc::default(),
                dice: Dice::new(),
            }),
            changes: AtomicUsize::new(0),
            counters: Counters::default(),
        };
        serving.set(upstream);
        serving
    }

    /// Has these endpoints from now on.
    pub(crate) fn set(&self, upstream: &Upstream) {
        let affinity = upstream.affinity_seconds;
        let affinity = affinity.map(|seconds| Duration::from_secs(seconds.into()));
        let mut choice = self.choice();
        let (cluster, local) = (&upstream.cluster, &upstream.local);
        let balancer = &mut choice.balancer;
        balancer.update(cluster, local, upstream.scheduler, affinity);
        choice.here = Arc::clone(&upstream.here);
        self.changes.fetch_add(1, Relaxed);
    }

    /// How often it was set: who has seen this number has seen all changes.
    pub(crate) fn changes(&self) -> usize {
        self.changes.load(Relaxed)
    }

    /// Whether an endpoint is in a pool.
    pub(crate) fn has(&self, pool: Pool, target: Target) -> bool {
        self.choice().balancer.has(pool, target)
    }

    /// An endpoint for a client's connection, another one than those that were tried if there is
    /// one; `None` if there are no endpoints.
    pub(crate) fn pick(&self, pool: Pool, client: IpAddr, tried: &[Target]) -> Option<Picked> {
        let mut choice = self.choice();
        let Choice {
            balancer,
            here,
            dice,
        } = &mut *choice;
        let chance = &mut |sides| dice.throw(sides);
        let target = balancer.pick(pool, client, tried, Instant::now(), chance)?;
        let sees_client = target.address != client && here.binary_search(&target).is_ok();
        Some(Picked {
            target,
            sees_client,
        })
    }

    /// An endpoint answered: a connection to it is open.
    pub(crate) fn connected(&self, target: Target, client: IpAddr) {
        let now = Instant::now();
        self.choice().balancer.connected(target, client, now);
    }

    /// A session with an endpoint is open, of which nobody can know whether it is heard.
    pub(crate) fn opened(&self, target: Target, client: IpAddr) {
        let now = Instant::now();
        self.choice().balancer.opened(target, client, now);
    }

    /// An endpoint is there after all.
    pub(crate) fn answered(&self, target: Target) {
        self.choice().balancer.answered(target);
    }

    /// An endpoint did not answer.
    pub(crate) fn failed(&self, target: Target, client: IpAddr) {
        self.counters.dial_failures.add(1);
        self.choice()
            .balancer
            .failed(target, client, Instant::now());
    }

    /// A connection to an endpoint is over.
    pub(crate) fn ended(&self, target: Target) {
        self.choice().balancer.ended(target);
    }

    pub(crate) fn counts(&self) -> UpstreamCounts {
        self.counters.snapshot(self.choice().balancer.aside())
    }

    /// Nothing that is done with the lock leaves a half-made balancer behind.
    fn choice(&self) -> MutexGuard<'_, Choice> {
        self.choice.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Chance enough for a scheduler: SplitMix64 (Steele, Lea and Flood, 2014).
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    fn new() -> Dice {
        // The only chance that the standard library has to offer.
        Dice(RandomState::new().hash_one(0))
    }

    /// One of `0..sides`.
    fn throw(&mut self, sides: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        // The upper half of the product with a number of 32 bits is below `sides`.
        (((mixed >> 32) * u64::from(sides)) >> 32) as u32
    }
}
