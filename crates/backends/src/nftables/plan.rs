//! Operations in order.

use fairlead_kernel::nft::handle::{CommitError, Nft};
use fairlead_kernel::nft::ruleset::Batch;

use crate::engine::{Cost, Plan};

/// What a sync does, in one transaction or two.
///
/// A packet goes by the rules as they were when it came to a hook, but meets the elements as they
/// are at the moment of each lookup. So an element that becomes valid while the packet is on its
/// way may send it to a chain that, for this packet, has no rules yet. It has them a transaction
/// ahead.
#[derive(Debug, Default)]
pub struct Transactions {
    /// The chains that are new. Nothing leads there yet.
    pub chains: Vec<Batch>,
    /// Everything else.
    pub changes: Vec<Batch>,
}

impl Transactions {
    /// Leaves batches without operations out.
    pub(super) fn trim(&mut self) {
        for batches in [&mut self.chains, &mut self.changes] {
            batches.retain(|batch| !batch.ops.is_empty());
        }
    }

    /// Makes all of it true. When the changes are refused, there may be chains that nothing uses:
    /// the next look at the kernel finds them.
    pub(crate) fn commit(&self, nft: &mut impl Nft) -> Result<Cost, CommitError> {
        let mut cost = Cost::default();
        for batches in [&self.chains, &self.changes] {
            if batches.is_empty() {
                continue;
            }
            let committed = nft.commit(batches)?;
            cost.messages += committed.messages;
            cost.bytes += committed.bytes;
        }
        Ok(cost)
    }
}

impl Plan for Transactions {
    fn operations(&self) -> usize {
        let batches = self.chains.iter().chain(&self.changes);
        batches.map(Batch::operations).sum()
    }
}
