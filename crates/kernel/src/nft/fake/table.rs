//! One table of the fake: its chains and sets, and what may be done to them.

use std::collections::BTreeMap;

use super::super::counters::Counts;
use super::super::handle::{ObservedChain, ObservedTable};
use super::super::rule::Rule;
use super::super::ruleset::{
    BaseHook, Batch, Bytes, Chain, ChainKind, ChainName, CounterName, Element, Hook, Op, Set,
    SetName, TableId,
};
use super::super::userdata::comment_text;
use super::rules;
use super::set::{FilledSet, target};

#[derive(Debug, Clone)]
pub(super) struct Table {
    id: TableId,
    comment: &'static str,
    pub(super) counters: BTreeMap<CounterName, Counter>,
    pub(super) chains: BTreeMap<ChainName, FilledChain>,
    pub(super) sets: BTreeMap<SetName, FilledSet>,
}

#[derive(Debug, Clone)]
pub(super) struct Counter {
    comment: &'static str,
    pub(super) counts: Counts,
}

#[derive(Debug, Clone)]
pub(super) struct FilledChain {
    pub(super) chain: Chain,
    pub(super) rules: Vec<Rule>,
}

impl Table {
    pub(super) fn new(id: TableId, comment: &'static str) -> Self {
        Table {
            id,
            comment,
            counters: BTreeMap::new(),
            chains: BTreeMap::new(),
            sets: BTreeMap::new(),
        }
    }

    /// Does an operation on what is in the table; the errno when it is refused.
    pub(super) fn apply(&mut self, op: &Op) -> Result<(), i32> {
        match op {
            // These are the concern of whoever holds the tables.
            Op::AddTable { .. }
            | Op::DeleteTable
            | Op::AddElements { .. }
            | Op::DeleteElements { .. } => Ok(()),
            Op::AddChain(chain) => self.add_chain(chain),
            Op::FlushChain(name) => {
                self.chain_mut(name)?.rules.clear();
                Ok(())
            }
            // The rules here have no handles.
            Op::DeleteRule { .. } => Err(libc::ENOENT),
            Op::DeleteChain(name) => self.delete_chain(name),
            Op::AddRule { chain, rule } => {
                self.chain_mut(chain)?;
                rules::check(self, rule)?;
                self.chain_mut(chain)?.rules.push(rule.clone());
                Ok(())
            }
            Op::AddCounter { name, comment } => {
                let counts = Counts::default();
                let counter = Counter { comment, counts };
                self.counters.entry(name).or_insert(counter);
                Ok(())
            }
            Op::AddSet(set) => self.add_set(set),
            Op::DeleteSet(name) => self.delete_set(name),
            Op::FlushSet(name) => {
                self.set_mut(name)?.flush();
                Ok(())
            }
        }
    }

    /// Refuses what could not be hooked in: the kernel's nat chains see the first packet of a
    /// connection, which conntrack knows.
    fn add_chain(&mut self, chain: &Chain) -> Result<(), i32> {
        if chain.hook.is_some_and(|base| !is_possible(base)) {
            return Err(libc::EOPNOTSUPP);
        }
        let Some(old) = self.chains.get(&chain.name) else {
            let rules = Vec::new();
            let chain = chain.clone();
            self.chains
                .insert(chain.name.clone(), FilledChain { chain, rules });
            return Ok(());
        };
        match (old.chain.hook, chain.hook) {
            // Its policy is what cannot be.
            (None, Some(_)) => Err(libc::EOPNOTSUPP),
            (Some(old), Some(new)) if (old.hook, old.priority) != (new.hook, new.priority) => {
                Err(libc::EOPNOTSUPP)
            }
            (Some(old), Some(new)) if old.kind != new.kind => Err(libc::EEXIST),
            _ => Ok(()),
        }
    }

    fn delete_chain(&mut self, name: &str) -> Result<(), i32> {
        let chain = self.chains.get(name).ok_or(libc::ENOENT)?;
        if !chain.rules.is_empty() || self.refers_to_chain(name) {
            return Err(libc::EBUSY);
        }
        self.chains.remove(name);
        Ok(())
    }

    fn refers_to_chain(&self, name: &str) -> bool {
        let mut rules = self.all_rules();
        let mut sets = self.sets.values();
        rules.any(|rule| rules::chains(rule).any(|chain| chain == name))
            || sets.any(|set| set.targets().any(|chain| chain == name))
    }

    fn add_set(&mut self, set: &Set) -> Result<(), i32> {
        match self.sets.get_mut(set.name) {
            Some(old) => old.define_again(set),
            None => {
                self.sets.insert(set.name, FilledSet::new(set.clone()));
                Ok(())
            }
        }
    }

    fn delete_set(&mut self, name: &str) -> Result<(), i32> {
        if !self.sets.contains_key(name) {
            return Err(libc::ENOENT);
        }
        if self
            .all_rules()
            .any(|rule| rules::sets(rule).any(|set| set == name))
        {
            return Err(libc::EBUSY);
        }
        self.sets.remove(name);
        Ok(())
    }

