//! What a model was told, counted, and what of it no sync has programmed yet.
//!
//! The meaning is kube-proxy's: what it counts as a change of a Service or of endpoints, and
//! which of the times at which endpoints were said to have changed it looks back at.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::address::{ByFamily, Family};
use crate::api::{AddressType, ObjectName};

use super::{Model, ServicePort};

/// So many changes of one Service's endpoints are timed by one sync. More come together only
/// while syncs fail, and those that came first have waited longest.
const MOST_TRIGGERS: usize = 64;

/// What was told so far, and what of it waits for a sync.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    told: Told,
    pending_slices: usize,
    /// The ports of the last sync, of those Services that have others now.
    before: HashMap<ObjectName, Box<[ServicePort]>>,
    /// When what waits was triggered, by the Service whose endpoints it changed.
    triggers: HashMap<ObjectName, Vec<(Family, i128)>>,
    /// Nanoseconds since 1970. What was triggered earlier did not wait for this proxy.
    started: i128,
}

/// How often something was told, be it new or not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Told {
    /// Of Services.
    pub services: u64,
    /// Of EndpointSlices with addresses of a family.
    pub slices: ByFamily<u64>,
}

impl Progress {
    /// What was told since the model was made.
    pub fn told(&self) -> Told {
        self.told
    }

    /// The Services whose ports are not what they were when the last sync succeeded.
    pub fn pending_services(&self) -> usize {
        self.before.len()
    }

    /// How often slices have changed since the last sync that succeeded.
    pub fn pending_slices(&self) -> usize {
        self.pending_slices
    }

    pub(super) fn service_told(&mut self) {
        self.told.services += 1;
    }

    /// A Service that has its old ports back is as if nothing had been.
    pub(super) fn service_changed(
        &mut self,
        name: &ObjectName,
        before: Box<[ServicePort]>,
        now: &[ServicePort],
    ) {
        match self.before.entry(name.clone()) {
            Entry::Occupied(at_last_sync) if **at_last_sync.get() == *now => {
                at_last_sync.remove();
            }
            Entry::Vacant(unchanged) if *before != *now => {
                unchanged.insert(before);
            }
            Entry::Occupied(_) | Entry::Vacant(_) => {}
        }
    }

    /// Names are never proxied and not counted.
    pub(super) fn slice_told(&mut self, address_type: AddressType) {
        match address_type {
            AddressType::Ipv4 => self.told.slices.v4 += 1,
            AddressType::Ipv6 => self.told.slices.v6 += 1,
            AddressType::Fqdn => {}
        }
    }

    pub(super) fn slice_changed(
        &mut self,
        service: &ObjectName,
        family: Family,
        triggered: Option<i128>,
    ) {
        self.pending_slices += 1;
        let Some(triggered) = triggered.filter(|triggered| *triggered > self.started) else {
            return;
        };
        let triggers = self.triggers.entry(service.clone()).or_default();
        if triggers.len() < MOST_TRIGGERS {
            triggers.push((family, triggered));
        }
    }

    /// A slice that goes says when it was last written and not when it went. What its Service
    /// has collected is no longer what the sync will be for.
    pub(super) fn slice_removed(&mut self, service: &ObjectName, family: Family) {
        self.pending_slices += 1;
        if let Some(triggers) = self.triggers.get_mut(service) {
            triggers.retain(|(other, _)| *other != family);
            if triggers.is_empty() {
                self.triggers.remove(service);
            }
        }
    }
}

impl Model {
    /// What was told so far, and what of it waits for a sync.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Says when the proxy started, in nanoseconds since 1970: what was triggered before did not
    /// wait for it and is not timed.
    pub fn set_started(&mut self, started: i128) {
        self.progress.started = started;
    }

    /// All that was told is programmed: nothing waits any more. Returns when each of the changes
    /// of endpoints was triggered, in nanoseconds since 1970, in no order. To be called when a
    /// sync has succeeded and not before, then nothing is lost by one that fails.
    pub fn settle(&mut self) -> Vec<(Family, i128)> {
        self.progress.pending_slices = 0;
        // Not cleared but replaced: the first list of a cluster leaves large tables behind.
        self.progress.before = HashMap::new();
        let triggers = std::mem::take(&mut self.progress.triggers);
        triggers.into_values().flatten().collect()
    }
}
