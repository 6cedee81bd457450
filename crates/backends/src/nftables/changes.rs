//! Elements that come and go, collected until all are known.
//!
//! Elements of most sets belong to one service port. Some sets are shared: a service address is
//! there for every port of its Service, a local endpoint for every Service it serves. They stay
//! until the last that wants them is gone.

use std::collections::{BTreeMap, HashMap};

use fairlead_core::address::Family;
use fairlead_kernel::nft::ruleset::{Bytes, Element, Op, SetName};

use super::observe::Elements;
use super::rows::rows;
use super::schema::{CLUSTER_IPS, DEVICE_IPS, HAIRPIN};
use super::state::{Group, PortState};

/// How many want a shared element.
pub(super) type Wanted = HashMap<(Family, SetName, Bytes), u32>;

/// The elements to remove and to add, by family and set.
#[derive(Debug, Default)]
pub(super) struct ElementChanges {
    removed: BySet,
    added: BySet,
    /// How many wanted a shared element before, for those whose number changed.
    before: Wanted,
}

impl ElementChanges {
    /// A Service's group takes the place of another.
    pub(super) fn replace(&mut self, old: &Group, new: &Group, wanted: &mut Wanted) {
        let mut leaving: HashMap<(Family, SetName, Bytes), Element> = HashMap::new();
        each(old, |family, set, element| {
            if is_shared(set) {
                self.count(wanted, (family, set, element.key), -1);
            } else {
                leaving.insert((family, set, element.key), element);
            }
        });
        each(new, |family, set, element| {
            if is_shared(set) {
                self.count(wanted, (family, set, element.key), 1);
                return;
            }
            match leaving.remove(&(family, set, element.key)) {
                Some(old) if is_same(&old, &element) => {}
                Some(old) => self.exchange(family, set, old, element),
                None => self.add(family, set, element),
            }
        });
        for ((family, set, _), element) in leaving {
            self.remove(family, set, element);
        }
    }

    /// Elements of the frame take the place of others.
    pub(super) fn replace_elements(
        &mut self,
        family: Family,
        old: &[(SetName, Element)],
        new: &[(SetName, Element)],
    ) {
        for (set, element) in old.iter().filter(|row| !new.contains(row)) {
            self.remove(family, set, element.clone());
        }
        for (set, element) in new.iter().filter(|row| !old.contains(row)) {
            self.add(family, set, element.clone());
        }
    }

    /// Settles what is wanted more than once.
    pub(super) fn settle(&mut self, wanted: &mut Wanted) {
        for (key, before) in std::mem::take(&mut self.before) {
            let now = wanted.get(&key).copied().unwrap_or(0);
            let (family, set, bytes) = key;
            let element = Element::new(bytes);
            match (before, now) {
                (0, 1..) => self.add(family, set, element),
                (1.., 0) => self.remove(family, set, element),
                _ => {}
            }
            if now == 0 {
                wanted.remove(&key);
            }
        }
    }

    /// What is found in the kernel already need not be added; what is found and was not added
    /// is to be removed. For changes that began with nothing.
    pub(super) fn reconcile(&mut self, family: Family, found: Elements) {
        for (set, mut found) in found.0 {
            let mut stays = vec![false; found.len()];
            if let Some(added) = self.added.get_mut(&(family, set)) {
                added.retain(|element| {
                    let there = found.binary_search_by_key(&element.key, |there| there.key);
                    let same = there.ok().filter(|at| is_same(&found[*at], element));
                    same.map(|at| stays[at] = true).is_none()
                });
            }
            let mut stays = stays.into_iter();
            found.retain(|_| stays.next() == Some(false));
            self.removed.insert((family, set), found);
        }
    }

    /// Takes the operations of a family out: all removals, then all additions, set by set.
    pub(super) fn take_ops(&mut self, family: Family) -> Vec<Op> {
        let removed = take_family(&mut self.removed, family);
        let removed = removed.map(|(set, elements)| Op::DeleteElements { set, elements });
        let added = take_family(&mut self.added, family);
        let added = added.map(|(set, elements)| Op::AddElements { set, elements });
        removed.chain(added).collect()
    }

    fn count(&mut self, wanted: &mut Wanted, key: (Family, SetName, Bytes), by: i32) {
        let count = wanted.entry(key).or_insert(0);
        self.before.entry(key).or_insert(*count);
        *count = count.saturating_add_signed(by);
    }

    fn exchange(&mut self, family: Family, set: SetName, old: Element, new: Element) {
        self.remove(family, set, old);
        self.add(family, set, new);
    }

    fn remove(&mut self, family: Family, set: SetName, element: Element) {
        self.removed.entry((family, set)).or_default().push(element);
    }

    fn add(&mut self, family: Family, set: SetName, element: Element) {
        self.added.entry((family, set)).or_default().push(element);
    }
}

type BySet = BTreeMap<(Family, SetName), Vec<Element>>;

fn take_family(all: &mut BySet, family: Family) -> impl Iterator<Item = (SetName, Vec<Element>)> {
    all.extract_if(.., move |(of, _), _| *of == family)
        .map(|((_, set), elements)| (set, elements))
        .filter(|(_, elements)| !elements.is_empty())
}

fn each(group: &[PortState], mut take: impl FnMut(Family, SetName, Element)) {
    for port in group {
        rows(port, &mut |set, element| take(port.family, set, element));
    }
}

fn is_shared(set: SetName) -> bool {
    [CLUSTER_IPS, DEVICE_IPS, HAIRPIN].contains(&set)
}

/// A comment counts: a listing should not name a port by the name it had before.
fn is_same(one: &Element, other: &Element) -> bool {
    (&one.data, &one.key_end, &one.comment) == (&other.data, &other.key_end, &other.comment)
}
