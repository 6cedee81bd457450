//! What is said about this node's health: whether its rules are up to date, whether load
//! balancers should send traffic here, and what keeps it from being ready.
//!
//! [`State`] decides, with the time as an argument; [`Health`] is the copy that the loop writes
//! to and the servers read.

mod answers;
mod follow;
pub(crate) mod services;
mod state;

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use fairlead_core::address::Family;
use fairlead_core::api::Kind;
use fairlead_core::report::Excluded;

pub(crate) use answers::Answer;
pub(crate) use follow::ServiceHealth;
#[cfg(test)]
pub(crate) use state::Failure;
pub(crate) use state::Trouble;
use state::{Freshness, State};

/// How many problems are shown: as many as can be read at a glance. The log has all.
const SHOWN: usize = 10;

/// A time on both clocks: what is waited for is measured, what is told has a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    /// For measuring.
    pub(crate) at: Instant,
    /// For telling.
    pub(crate) date: Timestamp,
}

impl Moment {
    /// Now.
    pub(crate) fn now() -> Moment {
        Moment {
            at: Instant::now(),
            date: Timestamp::now(),
        }
    }
}

/// The health of this process, shared. The lock is held for moments and never while anything is
/// written to a socket.
#[derive(Clone)]
pub(crate) struct Health {
    state: Arc<Mutex<State>>,
    source: Arc<OnceLock<AskSource>>,
}

/// Says what is wrong at present with where the objects come from.
type AskSource = Box<dyn Fn() -> Vec<String> + Send + Sync>;

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Health").field(&self.state).finish()
    }
}

impl Health {
    /// A change may wait less than `patience` (kube-proxy: twice the sync period).
    pub(crate) fn new(patience: Duration) -> Health {
        Health {
            state: Arc::new(Mutex::new(State::new(patience))),
            source: Arc::default(),
        }
    }

    /// From here on a change may wait less than this.
    pub(crate) fn set_patience(&self, patience: Duration) {
        self.with(|state| state.set_patience(patience));
    }

    /// The loop that syncs these families has begun: from here on they are reported, and healthy.
    pub(crate) fn started(&self, families: &[Family]) {
        self.with(|state| state.started(families, Timestamp::now()));
    }

    /// Since when a change waits, if one does: the oldest that is not in the kernel.
    pub(crate) fn waiting_since(&self, since: Option<Instant>) {
        self.with(|state| state.each_family(|freshness| freshness.waiting_since = since));
    }

    /// Everything that was asked for is in the kernel, but for the Services that it refuses.
    pub(crate) fn synced(&self, excluded: &[Excluded]) {
        let now = Timestamp::now();
        self.with(|state| {
            state.each_family(|freshness| *freshness = Freshness::fresh(now));
            state.complete(excluded);
        });
    }

    /// A sync failed.
    pub(crate) fn failed(&self, message: String) {
        let at = Timestamp::now();
        self.with(|state| state.failed(state::Failure { at, message }));
    }

    /// Whether load balancers may send traffic here: the Node object is known, is not being
    /// deleted, and the cluster autoscaler does not mean to delete it.
    ///
    /// False until told. Manifest files need not have a Node, and without one nobody can mean to
    /// take it away: then this is to be told at once.
    pub(crate) fn node_eligible(&self, eligible: bool) {
        self.with(|state| state.node_eligible(eligible));
    }

    /// What is wrong at present with where the objects come from. The first few are shown.
    pub(crate) fn source(&self, problems: impl Iterator<Item = String>) {
        let problems = problems.take(SHOWN).collect();
        self.with(|state| state.source(problems));
    }

    /// Asks this, whenever somebody wants to know, what is wrong with where the objects come from:
    /// for a source that gets well again without a word to the loop.
    pub(crate) fn ask_source(&self, ask: impl Fn() -> Vec<String> + Send + Sync + 'static) {
        // There is one source a process.
        let _ = self.source.set(Box::new(ask));
    }

    /// What was not told completely yet.
    pub(crate) fn awaiting(&self, awaited: Vec<Kind>) {
        self.with(|state| state.awaiting(awaited));
    }

    /// The answer of /healthz.
    pub(crate) fn healthz(&self, now: Moment) -> Answer {
        self.with(|state| answers::healthz(state, now))
    }

    /// The answer of /livez.
    pub(crate) fn livez(&self, now: Moment) -> Answer {
        self.with(|state| answers::livez(state, now))
    }

    /// The answer of /readyz.
    pub(crate) fn readyz(&self, now: Moment) -> Answer {
        self.hear_source();
        self.with(|state| answers::readyz(state, now))
    }

    /// Whether no change waits too long, in any family.
    pub(crate) fn is_fresh(&self, now: Instant) -> bool {
        self.with(|state| state.is_fresh(now))
    }

    /// Everything that is wrong at present.
    pub(crate) fn trouble(&self) -> Trouble {
        self.hear_source();
        self.with(|state| state.trouble().clone())
    }

    fn hear_source(&self) {
        if let Some(ask) = self.source.get() {
            self.source(ask().into_iter());
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
