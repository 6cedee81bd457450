//! What is in the kernel when we do not know, in our own terms.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use fairlead_core::address::Family;
use fairlead_core::model::Destination;
use fairlead_kernel::nft::handle::{ObservedChain, ObservedSet, ObservedTable};
use fairlead_kernel::nft::ruleset::{Bytes, Data, DataType, Element, Set, SetName};
use fairlead_kernel::nft::schema::kernel_len;

use super::frame::base_hooks;
use super::schema::{BY_ADDRESS, BY_NODEPORT, Maps, Role, TABLE_COMMENT, sets, table};
use super::slots::{Slot, slots};

/// A table as it was found.
#[derive(Debug, Default)]
pub struct Found {
    /// Elements of our sets.
    pub elements: Elements,
    /// The names of all chains.
    pub chains: Vec<String>,
    /// Endpoints by destination, and the slots they sit in.
    pub slots: HashMap<Destination, Vec<Slot>>,
}

/// Elements by set, sorted by their keys.
#[derive(Debug, Default)]
pub struct Elements(pub(super) BTreeMap<SetName, Vec<Element>>);

impl Elements {
    /// The elements of a set.
    pub fn of(&self, set: &str) -> &[Element] {
        self.0.get(set).map_or(&[], Vec::as_slice)
    }

    /// The element of a set with this key.
    pub fn find(&self, set: &str, key: &Bytes) -> Option<&Element> {
        let sorted = self.of(set);
        let found = sorted.binary_search_by_key(key, |element| element.key);
        found.ok().map(|at| &sorted[at])
    }
}

/// What to do about a table that is there.
#[derive(Debug)]
pub enum Finding {
    /// There is none.
    Nothing,
    /// It was made by another version or for another mode, or someone changed what cannot be mended in place: it is
    /// replaced as a whole.
    Unusable,
    /// It can be brought up to date.
    Usable(Box<Found>),
}

/// Understands an observed table that should do this.
pub fn understand(family: Family, role: Role, observed: Option<ObservedTable>) -> Finding {
    let Some(observed) = observed else {
        return Finding::Nothing;
    };
    let ours = sets(role);
    if observed.comment.as_deref() != Some(TABLE_COMMENT)
        || !observed.sets.iter().all(|set| fits(family, &ours, set))
        || !observed
            .chains
            .iter()
            .all(|chain| is_where_it_belongs(role, chain))
    {
        return Finding::Unusable;
    }
    let mut found = Found {
        chains: observed
            .chains
            .into_iter()
            .map(|chain| chain.name)
            .collect(),
        ..Found::default()
    };
    for set in observed.sets {
        let Some(ours) = ours.iter().find(|ours| ours.name == set.name) else {
            continue;
        };
        found.elements.0.insert(ours.name, set.elements);
    }
    found.slots = slots(family, &found.elements);
    Finding::Usable(Box::new(found))
}

/// The ports of listeners that a table leads to, whoever made it and for whatever version.
pub fn led_to(observed: &ObservedTable) -> BTreeSet<u16> {
    let by_sender = |maps: &Maps| [maps.portals, maps.pod_portals, maps.outside_portals];
    let maps = [BY_ADDRESS, BY_NODEPORT]
        .map(|maps| by_sender(&maps))
        .concat();
    let sets = observed
        .sets
        .iter()
        .filter(|set| maps.contains(&&*set.name));
    let port = |element: &Element| match &element.data {
        Some(Data::Value(value)) => Some(u16::from_be_bytes(*value.as_slice().first_chunk()?)),
        _ => None,
    };
    sets.flat_map(|set| set.elements.iter().filter_map(port))
        .collect()
}

/// Base chains are ours and nobody else's.
fn is_where_it_belongs(role: Role, chain: &ObservedChain) -> bool {
    let ours = base_hooks(role)
        .into_iter()
        .find(|(name, _)| **name == *chain.name)
        .map(|(_, hook)| hook);
    !chain.foreign && chain.hook == ours
}

fn fits(family: Family, ours: &[Set], observed: &ObservedSet) -> bool {
    let Some(ours) = ours.iter().find(|ours| ours.name == observed.name) else {
        return false;
    };
    let length = |fields| kernel_len(fields, table(family).family) as u32;
    let data_len = match &ours.data {
        Some(DataType::Fields(fields)) => Some(length(fields)),
        Some(DataType::Verdict) | None => None,
    };
    observed.key_len == length(ours.key)
        && observed.data_len == data_len
        && observed.verdict_map == (ours.data == Some(DataType::Verdict))
        && observed.interval == ours.interval
        && observed.dynamic == ours.dynamic
        && observed.counted == ours.counted
        && observed.size == ours.size
}
