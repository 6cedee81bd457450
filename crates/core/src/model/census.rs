//! How much a model holds, kept as it changes so that nobody has to count.

use std::collections::{BTreeMap, BTreeSet};

use super::Model;
use crate::address::{ByFamily, Family};
use crate::api::{Kind, ObjectName};

/// How much a model holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Census {
    services: usize,
    endpoints: ByFamily<usize>,
    /// Objects that something is wrong with.
    flawed: BTreeMap<Kind, BTreeSet<ObjectName>>,
}

impl Census {
    /// The Services that have ports here.
    pub fn services(&self) -> usize {
        self.services
    }

    /// The endpoints in slices with addresses of a family, ready or not. One that is in several
    /// slices counts as often.
    pub fn endpoints(&self, family: Family) -> usize {
        *self.endpoints.of(family)
    }

    /// The objects of a kind that cannot be followed in every part.
    pub fn flawed(&self, kind: Kind) -> usize {
        self.flawed.get(&kind).map_or(0, BTreeSet::len)
    }

    /// A Service had ports or not, and has some now or not.
    pub(super) fn service(&mut self, had: bool, has: bool) {
        self.services = self.services + usize::from(has) - usize::from(had);
    }

    /// A slice held so many endpoints of a family, and holds so many now.
    pub(super) fn slice(&mut self, before: Option<(Family, usize)>, now: Option<(Family, usize)>) {
        if let Some((family, count)) = now {
            *self.endpoints.of_mut(family) += count;
        }
        if let Some((family, count)) = before {
            *self.endpoints.of_mut(family) -= count;
        }
    }

    /// An object was told, and something is wrong with it or not.
    pub(super) fn problems(&mut self, (kind, name): (Kind, ObjectName), any: bool) {
        if any {
            self.flawed.entry(kind).or_default().insert(name);
        } else if let Some(flawed) = self.flawed.get_mut(&kind) {
            flawed.remove(&name);
        }
    }
}

impl Model {
    /// How much it holds.
    pub fn census(&self) -> &Census {
        &self.census
    }
}
