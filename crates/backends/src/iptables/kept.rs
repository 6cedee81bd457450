//! Chains that are to go and cannot: rules of other programs lead to them. A CNI plugin may have a
//! rule that leads to `KUBE-MARK-MASQ`, and no Service should wait for that.

use std::borrow::Cow;
use std::fmt;

use thiserror::Error;

use fairlead_kernel::iptables::handle::{Applied, ApplyError, Iptables, Refusal};
use fairlead_kernel::iptables::rule::Target;
use fairlead_kernel::iptables::ruleset::{Batch, ChainName, Op, TableId};

/// Chains that stay, empty.
#[derive(Debug, Default, Error)]
pub(super) struct Kept(Vec<(TableId, ChainName)>);

impl Kept {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn chains(&self) -> impl Iterator<Item = &ChainName> {
        self.0.iter().map(|(_, chain)| chain)
    }
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let chains: Vec<&str> = self.chains().map(|chain| &**chain).collect();
        let chains = chains.join(", ");
        write!(
            f,
            "rules of other programs lead to {chains}: they stay, empty"
        )
    }
}

/// Applies what can be. An operation that is refused is given up if there is something to do
/// `instead`, which must not be refused.
pub(super) fn apply(
    iptables: &mut impl Iptables,
    batches: &[Batch],
    instead: impl Fn(&Op) -> Option<Op>,
) -> Result<(Applied, Kept), ApplyError> {
    let mut batches = Cow::Borrowed(batches);
    let mut kept = Kept::default();
    loop {
        let refusal = match iptables.apply(&batches) {
            Ok(applied) => return Ok((applied, kept)),
            Err(ApplyError::Refused(refusal)) => refusal,
            Err(error) => return Err(error),
        };
        let Some(other) = refused(&batches, &refusal).and_then(&instead) else {
            return Err(ApplyError::Refused(refusal));
        };
        // Whoever is told of another refusal counts as before.
        let batches = batches.to_mut();
        for done in &mut batches[..refusal.done] {
            done.ops.clear();
        }
        let Batch { table, ops } = &mut batches[refusal.batch];
        if let Op::Delete(chain) = std::mem::replace(&mut ops[refusal.op], other) {
            kept.0.push((*table, chain));
        }
    }
}

fn refused<'a>(batches: &'a [Batch], refusal: &Refusal) -> Option<&'a Op> {
    batches.get(refusal.batch)?.ops.get(refusal.op)
}

/// A chain that cannot be deleted is emptied.
pub(super) fn instead_of_deleting(op: &Op) -> Option<Op> {
    match op {
        Op::Delete(chain) => Some(Op::Declare(chain.clone())),
        _ => None,
    }
}

/// A rule that is not quite ours stays, and so does the chain of ours that it leads to.
pub(super) fn instead_of_removing(op: &Op) -> Option<Op> {
    match op {
        Op::Remove(_, rule) => match &rule.target {
            Some(Target::Jump(chain)) => Some(Op::Declare(chain.clone())),
            _ => None,
        },
        _ => instead_of_deleting(op),
    }
}
