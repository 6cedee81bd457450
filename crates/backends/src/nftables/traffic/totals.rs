//! What is counted of a Service, and how the kernel's counts are added up.

use std::ops::AddAssign;

use fairlead_kernel::nft::counters::Counts;

/// What was counted of a Service, all its ports together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Connections that were translated to an endpoint.
    pub connections: u64,
    /// Packets of these connections from the client.
    pub original: Counts,
    /// Packets of these connections to the client.
    pub reply: Counts,
    /// Packets that were rejected or dropped for want of an endpoint.
    pub refused: u64,
}

impl Totals {
    /// How much was done: what Services are compared by.
    pub(super) fn activity(&self) -> u64 {
        let packets = self.original.packets.saturating_add(self.reply.packets);
        packets.max(self.connections).saturating_add(self.refused)
    }
}

impl AddAssign for Totals {
    fn add_assign(&mut self, more: Totals) {
        let add = |total: &mut Counts, more: Counts| {
            total.packets = total.packets.saturating_add(more.packets);
            total.bytes = total.bytes.saturating_add(more.bytes);
        };
        add(&mut self.original, more.original);
        add(&mut self.reply, more.reply);
        self.connections = self.connections.saturating_add(more.connections);
        self.refused = self.refused.saturating_add(more.refused);
    }
}

/// What something had counted when it was read last.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seen {
    counts: Counts,
    /// The number of that reading.
    pub(super) reading: u32,
}

impl Seen {
    /// What was counted since. Who has counted less than before was made anew in between: then
    /// all of it is new.
    pub(super) fn advance(&mut self, counts: Counts, reading: u32) -> Counts {
        let is_anew = counts.packets < self.counts.packets || counts.bytes < self.counts.bytes;
        let before = match is_anew {
            true => Counts::default(),
            false => self.counts,
        };
        *self = Seen { counts, reading };
        Counts {
            packets: counts.packets - before.packets,
            bytes: counts.bytes - before.bytes,
        }
    }
}
