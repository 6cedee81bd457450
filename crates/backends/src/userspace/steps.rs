//! Operations in order.

use std::ops::RangeInclusive;

use fairlead_kernel::routing::RoutingOp;
use fairlead_relay::handle::Op;

use crate::engine::Plan;
use crate::nftables::Transactions;

/// What a sync does, in this order: somebody listens before anything is brought there, and until
/// nothing is any more.
#[derive(Debug, Default)]
pub struct Steps {
    /// Endpoints, and listeners that are new.
    pub before_rules: Vec<Op>,
    /// What keeps packets with the mark on this host.
    pub routing: Vec<RoutingOp>,
    /// The table.
    pub rules: Transactions,
    /// Listeners and endpoints that are not needed any more.
    pub after_rules: Vec<Op>,
    /// The ports that listeners may have: where one of them is somebody else's, so may others be.
    pub ports: Option<RangeInclusive<u16>>,
}

impl Plan for Steps {
    fn operations(&self) -> usize {
        let of_relay = self.before_rules.len() + self.after_rules.len();
        of_relay + self.routing.len() + self.rules.operations()
    }
}
