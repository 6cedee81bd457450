//! What was left in a table: how much of what is ours was there after our own last change.

use std::collections::HashMap;

use super::super::info::TableSize;
use super::super::rule::Target;
use super::super::ruleset::{ChainName, Op, Table};
use super::save::Saved;

/// Which chains are ours, by their names.
pub type Ours = fn(&str) -> bool;

/// What is ours in a table.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// The chains that are ours, and how many rules they have.
    chains: HashMap<ChainName, u32>,
    /// How many rules of a built-in chain lead to a chain of ours, by the two.
    hooks: HashMap<(ChainName, ChainName), u32>,
    /// How large the table was when it was seen to hold all that. `None` when somebody may have
    /// changed it meanwhile.
    pub(super) size: Option<TableSize>,
}

impl Left {
    /// What is ours of what is there.
    pub(super) fn of(saved: &Saved, ours: Ours) -> Left {
        let mut left = Left::default();
        let own = saved.rules.iter().filter(|(name, _)| ours(name));
        left.chains = own.map(|(name, rules)| (name.clone(), *rules)).collect();
        for hook in saved.hooks.iter().filter(|hook| ours(&hook.target)) {
            *left.hook(&hook.chain, &hook.target) += 1;
        }
        left
    }

    /// Whether there still is as much of it.
    pub(super) fn is_in(&self, saved: &Saved, ours: Ours) -> bool {
        let there = Left::of(saved, ours);
        let chains = self.chains.iter();
        let mut chains = chains.map(|(name, rules)| there.chains.get(name) == Some(rules));
        let hooks = self.hooks.iter();
        let mut hooks = hooks.map(|(hook, rules)| there.hooks.get(hook).unwrap_or(&0) == rules);
        chains.all(|same| same) && hooks.all(|same| same)
    }

    /// These operations were done. Returns by how many entries that makes the table larger, if
    /// it is known.
    pub(super) fn did(&mut self, table: Table, ops: &[Op], ours: Ours) -> Option<i64> {
        // All of them, also after one whose size is not known.
        let entries: Vec<_> = ops.iter().map(|op| self.did_one(table, op, ours)).collect();
        entries.into_iter().sum()
    }

    fn did_one(&mut self, table: Table, op: &Op, ours: Ours) -> Option<i64> {
        let name = op.chain();
        match op {
            Op::Create(_) => {
                self.know(name, ours);
                Some(2)
            }
            Op::Declare(_) => {
                let before = self.chains.get(name).copied();
                self.know(name, ours);
                // It was not there, if it is one of ours; of another nobody knows.
                let rules = before.map(|rules| -i64::from(rules));
                rules.or(ours(name).then_some(2))
            }
            Op::Append(..) | Op::Insert(..) => Some(self.count(table, op, 1)),
            Op::Remove(..) => Some(self.count(table, op, -1)),
            Op::Delete(_) => {
                self.chains.remove(name);
                Some(-2)
            }
        }
    }

    fn know(&mut self, name: &ChainName, ours: Ours) {
        if ours(name) {
            // A copy, apart from the plan that the name is of: a few bytes that stay would keep all
            // of its pages from being given back.
            self.chains.insert(ChainName::from(&**name), 0);
        }
    }

    fn count(&mut self, table: Table, op: &Op, difference: i32) -> i64 {
        let target = op.rule().and_then(|rule| rule.target.as_ref());
        if let Some(rules) = self.chains.get_mut(op.chain()) {
            *rules = rules.saturating_add_signed(difference);
        } else if let Some(Target::Jump(to)) = target
            && self.chains.contains_key(to)
            && table.built_in().contains(&&**op.chain())
        {
            let rules = self.hook(op.chain(), to);
            *rules = rules.saturating_add_signed(difference);
        }
        difference.into()
    }

    fn hook(&mut self, chain: &ChainName, target: &ChainName) -> &mut u32 {
        self.hooks
            .entry((chain.clone(), target.clone()))
            .or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iptables::rule::Rule;

    #[test]
    fn what_is_not_ours_hides_nothing_that_is() {
        let ours: Ours = |name| name.starts_with("OURS-");
        let mut left = Left::default();
        let (own, shared) = (ChainName::from("OURS-A"), ChainName::from("SHARED"));
        let ops = [
            Op::Declare(shared.clone()),
            Op::Append(shared, Rule::default()),
            Op::Declare(own.clone()),
            Op::Append(own.clone(), Rule::default()),
            Op::Insert("INPUT".into(), Rule::default().jump(own.clone())),
        ];
        // Whether the chain that is not ours was there before is not known.
        assert_eq!(left.did(Table::Filter, &ops, ours), None);
        assert_eq!(left.chains, HashMap::from([(own.clone(), 1)]));
        assert_eq!(left.hooks, HashMap::from([(("INPUT".into(), own), 1)]));
    }
}
