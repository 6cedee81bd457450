//! The way from what is known to be installed to what should be.

use std::collections::{BTreeSet, HashMap};

use fairlead_core::api::ObjectName;
use fairlead_kernel::iptables::rule::Rule;
use fairlead_kernel::iptables::ruleset::{Batch, ChainName, Op, Table};

use super::frame::Frame;
use super::installed::{Changes, Installed, ServiceRules, rules_of};
use super::plan::TablePlan;
use super::port::Group;
use super::shared::Shared;

impl Installed {
    /// The way from here to what the changes want.
    pub fn advance(mut self, changes: Changes) -> (Vec<Batch>, Installed) {
        let frames = std::mem::take(&mut self.frames);
        let former = self.take_in(changes.groups);
        let mut batches = Vec::new();
        for frame in changes.frames {
            let (mut filter, mut nat) = (TablePlan::default(), TablePlan::default());
            match frames.get(&frame.family) {
                Some(before) if *before == frame => {
                    for (service, old) in &former {
                        let new = self.rules_of(service, &frame);
                        let old = rules_of(old, &frame);
                        self.recount(frame.family, &old, &new);
                        exchange(old, new, &mut filter, &mut nat);
                    }
                }
                before => {
                    // All of its Services' chains may say something else now.
                    nat.stale = self.chains_before(before, &former);
                    self.write(&frame, &mut filter, &mut nat);
                }
            }
            batches.push(filter.batch(frame.family, Table::Filter));
            batches.push(nat.batch(frame.family, Table::Nat));
            self.frames.insert(frame.family, frame);
        }
        batches.retain(|batch| !batch.ops.is_empty());
        (batches, self)
    }

    /// The chains of service ports that there were before.
    fn chains_before(
        &self,
        frame: Option<&Frame>,
        former: &[(ObjectName, Group)],
    ) -> BTreeSet<ChainName> {
        let Some(frame) = frame else {
            return BTreeSet::new();
        };
        let changed: BTreeSet<&ObjectName> = former.iter().map(|(name, _)| name).collect();
        let unchanged = self
            .groups
            .iter()
            .filter(|(name, _)| !changed.contains(name));
        let groups = unchanged.map(|(_, group)| group);
        groups
            .chain(former.iter().map(|(_, group)| group))
            .flat_map(|group| rules_of(group, frame).chains)
            .map(|(chain, _)| chain)
            .collect()
    }
}

/// Plans what makes one Service's rules others. In shared chains its rules go out and come in
/// together, at the head: so they stay in order, and what ends a chain stays at its end.
fn exchange(old: ServiceRules, new: ServiceRules, filter: &mut TablePlan, nat: &mut TablePlan) {
    let mut before: HashMap<ChainName, Vec<Rule>> = old.chains.into_iter().collect();
    for (chain, rules) in new.chains {
        if before.remove(&chain).as_ref() != Some(&rules) {
            nat.write(chain, rules);
        }
    }
    nat.stale.extend(before.into_keys());
    for shared in Shared::ALL {
        let of = |rules: &[(Shared, Rule)]| -> Vec<Rule> {
            let of = rules.iter().filter(|(of, _)| *of == shared);
            of.map(|(_, rule)| rule.clone()).collect()
        };
        let (old, new) = (of(&old.shared), of(&new.shared));
        if old == new {
            continue;
        }
        let plan = match shared.table() {
            Table::Nat => &mut *nat,
            _ => &mut *filter,
        };
        let chain = ChainName::from(shared.chain());
        let remove = old.into_iter().map(|rule| Op::Remove(chain.clone(), rule));
        let insert = new
            .into_iter()
            .rev()
            .map(|rule| Op::Insert(chain.clone(), rule));
        plan.then.extend(remove.chain(insert));
    }
}
