//! What the kernel is known to hold, and the way from there to what it should hold.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use fairlead_core::address::Family;
use fairlead_core::api::ObjectName;
use fairlead_core::model::Destination;
use fairlead_kernel::nft::rule::Rule;
use fairlead_kernel::nft::ruleset::{Batch, Chain, ChainName, Element, Op, SetName, TableId};

use super::chains::DispatchChain;
use super::changes::{ElementChanges, Wanted};
use super::counting;
use super::frame::Frame;
use super::layout::Slots;
use super::observe::{Finding, Found};
use super::plan::Transactions;
use super::rows::rows;
use super::schema::{self, TABLE_COMMENT};
use super::state::{Group, PortState};
use crate::engine::Plan;

/// What a sync wants to be different.
pub type Changes = crate::engine::Changes<Frame, PortState, ()>;

/// How long after the last transaction chains are removed that nothing refers to. Before Linux 6.2
/// the kernel lets go of a chain a moment after the last element that referred to it.
const CHAINS_WAIT: Duration = Duration::from_secs(1);

/// The kernel objects that are there, by what wants them.
#[derive(Debug, Default)]
pub struct Installed {
    frames: BTreeMap<Family, Frame>,
    groups: HashMap<ObjectName, Group>,
    wanted: Wanted,
    /// How many elements refer to a dispatch chain.
    chains: BTreeMap<(Family, DispatchChain), u32>,
    /// Chains that nothing refers to.
    idle: BTreeSet<(Family, ChainName)>,
    /// When anything was changed for the last time.
    changed_at: Option<Instant>,
}

impl Installed {
    /// The way from what was found to what should be there: everything, in one transaction.
    pub fn rebuild(
        findings: Vec<(Family, Finding)>,
        changes: Changes,
    ) -> (Transactions, Installed) {
        let mut installed = Installed {
            changed_at: Some(changes.now),
            ..Installed::default()
        };
        let mut draft = installed.draft(changes);
        let mut plan = Transactions::default();
        for (family, finding) in findings {
            let mut ops = Vec::new();
            let found = match finding {
                Finding::Usable(found) => *found,
                Finding::Nothing => Found::default(),
                Finding::Unusable => {
                    ops.push(Op::DeleteTable);
                    Found::default()
                }
            };
            ops.extend(installed.found_table(family, found, &mut draft));
            plan.changes.push(Batch {
                table: schema::table(family),
                ops,
            });
        }
        (plan, installed)
    }

    /// The way from here to what the changes want. If it cannot be gone, what is installed is
    /// not known any more: that is why it is given away.
    pub fn advance(mut self, changes: Changes) -> (Transactions, Installed) {
        let now = changes.now;
        let retiring = if changes.chores.is_some() {
            std::mem::take(&mut self.idle)
        } else {
            BTreeSet::new()
        };
        let mut draft = self.draft(changes);
        let mut plan = Transactions::default();
        for family in Family::BOTH {
            let table = schema::table(family);
            let chains = self.changed_chains(family, &draft);
            let mut ops = draft.elements.take_ops(family);
            ops.extend(self.retire(family, &retiring));
            if draft.reframed.contains(&family) {
                ops.splice(..0, chains);
            } else {
                plan.chains.push(Batch { table, ops: chains });
            }
            plan.changes.push(Batch { table, ops });
        }
        plan.trim();
        if plan.operations() > 0 {
            self.changed_at = Some(now);
        }
        (plan, self)
    }

    /// The slots of a service port's endpoints.
    pub fn slots(&self, service: &ObjectName, is_it: impl Fn(&PortState) -> bool) -> Slots {
        let mut ports = self.groups.get(service).into_iter().flatten();
        ports
            .find(|port| is_it(port))
            .map_or_else(Slots::new, |port| port.layout.slots())
    }

