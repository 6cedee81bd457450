//! Which Services are told one by one.
//!
//! So many at most, all others as a sum, by the rule that counters of nftables mode go by: the
//! first that are used get the places and keep them until they go, for who reads sums over time
//! would have to put a Service together that comes and goes.

use std::collections::{BTreeMap, HashMap};
use std::mem;

use fairlead_core::api::ObjectName;
use fairlead_relay::counts::{Counts, Present, Sums};
use fairlead_relay::handle::UpstreamName;

/// The places, and what was counted.
#[derive(Debug)]
pub(super) struct Places {
    /// How many there are.
    most: usize,
    /// What each upstream had counted when it was read last.
    seen: HashMap<UpstreamName, Sums>,
    services: BTreeMap<ObjectName, Used>,
    others: Sums,
}

/// A Service that is there.
#[derive(Debug, Default)]
struct Used {
    sums: Sums,
    now: Present,
    /// What the last reading found more.
    added: Sums,
    has_place: bool,
}

impl Places {
    /// All are free.
    pub(super) fn new(most: usize) -> Places {
        Places {
            most,
            seen: HashMap::new(),
            services: BTreeMap::new(),
            others: Sums::default(),
        }
    }

    /// Takes a snapshot in.
    pub(super) fn take(&mut self, counts: &Counts) {
        self.services.values_mut().for_each(|service| {
            service.now = Present::default();
        });
        let mut seen = HashMap::with_capacity(counts.upstreams.len());
        let mut there = BTreeMap::new();
        for (upstream, counts) in &counts.upstreams {
            let earlier = self.seen.get(upstream).copied().unwrap_or_default();
            let name = &upstream.port.service;
            let service = there.entry(name.clone()).or_insert_with(|| {
                let known = self.services.remove(name);
                known.unwrap_or_default()
            });
            service.added = service.added.plus(counts.sums.since(earlier));
            service.now = service.now.plus(counts.now);
            seen.insert(upstream.clone(), counts.sums);
        }
        (self.services, self.seen) = (there, seen);
        self.give();
        for service in self.services.values_mut() {
            let added = mem::take(&mut service.added);
            let sums = match service.has_place {
                true => &mut service.sums,
                false => &mut self.others,
            };
            *sums = sums.plus(added);
        }
    }

    /// Those that are told one by one: namespace and name, what adds up, and what is now.
    pub(super) fn services(&self) -> impl Iterator<Item = ([&str; 2], Sums, Present)> {
        let told = self.services.iter().filter(|(_, of)| of.has_place);
        told.map(|(name, of)| ([&*name.namespace, &*name.name], of.sums, of.now))
    }

    /// All others together. What adds up never falls.
    pub(super) fn others(&self) -> (Sums, Present) {
        let others = self.services.values().filter(|of| !of.has_place);
        let now = others.fold(Present::default(), |sum, of| sum.plus(of.now));
        (self.others, now)
    }

    /// Gives free places to those that are used and have none, the busiest first.
    fn give(&mut self) {
        let taken = self.services.values().filter(|of| of.has_place).count();
        let is_used = |of: &&mut Used| !of.has_place && of.added != Sums::default();
        let mut waiting: Vec<_> = self.services.values_mut().filter(is_used).collect();
        waiting.sort_by_key(|of| std::cmp::Reverse(of.added.clients()));
        let free = self.most.saturating_sub(taken);
        for of in waiting.into_iter().take(free) {
            of.has_place = true;
        }
    }
}