    pub(super) fn add_element(&mut self, set: &str, element: &Element) -> Result<(), i32> {
        let filled = self.sets.get(set).ok_or(libc::ENOENT)?;
        filled.check(self.id.family, element)?;
        if let Some(chain) = target(element) {
            self.may_go_to(chain)?;
        }
        let family = self.id.family;
        self.set_mut(set)?.add(family, element.clone())
    }

    pub(super) fn delete_element(&mut self, set: &str, element: &Element) -> Result<(), i32> {
        let family = self.id.family;
        self.set_mut(set)?.delete(family, element)
    }

    /// Whether a verdict may lead to this chain.
    pub(super) fn may_go_to(&self, chain: &str) -> Result<(), i32> {
        match self.chains.get(chain) {
            None => Err(libc::ENOENT),
            Some(found) if found.chain.hook.is_some() => Err(libc::EOPNOTSUPP),
            Some(_) => Ok(()),
        }
    }

    /// Whether a rule may use this counter.
    pub(super) fn has_counter(&self, name: &str) -> Result<(), i32> {
        let counter = self.counters.get(name);
        counter.map(drop).ok_or(libc::ENOENT)
    }

    pub(super) fn count_element(&mut self, set: &str, key: &Bytes, bytes: u64) -> Result<(), i32> {
        self.set_mut(set)?.count(key, bytes)
    }

    pub(super) fn count(&mut self, counter: &str, bytes: u64) -> Result<(), i32> {
        let counter = self.counters.get_mut(counter).ok_or(libc::ENOENT)?;
        counter.counts.packets += 1;
        counter.counts.bytes += bytes;
        Ok(())
    }

    pub(super) fn learn(&mut self, set: &str, element: Element) -> Result<(), i32> {
        let family = self.id.family;
        self.set_mut(set)?.learn(family, element)
    }

    fn chain_mut(&mut self, name: &str) -> Result<&mut FilledChain, i32> {
        self.chains.get_mut(name).ok_or(libc::ENOENT)
    }

    fn set_mut(&mut self, name: &str) -> Result<&mut FilledSet, i32> {
        self.sets.get_mut(name).ok_or(libc::ENOENT)
    }

    fn all_rules(&self) -> impl Iterator<Item = &Rule> {
        self.chains.values().flat_map(|chain| &chain.rules)
    }

    pub(super) fn validate(&self) -> Result<(), i32> {
        rules::validate(self)
    }
}

/// nf_tables_api.c: no nat in `forward`, none before `NF_IP_PRI_CONNTRACK`
/// (linux/netfilter_ipv4.h); and nft_chain_route.c: `route` at `output` alone.
fn is_possible(base: BaseHook) -> bool {
    const NF_IP_PRI_CONNTRACK: i32 = -200;
    match base.kind {
        ChainKind::Filter => true,
        ChainKind::Nat => base.hook != Hook::Forward && base.priority > NF_IP_PRI_CONNTRACK,
        ChainKind::Route => base.hook == Hook::Output,
    }
}

/// What can be read back.
impl Table {
    pub(super) fn observed(&self) -> ObservedTable {
        let family = self.id.family;
        ObservedTable {
            comment: (!self.comment.is_empty()).then(|| comment_text(self.comment).to_owned()),
            chains: self
                .chains
                .values()
                .map(|one| observed_chain(&one.chain))
                .collect(),
            sets: self.sets.values().map(|set| set.observed(family)).collect(),
        }
    }

    pub(super) fn definitions(&self) -> impl Iterator<Item = &Set> {
        self.sets.values().map(|filled| &filled.set)
    }

    pub(super) fn elements(&self, set: &str) -> impl Iterator<Item = &Element> {
        let set = self.sets.get(set);
        set.into_iter().flat_map(|set| set.elements.values())
    }

    pub(super) fn rules(&self, chain: &str) -> &[Rule] {
        self.chains.get(chain).map_or(&[], |chain| &chain.rules)
    }

    pub(super) fn chain_names(&self) -> impl Iterator<Item = &str> {
        self.chains.keys().map(|name| &**name)
    }

    pub(super) fn batch(&self) -> Batch {
        let comment = self.comment;
        let mut ops = vec![Op::AddTable { comment }];
        let counters = self.counters.iter();
        ops.extend(counters.map(|(name, counter)| Op::AddCounter {
            name,
            comment: counter.comment,
        }));
        ops.extend(
            self.chains
                .values()
                .map(|one| Op::AddChain(one.chain.clone())),
        );
        ops.extend(self.definitions().cloned().map(Op::AddSet));
        let elements = |(set, filled): (&SetName, &FilledSet)| Op::AddElements {
            set,
            elements: filled.elements.values().cloned().collect(),
        };
        ops.extend(self.sets.iter().map(elements));
        for (name, filled) in &self.chains {
            let rules = filled.rules.iter().cloned();
            let chain = || name.clone();
            ops.extend(rules.map(|rule| Op::AddRule {
                chain: chain(),
                rule,
            }));
        }
        let table = self.id;
        Batch { table, ops }
    }
}

fn observed_chain(chain: &Chain) -> ObservedChain {
    ObservedChain {
        name: chain.name.to_string(),
        hook: chain.hook,
        foreign: false,
    }
}