    /// What a Service is reached by.
    pub fn destinations(&self, service: &ObjectName) -> impl Iterator<Item = Destination> + '_ {
        let ports = self.groups.get(service).into_iter().flatten();
        ports
            .flat_map(|port| &port.destinations)
            .map(|state| state.destination)
    }

    /// The Service that wants an element; the first by name, of a shared one. Goes through all of
    /// them: for when something went wrong.
    pub fn owner(&self, table: TableId, set: SetName, element: &Element) -> Option<&ObjectName> {
        let wants = |group: &Group| {
            let mut found = false;
            let ports = group
                .iter()
                .filter(|port| schema::table(port.family) == table);
            ports.for_each(|port| {
                rows(port, &mut |of, row| {
                    found |= of == set && row.key == element.key;
                });
            });
            found
        };
        let owners = self.groups.iter().filter(|(_, group)| wants(group));
        owners.map(|(service, _)| service).min()
    }

    /// When chains that wait to be removed can be.
    pub fn chores_due(&self) -> Option<Instant> {
        let changed_at = self.changed_at.filter(|_| !self.idle.is_empty());
        changed_at.map(|at| at + CHAINS_WAIT)
    }

    /// Takes the changes in and notes what they make different.
    fn draft(&mut self, changes: Changes) -> Draft {
        let mut draft = Draft {
            chains_before: self.chains.clone(),
            ..Draft::default()
        };
        for frame in changes.frames {
            let old = self.frames.get(&frame.family);
            if !old.is_some_and(|old| old.has_rules_of(&frame)) {
                draft.reframed.insert(frame.family);
            }
            let old_elements = old.map(Frame::elements).unwrap_or_default();
            draft
                .elements
                .replace_elements(frame.family, &old_elements, &frame.elements());
            self.frames.insert(frame.family, frame);
        }
        for (service, group) in changes.groups {
            let old = self.groups.remove(&service).unwrap_or_default();
            draft.elements.replace(&old, &group, &mut self.wanted);
            self.count_chains(&group, 1);
            self.count_chains(&old, -1);
            if !group.is_empty() {
                self.groups.insert(service, group);
            }
        }
        draft.elements.settle(&mut self.wanted);
        draft
    }

    fn count_chains(&mut self, group: &[PortState], by: i32) {
        for port in group {
            for chain in port
                .chains()
                .flat_map(|chain| std::iter::once(chain).chain(chain.next()))
            {
                let count = self.chains.entry((port.family, chain)).or_insert(0);
                *count = count.saturating_add_signed(by);
            }
        }
    }

    /// Chains that are new, or whose rules are: all of them if the frame's rules changed.
    fn changed_chains(&mut self, family: Family, draft: &Draft) -> Vec<Op> {
        let Some(frame) = self.frames.get(&family) else {
            return Vec::new();
        };
        let reframed = draft.reframed.contains(&family);
        let mut ops = Vec::new();
        let mut rewritten: Vec<DispatchChain> = Vec::new();
        self.chains.retain(|(of, chain), count| {
            if *of != family {
                return true;
            }
            if *count == 0 {
                self.idle.insert((family, chain.name()));
                return false;
            }
            if reframed || !draft.chains_before.contains_key(&(family, *chain)) {
                rewritten.push(*chain);
            }
            true
        });
        for chain in &rewritten {
            self.idle.remove(&(family, chain.name()));
        }
        write_chains(
            rewritten.into_iter().map(|chain| dispatch(chain, frame)),
            &mut ops,
        );
        if reframed {
            write_chains(frame.chains().into_iter(), &mut ops);
        }
        ops
    }

    /// Everything a table has, given what was found of it.
    fn found_table(&mut self, family: Family, found: Found, draft: &mut Draft) -> Vec<Op> {
        let mut ops = vec![Op::AddTable {
            comment: TABLE_COMMENT,
        }];
        ops.extend(counting::counters());
        let role = self.frames.get(&family).map(|frame| frame.role);
        let sets = role.map(schema::sets).unwrap_or_default();
        ops.extend(sets.into_iter().map(Op::AddSet));
        ops.extend(self.changed_chains(family, draft));
        draft.elements.reconcile(family, found.elements);
        ops.extend(draft.elements.take_ops(family));
        self.note_strangers(family, &found.chains);
        ops
    }

    /// Chains that are none of ours, or not used any more, wait to be removed.
    fn note_strangers(&mut self, family: Family, found: &[String]) {
        let frame = self
            .frames
            .get(&family)
            .map(Frame::chains)
            .unwrap_or_default();
        let mut ours: BTreeSet<ChainName> =
            frame.into_iter().map(|(chain, _)| chain.name).collect();
        ours.extend(
            self.chains
                .keys()
                .filter(|(of, _)| *of == family)
                .map(|(_, chain)| chain.name()),
        );
        let names = found.iter().map(|name| ChainName::from(name.as_str()));
        self.idle.extend(
            names
                .filter(|name| !ours.contains(name))
                .map(|name| (family, name)),
        );
    }

    fn retire(&self, family: Family, retiring: &BTreeSet<(Family, ChainName)>) -> Vec<Op> {
        let in_use: BTreeSet<ChainName> = self
            .chains
            .keys()
            .filter(|(of, _)| *of == family)
            .map(|(_, chain)| chain.name())
            .collect();
        let gone = || {
            retiring
                .iter()
                .filter(|(of, name)| *of == family && !in_use.contains(name))
        };
        let flush = gone().map(|(_, name)| Op::FlushChain(name.clone()));
        flush
            .chain(gone().map(|(_, name)| Op::DeleteChain(name.clone())))
            .collect()
    }
}

/// What a set of changes makes different.
#[derive(Debug, Default)]
struct Draft {
    elements: ElementChanges,
    /// Families whose frame has other rules now.
    reframed: BTreeSet<Family>,
    chains_before: BTreeMap<(Family, DispatchChain), u32>,
}

fn dispatch(chain: DispatchChain, frame: &Frame) -> (Chain, Vec<Rule>) {
    (
        Chain {
            name: chain.name(),
            hook: None,
            comment: None,
        },
        chain.rules(frame),
    )
}

/// Makes all chains, then writes their rules, which refer to one another.
fn write_chains(chains: impl Iterator<Item = (Chain, Vec<Rule>)>, ops: &mut Vec<Op>) {
    let mut rules = Vec::new();
    for (chain, chain_rules) in chains {
        let name = chain.name.clone();
        ops.push(Op::AddChain(chain));
        rules.push(Op::FlushChain(name.clone()));
        rules.extend(chain_rules.into_iter().map(|rule| Op::AddRule {
            chain: name.clone(),
            rule,
        }));
    }
    ops.append(&mut rules);
}
