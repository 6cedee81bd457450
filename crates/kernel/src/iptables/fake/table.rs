//! One table of the fake: its chains, and what may be done to them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::super::handle::{ObservedHook, ObservedTable};
use super::super::rule::{Match, Rule, Target};
use super::super::ruleset::{ChainName, Op, TableId};
use super::super::text::rule_text;
use super::{rules, ways};

#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) id: TableId,
    chains: BTreeMap<ChainName, Chain>,
}

#[derive(Debug, Clone, Default)]
struct Chain {
    rules: Vec<Rule>,
    /// How many rules lead to it.
    references: usize,
}

/// What `iptables` says of an errno (libiptc), or what we say of our own mistakes.
const EXISTS: &str = "Chain already exists.";
const NO_CHAIN: &str = "No chain/target/match by that name.";
const NO_RULE: &str = "Bad rule (does a matching rule exist in that chain?).";
const NOT_EMPTY: &str = "Directory not empty.";
const REFERENCES: &str = "Too many links.";
const BUILT_IN: &str = "Can't declare or delete a built-in chain.";

impl Table {
    pub(super) fn new(id: TableId) -> Self {
        let built_in = id.table.built_in().iter();
        let chains = built_in.map(|name| (ChainName::from(*name), Chain::default()));
        Table {
            id,
            chains: chains.collect(),
        }
    }

    /// Does an operation; why not, when it is refused. Then the table is of no more use.
    pub(super) fn apply(&mut self, op: &Op) -> Result<(), String> {
        match op {
            Op::Create(chain) => self.create(chain)?,
            Op::Declare(chain) => self.declare(chain)?,
            Op::Append(chain, rule) => self.add(chain, rule, usize::MAX)?,
            Op::Insert(chain, rule) => self.add(chain, rule, 0)?,
            Op::Remove(chain, rule) => self.remove(chain, rule)?,
            Op::Delete(chain) => self.delete(chain)?,
        }
        Ok(())
    }

    /// Whether the kernel takes the table as it is now.
    pub(super) fn validate(&self, accounting: &BTreeSet<String>) -> Result<(), &'static str> {
        let mut rules = self.chains.values().flat_map(|chain| &chain.rules);
        rules.try_for_each(|rule| rules::accept(self.id, rule, accounting))?;
        ways::follow(self)
    }

    fn create(&mut self, name: &ChainName) -> Result<(), String> {
        if self.chains.contains_key(name) {
            return Err(EXISTS.to_owned());
        }
        rules::check_name(name)?;
        self.chains.insert(name.clone(), Chain::default());
        Ok(())
    }

    fn declare(&mut self, name: &ChainName) -> Result<(), &'static str> {
        if self.is_built_in(name) {
            return Err(BUILT_IN);
        }
        rules::check_name(name)?;
        let chain = self.chains.entry(name.clone()).or_default();
        let rules = std::mem::take(&mut chain.rules);
        rules.iter().for_each(|rule| self.count(rule, -1));
        Ok(())
    }

    /// A rule as the kernel has it, if it can be in a chain.
    fn checked(&self, chain: &ChainName, rule: &Rule) -> Result<Rule, String> {
        rules::check(self.id, chain, rule)?;
        match &rule.target {
            Some(Target::Jump(to)) if self.is_built_in(to) => Err(NO_CHAIN.to_owned()),
            Some(Target::Jump(to)) if !self.chains.contains_key(to) => Err(format!(
                "Couldn't load target `{to}':No such file or directory"
            )),
            _ => Ok(rules::canonical(rule)),
        }
    }

    fn add(&mut self, chain: &ChainName, rule: &Rule, at: usize) -> Result<(), String> {
        let rule = self.checked(chain, rule)?;
        self.count(&rule, 1);
        let rules = &mut self.chains.get_mut(chain).ok_or(NO_CHAIN)?.rules;
        rules.insert(at.min(rules.len()), rule);
        Ok(())
    }

    fn remove(&mut self, chain: &ChainName, rule: &Rule) -> Result<(), String> {
        let rule = self.checked(chain, rule)?;
        let rules = &mut self.chains.get_mut(chain).ok_or(NO_CHAIN)?.rules;
        let at = rules.iter().position(|one| *one == rule).ok_or(NO_RULE)?;
        rules.remove(at);
        self.count(&rule, -1);
        Ok(())
    }

    fn delete(&mut self, name: &ChainName) -> Result<(), &'static str> {
        if self.is_built_in(name) {
            return Err(BUILT_IN);
        }
        let chain = self.chains.get(name).ok_or(NO_CHAIN)?;
        if chain.references > 0 {
            return Err(REFERENCES);
        }
        if !chain.rules.is_empty() {
            return Err(NOT_EMPTY);
        }
        self.chains.remove(name);
        Ok(())
    }

    /// One more rule, or one less, leads to where this one leads.
    fn count(&mut self, rule: &Rule, difference: isize) {
        let Some(Target::Jump(to)) = &rule.target else {
            return;
        };
        if let Some(chain) = self.chains.get_mut(to) {
            chain.references = chain.references.saturating_add_signed(difference);
        }
    }

    fn is_built_in(&self, name: &str) -> bool {
        self.id.table.built_in().contains(&name)
    }

    pub(super) fn rules(&self, chain: &str) -> &[Rule] {
        self.chains.get(chain).map_or(&[], |chain| &chain.rules)
    }

    /// The chains that are not built in, sorted.
    pub(super) fn own_chains(&self) -> impl Iterator<Item = &ChainName> {
        self.chains.keys().filter(|name| !self.is_built_in(name))
    }

    pub(super) fn observed(&self) -> ObservedTable {
        let built_in = self.id.table.built_in().iter();
        let hooks = built_in.flat_map(|name| {
            let rules = self.rules(name).iter();
            rules.filter_map(|rule| hook(name, rule))
        });
        ObservedTable {
            chains: self.own_chains().cloned().collect(),
            hooks: hooks.collect(),
        }
    }

    /// Writes what stands between `*TABLE` and `COMMIT`.
    pub(super) fn save(&self, text: &mut String) {
        let built_in = self.id.table.built_in();
        for name in built_in {
            let _ = writeln!(text, ":{name} ACCEPT [0:0]");
        }
        for name in self.own_chains() {
            let _ = writeln!(text, ":{name} - [0:0]");
        }
        let own = self.own_chains().map(|name| &**name);
        for name in built_in.iter().copied().chain(own) {
            for rule in self.rules(name) {
                let _ = writeln!(text, "-A {name}{}", rule_text(rule, self.id.family));
            }
        }
    }
}

/// What is observed of a rule of a built-in chain.
fn hook(chain: &str, rule: &Rule) -> Option<ObservedHook> {
    let Some(Target::Jump(target)) = &rule.target else {
        return None;
    };
    let comment = rule.matches.iter().find_map(|one| match one {
        Match::Comment(text) => Some(text.clone()),
        _ => None,
    });
    Some(ObservedHook {
        chain: chain.into(),
        target: target.clone(),
        comment,
    })
}
