//! What is known of this node's health. Knows no clock.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use fairlead_core::address::Family;
use fairlead_core::api::Kind;
use fairlead_core::report::Excluded;

/// A sync that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// When it ended.
    pub(crate) at: Timestamp,
    /// What went wrong.
    pub(crate) message: String,
}

/// Everything that is wrong at present.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Trouble {
    /// What the last sync failed at, if it did.
    pub(crate) failure: Option<Failure>,
    /// The Services that the kernel refuses.
    pub(crate) excluded: Vec<Excluded>,
    /// Why what should be told may not be told.
    pub(crate) source: Vec<String>,
}

/// What the loop has told so far.
#[derive(Debug)]
pub(super) struct State {
    patience: Duration,
    families: BTreeMap<Family, Freshness>,
    node_eligible: bool,
    synced_once: bool,
    awaited: Vec<Kind>,
    trouble: Trouble,
}

/// How far behind the rules of one family are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Freshness {
    /// When all that was asked for was last in the kernel, or the loop began.
    pub(super) updated: Timestamp,
    /// When the oldest change was made that is not in the kernel.
    pub(super) waiting_since: Option<Instant>,
}

impl Freshness {
    /// Nothing waits.
    pub(super) fn fresh(now: Timestamp) -> Freshness {
        Freshness {
            updated: now,
            waiting_since: None,
        }
    }
}

impl State {
    pub(super) fn new(patience: Duration) -> State {
        State {
            patience,
            families: BTreeMap::new(),
            node_eligible: false,
            synced_once: false,
            awaited: Vec::new(),
            trouble: Trouble::default(),
        }
    }

    pub(super) fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// These families are reported from here on.
    pub(super) fn started(&mut self, families: &[Family], now: Timestamp) {
        let fresh = families
            .iter()
            .map(|family| (*family, Freshness::fresh(now)));
        self.families.extend(fresh);
    }

    /// Changes what is known of a family that is reported.
    #[cfg(test)]
    pub(super) fn family(&mut self, family: Family, change: impl FnOnce(&mut Freshness)) {
        self.families.get_mut(&family).map(change);
    }

    /// Changes what is known of all families that are reported.
    pub(super) fn each_family(&mut self, change: impl FnMut(&mut Freshness)) {
        self.families.values_mut().for_each(change);
    }

    /// Everything that was asked for is in the kernel, but for what it refuses.
    pub(super) fn complete(&mut self, excluded: &[Excluded]) {
        self.synced_once = true;
        self.trouble.failure = None;
        self.trouble.excluded = excluded.to_vec();
    }

    pub(super) fn failed(&mut self, failure: Failure) {
        self.trouble.failure = Some(failure);
    }

    pub(super) fn source(&mut self, problems: Vec<String>) {
        self.trouble.source = problems;
    }

    pub(super) fn node_eligible(&mut self, eligible: bool) {
        self.node_eligible = eligible;
    }

    pub(super) fn awaiting(&mut self, awaited: Vec<Kind>) {
        self.awaited = awaited;
    }

    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        self.families()
            .all(|(family, _)| !self.is_stale(family, now))
    }

    /// Whether a change of this family has waited too long.
    pub(super) fn is_stale(&self, family: Family, now: Instant) -> bool {
        let since = self.families.get(&family).and_then(|f| f.waiting_since);
        since.is_some_and(|since| now.saturating_duration_since(since) >= self.patience)
    }

    /// The families that are synced, IPv4 first.
    pub(super) fn families(&self) -> impl Iterator<Item = (Family, Freshness)> {
        self.families
            .iter()
            .map(|(family, freshness)| (*family, *freshness))
    }

    pub(super) fn is_node_eligible(&self) -> bool {
        self.node_eligible
    }

    /// What keeps the first sync from being made, or from being done.
    pub(super) fn missing(&self) -> Vec<&'static str> {
        if self.synced_once {
            return Vec::new();
        }
        let awaited = self.awaited.iter().map(|kind| name(*kind));
        awaited.chain(["first sync"]).collect()
    }

    pub(super) fn trouble(&self) -> &Trouble {
        &self.trouble
    }
}

/// As people call them.
fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Service => "Services",
        Kind::EndpointSlice => "EndpointSlices",
        Kind::Node => "Node",
        Kind::ServiceCidr => "ServiceCIDRs",
    }
}
