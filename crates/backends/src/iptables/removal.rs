//! Removing all that is ours, which is also all that is kube-proxy's, and its ipvs mode's too.

use std::collections::BTreeSet;

use fairlead_kernel::iptables::handle::{Iptables, ObservedTable};
use fairlead_kernel::iptables::ruleset::{Batch, ChainName, Family, Op, Table, TableId};

use super::hooks::{HOOKS, Hook, IPVS_HOOKS};
use super::kept;
use super::names::is_kube_proxys;
use crate::engine::SyncError;

/// Removes our chains and the rules that lead to them. What the kubelet shares stays. False if
/// there was nothing.
///
/// # Errors
/// Tables cannot be read or written; or all is removed but chains that rules of other programs
/// lead to.
pub fn remove(iptables: &mut impl Iptables, families: &[Family]) -> Result<bool, SyncError> {
    let mut batches = Vec::new();
    for family in families.iter().copied() {
        for table in Table::ALL {
            let id = TableId { family, table };
            if let Some(observed) = iptables.observe(id)? {
                batches.push(Batch {
                    table: id,
                    ops: removal(table, &observed),
                });
            }
        }
    }
    batches.retain(|batch| !batch.ops.is_empty());
    if batches.is_empty() {
        return Ok(false);
    }
    let applied = kept::apply(iptables, &batches, kept::instead_of_removing);
    match applied.map_err(SyncError::apply)? {
        (_, kept) if kept.is_empty() => Ok(true),
        (_, kept) => Err(SyncError::apply(kept)),
    }
}

fn removal(table: Table, observed: &ObservedTable) -> Vec<Op> {
    let hooks = HOOKS
        .iter()
        .chain(&IPVS_HOOKS)
        .filter(|hook| hook.table == table && !hook.kubelets);
    let unhook = |hook: &'static Hook| {
        let remove = Op::Remove(hook.from.into(), hook.rule());
        std::iter::repeat_n(remove, hook.count(observed))
    };
    let mut ops: Vec<Op> = hooks.flat_map(unhook).collect();
    let ours: BTreeSet<&ChainName> = observed
        .chains
        .iter()
        .filter(|chain| is_kube_proxys(chain))
        .collect();
    ops.extend(
        ours.iter()
            .map(|chain| Op::Declare(ChainName::clone(chain))),
    );
    ops.extend(ours.iter().map(|chain| Op::Delete(ChainName::clone(chain))));
    ops
}
