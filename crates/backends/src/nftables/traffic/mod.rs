//! What Services were used for and what was refused, added up from the kernel's counters.
//!
//! The kernel counts by element, and begins anew when an element is made anew. So what is kept
//! here is the sum of what each reading finds more than the one before, and it never falls while
//! a Service is there. Idle Services cost nothing: only elements that have counted something are
//! remembered.
//!
//! So many Services at most are told one by one, all others as a sum. The first that are used
//! get the places and keep them until they go: who reads the sums over time would have to put a
//! Service together that comes and goes. Of those that begin in one reading the busiest are
//! first.

mod totals;

use std::collections::{BTreeMap, HashMap};
use std::mem;
use std::time::{Duration, Instant};

use fairlead_core::address::Family;
use fairlead_kernel::nft::counters::{CountedElement, Counts, ReadCounters};
use fairlead_kernel::nft::handle::CallError;
use fairlead_kernel::nft::ruleset::{Bytes, SetName};

use super::counting::{Direction, Reason};
use super::schema::{BY_ADDRESS, BY_NODEPORT, Maps, table};
use totals::Seen;

pub use totals::Totals;

/// After how many readings without it something is taken to be gone. While others change the
/// table the kernel may leave elements out of one reading. If they were forgotten at once, all
/// that they have counted would be counted again.
const GONE: u32 = 3;

/// How long what was read is good enough at least. Nobody needs it more often.
const FRESH: Duration = Duration::from_secs(1);

/// How many times longer than a reading took it is good enough, so that however many Services
/// there are and however often somebody asks, it takes 2 % of a CPU's time at most.
const PAUSE: u32 = 50;

/// What was counted since the tables were made, as far as it was read.
#[derive(Debug)]
pub struct Traffic {
    families: Vec<Family>,
    /// How many Services may have a place.
    places: usize,
    /// When the kernel is to be read again.
    due: Option<Instant>,
    /// How long the last reading took.
    took: Duration,
    /// The number of the reading that is going on.
    reading: u32,
    elements: HashMap<(Family, SetName, Bytes), Seen>,
    services: HashMap<Box<str>, UsedService>,
    others: Totals,
    refused: BTreeMap<(Family, Reason), (Seen, u64)>,
}

/// A Service that was used.
#[derive(Debug, Default)]
struct UsedService {
    totals: Totals,
    /// What the reading that is going on has found.
    added: Totals,
    /// The last reading that found one of its elements.
    reading: u32,
    /// It is told by itself and not among the others.
    has_place: bool,
}

impl Traffic {
    /// Nothing yet. At most `places` Services will be told one by one.
    pub fn new(families: &[Family], places: usize) -> Traffic {
        Traffic {
            families: families.into(),
            places,
            due: None,
            took: Duration::ZERO,
            reading: 1,
            elements: HashMap::new(),
            services: HashMap::new(),
            others: Totals::default(),
            refused: BTreeMap::new(),
        }
    }

    /// Reads the kernel, unless that was done a moment ago.
    ///
    /// # Errors
    /// When the kernel cannot be read. Nothing is lost by that: the next reading finds it.
    pub fn read(&mut self, from: &mut impl ReadCounters, now: Instant) -> Result<(), CallError> {
        if self.due.is_some_and(|due| now < due) {
            return Ok(());
        }
        let started = Instant::now();
        let read = self.read_tables(from);
        self.took = started.elapsed();
        self.due = Some(now + FRESH.max(self.took * PAUSE));
        read
    }

    /// How long the last reading took.
    pub fn took(&self) -> Duration {
        self.took
    }

    /// The Services that are told one by one, in no order: `namespace/name`, and what was counted.
    pub fn services(&self) -> impl Iterator<Item = (&str, Totals)> {
        let told = self.services.iter().filter(|(_, of)| of.has_place);
        told.map(|(name, of)| (&**name, of.totals))
    }

    /// All others together. It never falls: when a Service gets a place, what it was used for
    /// before stays here.
    pub fn others(&self) -> Totals {
        self.others
    }

    /// How many packets were refused for a reason.
    pub fn refused(&self, reason: Reason) -> u64 {
        let of = |family| self.refused.get(&(family, reason));
        let both = Family::BOTH.into_iter().filter_map(of);
        both.map(|(_, packets)| packets).sum()
    }

