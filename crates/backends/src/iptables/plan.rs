//! The operations on one table, in the order in which they can be done.

use std::collections::BTreeSet;

use fairlead_core::address::Family;
use fairlead_kernel::iptables::handle::ObservedTable;
use fairlead_kernel::iptables::rule::Rule;
use fairlead_kernel::iptables::ruleset::{Batch, ChainName, Op, Table, TableId};

use super::chains::ChainRules;
use super::names::is_of_port;
use super::shared::CANARY;
use crate::family::kernel_family;

/// The operations on one table, in the making.
#[derive(Debug, Default)]
pub(super) struct TablePlan {
    pub(super) create: Vec<ChainName>,
    pub(super) write: Vec<ChainRules>,
    /// What follows when all chains are written.
    pub(super) then: Vec<Op>,
    /// Chains to remove, unless they are written.
    pub(super) stale: BTreeSet<ChainName>,
}

impl TablePlan {
    /// Removes what no Service wants any more, and puts a canary where there is none.
    pub(super) fn mending(found: &ObservedTable) -> TablePlan {
        let mut plan = TablePlan::default();
        let of_ports = found.chains.iter().filter(|chain| is_of_port(chain));
        plan.stale = of_ports.cloned().collect();
        if !has(found, CANARY) {
            plan.write(CANARY.into(), Vec::new());
        }
        plan
    }

    pub(super) fn write(&mut self, chain: ChainName, rules: Vec<Rule>) {
        self.write.push((chain, rules));
    }

    /// Makes all chains, then their rules, which lead to one another; then removes chains that
    /// nothing leads to any more.
    pub(super) fn batch(mut self, family: Family, table: Table) -> Batch {
        for (chain, _) in &self.write {
            self.stale.remove(chain);
        }
        let (mut ops, mut appends) = (Vec::new(), Vec::new());
        ops.extend(self.create.into_iter().map(Op::Create));
        for (chain, rules) in self.write {
            ops.push(Op::Declare(chain.clone()));
            appends.extend(
                rules
                    .into_iter()
                    .map(|rule| Op::Append(chain.clone(), rule)),
            );
        }
        ops.extend(self.stale.iter().cloned().map(Op::Declare));
        ops.append(&mut appends);
        ops.append(&mut self.then);
        ops.extend(self.stale.into_iter().map(Op::Delete));
        let family = kernel_family(family);
        Batch {
            table: TableId { family, table },
            ops,
        }
    }
}

/// Whether a table has a chain.
pub(super) fn has(observed: &ObservedTable, chain: &str) -> bool {
    observed.chains.iter().any(|there| **there == *chain)
}
