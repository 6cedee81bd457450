//! How many service ports a Local policy leaves without an endpoint on this node, kept as syncs
//! go: what a sync did not look at is as it was.

use std::collections::HashMap;

use crate::address::{ByFamily, Family};
use crate::api::ObjectName;
use crate::route::Unserved;

/// Service ports whose endpoints are all on other nodes, by the policy that minds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UnservedPorts {
    /// With `internalTrafficPolicy: Local`.
    pub internal: ByFamily<usize>,
    /// With `externalTrafficPolicy: Local`.
    pub external: ByFamily<usize>,
}

impl UnservedPorts {
    /// Counts one port more.
    pub fn count(&mut self, family: Family, port: Unserved) {
        *self.internal.of_mut(family) += usize::from(port.internal);
        *self.external.of_mut(family) += usize::from(port.external);
    }

    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        *self == UnservedPorts::default()
    }

    fn each_with(self, other: UnservedPorts, act: impl Fn(usize, usize) -> usize) -> UnservedPorts {
        let both = |one: ByFamily<usize>, other: ByFamily<usize>| ByFamily {
            v4: act(one.v4, other.v4),
            v6: act(one.v6, other.v6),
        };
        UnservedPorts {
            internal: both(self.internal, other.internal),
            external: both(self.external, other.external),
        }
    }
}

/// The unserved ports of all Services. Only those that have some take room.
#[derive(Debug, Default)]
pub struct UnservedTally {
    services: HashMap<ObjectName, UnservedPorts>,
    total: UnservedPorts,
}

impl UnservedTally {
    /// A sync looked at everything: what was known before is not needed.
    pub fn forget(&mut self) {
        *self = UnservedTally::default();
    }

    /// A sync looked at a Service and found so many.
    pub fn found(&mut self, service: &ObjectName, ports: UnservedPorts) {
        let before = if ports.is_none() {
            self.services.remove(service)
        } else {
            self.services.insert(service.clone(), ports)
        };
        let others = self
            .total
            .each_with(before.unwrap_or_default(), |total, before| total - before);
        self.total = others.each_with(ports, |others, now| others + now);
    }

    /// The ports of all Services.
    pub fn total(&self) -> UnservedPorts {
        self.total
    }
}