    fn read_tables(&mut self, from: &mut impl ReadCounters) -> Result<(), CallError> {
        for family in self.families.clone() {
            let table = table(family);
            for set in counting_sets() {
                from.elements(table, set.0, &mut |element| {
                    self.element(family, set, element);
                })?;
            }
            from.counters(table, &mut |name, counts| {
                self.counter(family, name, counts);
            })?;
        }
        self.end_reading();
        Ok(())
    }

    /// Takes an element of a set of a family's table in.
    fn element(&mut self, family: Family, set: (SetName, Meaning), element: &CountedElement<'_>) {
        let Some(service) = element.comment.map(service_of) else {
            return;
        };
        let key = (family, set.0, element.key);
        let is_known = element.counts != Counts::default() || self.elements.contains_key(&key);
        let counts = match is_known {
            true => {
                let seen = self.elements.entry(key).or_default();
                seen.advance(element.counts, self.reading)
            }
            false => Counts::default(),
        };
        let added = totals(set.1, &element.key, counts);
        if added != Totals::default() && !self.services.contains_key(service) {
            self.services.insert(service.into(), UsedService::default());
        }
        if let Some(service) = self.services.get_mut(service) {
            service.reading = self.reading;
            service.added += added;
        }
    }

    /// Takes a named counter of a family's table in.
    fn counter(&mut self, family: Family, name: &str, counts: Counts) {
        if let Some(reason) = Reason::ALL.into_iter().find(|one| one.name() == name) {
            let (seen, packets) = self.refused.entry((family, reason)).or_default();
            *packets += seen.advance(counts, self.reading).packets;
        }
    }

    fn end_reading(&mut self) {
        let is_there = |reading: u32| reading + GONE > self.reading;
        self.elements.retain(|_, seen| is_there(seen.reading));
        self.services.retain(|_, of| is_there(of.reading));
        self.give_places();
        for service in self.services.values_mut() {
            let added = mem::take(&mut service.added);
            match service.has_place {
                true => service.totals += added,
                false => self.others += added,
            }
        }
        self.reading += 1;
    }

    /// Gives the places that are free to those that have none, the busiest first; by name where
    /// they are equal, so that it does not depend on the order they were read in.
    fn give_places(&mut self) {
        let has_place = |of: &&UsedService| of.has_place;
        let taken = self.services.values().filter(has_place).count();
        let free = self.places.saturating_sub(taken);
        if free == 0 {
            return;
        }
        let waiting = self.services.iter_mut().filter(|(_, of)| !of.has_place);
        let mut waiting: Vec<_> = waiting.collect();
        waiting.sort_unstable_by(|(a_name, a), (b_name, b)| {
            let busiest = b.added.activity().cmp(&a.added.activity());
            busiest.then_with(|| a_name.cmp(b_name))
        });
        for (_, service) in waiting.into_iter().take(free) {
            service.has_place = true;
        }
    }
}

/// What the elements of a set count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Connections,
    Packets,
    Refused,
}

/// The sets that count, with what.
fn counting_sets() -> impl Iterator<Item = (SetName, Meaning)> {
    let of = |maps: &Maps| {
        [
            (maps.connections, Meaning::Connections),
            (maps.traffic, Meaning::Packets),
            (maps.no_endpoint, Meaning::Refused),
        ]
    };
    [&BY_ADDRESS, &BY_NODEPORT].into_iter().flat_map(of)
}

/// The Service of an element, whose comment names a port of it. Both names together are as long
/// as a comment may be (63 bytes each), so they are never cut.
fn service_of(comment: &str) -> &str {
    comment
        .split_once(':')
        .map_or(comment, |(service, _)| service)
}

/// Counts as what they mean.
fn totals(meaning: Meaning, key: &Bytes, counts: Counts) -> Totals {
    let mut totals = Totals::default();
    match meaning {
        Meaning::Connections => totals.connections = counts.packets,
        Meaning::Refused => totals.refused = counts.packets,
        Meaning::Packets if key.as_slice().first() == Some(&Direction::Reply.number()) => {
            totals.reply = counts;
        }
        Meaning::Packets => totals.original = counts,
    }
    totals
}
