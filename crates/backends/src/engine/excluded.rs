//! Services that the kernel refuses: left out, so that the others do not wait for them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use fairlead_core::api::ObjectName;
use fairlead_core::report::Excluded;

/// After how long a Service that was refused is tried again without having changed.
const AGAIN: Duration = Duration::from_secs(30);

/// The Services that are left out.
#[derive(Debug, Clone, Default)]
pub(super) struct Exclusions(BTreeMap<ObjectName, Exclusion>);

#[derive(Debug, Clone)]
struct Exclusion {
    why: String,
    again: Instant,
}

impl Exclusions {
    pub(super) fn contains(&self, service: &ObjectName) -> bool {
        self.0.contains_key(service)
    }

    /// Leaves Services out from now on.
    pub(super) fn exclude(&mut self, services: Vec<(ObjectName, String)>, now: Instant) {
        for (service, why) in services {
            let again = now + AGAIN;
            self.0.insert(service, Exclusion { why, again });
        }
    }

    /// Lets those in again that changed, and those whose time has come. Returns the latter.
    pub(super) fn readmit(
        &mut self,
        changed: &BTreeSet<ObjectName>,
        now: Instant,
    ) -> Vec<ObjectName> {
        self.0.retain(|service, _| !changed.contains(service));
        let due = self.0.extract_if(.., |_, exclusion| exclusion.again <= now);
        due.map(|(service, _)| service).collect()
    }

    /// When the next is to be tried again.
    pub(super) fn due(&self) -> Option<Instant> {
        self.0.values().map(|exclusion| exclusion.again).min()
    }

    /// What there is to say of them.
    pub(super) fn told(&self) -> Vec<Excluded> {
        let told = |(service, exclusion): (&ObjectName, &Exclusion)| Excluded {
            service: service.clone(),
            why: exclusion.why.clone(),
        };
        self.0.iter().map(told).collect()
    }
}
