//! What a batch leaves behind where there was no such table before: what text and JSON print.

use std::collections::BTreeMap;

use super::rule::Rule;
use super::ruleset::{Batch, Bytes, Chain, CounterName, Element, Family, Op, Set};
use super::schema;

/// A table with all that is in it.
#[derive(Debug, Default)]
pub(super) struct Contents<'a> {
    pub(super) comment: &'a str,
    /// With their comments.
    pub(super) counters: Vec<(CounterName, &'a str)>,
    /// In the order they were made, as `nft list` has them.
    pub(super) sets: Vec<FilledSet<'a>>,
    pub(super) chains: Vec<FilledChain<'a>>,
}

/// A set and its elements.
#[derive(Debug)]
pub(super) struct FilledSet<'a> {
    pub(super) set: &'a Set,
    pub(super) elements: BTreeMap<(&'a Bytes, Option<&'a Bytes>), &'a Element>,
}

/// A chain and its rules.
#[derive(Debug)]
pub(super) struct FilledChain<'a> {
    pub(super) chain: &'a Chain,
    pub(super) rules: Vec<&'a Rule>,
}

impl<'a> Contents<'a> {
    /// `None` when the batch leaves no table. Operations on what is not there do nothing: to
    /// refuse them is the kernel's part, not a printer's.
    pub(super) fn of(batch: &'a Batch) -> Option<Self> {
        batch.ops.iter().fold(None, Contents::after)
    }

    fn after(contents: Option<Self>, op: &'a Op) -> Option<Self> {
        let mut contents = match (contents, op) {
            (_, Op::DeleteTable) => return None,
            (None, Op::AddTable { comment }) => {
                return Some(Contents {
                    comment,
                    ..Contents::default()
                });
            }
            (contents, _) => contents?,
        };
        contents.apply(op);
        Some(contents)
    }

    fn apply(&mut self, op: &'a Op) {
        match op {
            // No rule has a handle here.
            Op::AddTable { .. } | Op::DeleteTable | Op::DeleteRule { .. } => {}
            Op::AddChain(chain) => self.add_chain(chain),
            Op::AddRule { chain, rule } => {
                self.with_chain(chain, |chain| chain.rules.push(rule));
            }
            Op::FlushChain(name) => self.with_chain(name, |chain| chain.rules.clear()),
            Op::DeleteChain(name) => self.chains.retain(|chain| chain.chain.name != *name),
            Op::AddCounter { name, comment } => {
                if self.counters.iter().all(|(old, _)| old != name) {
                    self.counters.push((name, comment));
                }
            }
            Op::AddSet(set) => self.add_set(set),
            Op::FlushSet(name) => self.with_set(name, |set| set.elements.clear()),
            Op::DeleteSet(name) => self.sets.retain(|set| set.set.name != *name),
            Op::AddElements { set, elements } => self.with_set(set, |set| {
                for element in elements {
                    set.elements.entry(range(element)).or_insert(element);
                }
            }),
            Op::DeleteElements { set, elements } => self.with_set(set, |set| {
                for element in elements {
                    set.elements.remove(&range(element));
                }
            }),
        }
    }

    fn add_chain(&mut self, chain: &'a Chain) {
        if self.chains.iter().all(|old| old.chain.name != chain.name) {
            let rules = Vec::new();
            self.chains.push(FilledChain { chain, rules });
        }
    }

    fn add_set(&mut self, set: &'a Set) {
        if self.sets.iter().all(|old| old.set.name != set.name) {
            let elements = BTreeMap::new();
            self.sets.push(FilledSet { set, elements });
        }
    }

    fn with_chain(&mut self, name: &str, change: impl FnOnce(&mut FilledChain<'a>)) {
        if let Some(chain) = self.chains.iter_mut().find(|old| *old.chain.name == *name) {
            change(chain);
        }
    }

    fn with_set(&mut self, name: &str, change: impl FnOnce(&mut FilledSet<'a>)) {
        if let Some(set) = self.sets.iter_mut().find(|old| old.set.name == name) {
            change(set);
        }
    }
}

fn range(element: &Element) -> (&Bytes, Option<&Bytes>) {
    (&element.key, element.key_end.as_deref())
}

impl<'a> FilledSet<'a> {
    /// The elements by what their keys mean: the bytes of numbers do not sort as numbers do.
    pub(super) fn sorted(&self, family: Family) -> Vec<&'a Element> {
        let mut elements: Vec<&Element> = self.elements.values().copied().collect();
        elements.sort_by_cached_key(|one| schema::fields(self.set.key, family, &one.key));
        elements
    }
}
