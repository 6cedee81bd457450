//! Services that no port was left for, and when to try again.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use fairlead_core::api::ObjectName;
use fairlead_relay::handle::ListenerAddress;

/// How often it is looked whether somebody else has given up a port.
const LOOK: Duration = Duration::from_secs(10);

/// The ports that somebody else had and has not any more.
pub type Survey = BTreeSet<ListenerAddress>;

/// Services that no port was left for.
#[derive(Debug, Default)]
pub(super) struct Starved {
    services: BTreeSet<ObjectName>,
    /// Those of them that a port may be there for, which became free then.
    again: BTreeSet<ObjectName>,
    freed_at: Option<Instant>,
    /// What others gave up.
    vacated: Survey,
    look_at: Option<Instant>,
}

impl Starved {
    pub(super) fn insert(&mut self, service: &ObjectName) {
        self.services.insert(service.clone());
    }

    pub(super) fn remove(&mut self, service: &ObjectName) {
        self.services.remove(service);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.services.is_empty()
    }

    /// A sync is planned. `freed`: it gives up ports. `vacated`: others did. `busy`: others have
    /// some still.
    pub(super) fn planned(&mut self, freed: bool, vacated: Survey, busy: bool, now: Instant) {
        self.again = match freed || !vacated.is_empty() {
            true => self.services.clone(),
            false => BTreeSet::new(),
        };
        self.freed_at = Some(now);
        self.vacated = vacated;
        let waits = busy && !self.services.is_empty();
        let before = self.look_at.filter(|at| *at > now);
        self.look_at = waits.then(|| before.unwrap_or(now + LOOK));
    }

    /// Those that a port may be there for now.
    pub(super) fn again(&self) -> impl Iterator<Item = &ObjectName> {
        self.again.iter()
    }

    /// What others gave up.
    pub(super) fn vacated(&self) -> &Survey {
        &self.vacated
    }

    /// When to try again, or to look whether others gave up what they had.
    pub(super) fn due(&self) -> Option<Instant> {
        let again = self.freed_at.filter(|_| !self.again.is_empty());
        [again, self.look_at].into_iter().flatten().min()
    }
}
