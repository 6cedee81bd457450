//! Operations in order.

use fairlead_kernel::ipvs::handle::Op;
use fairlead_kernel::link::DeviceOp;

use crate::engine::Plan;
use crate::nftables::Transactions;

/// What a sync does, in this order.
///
/// What is new is known to the rules before it can be addressed, and what is gone is refused by
/// them before it ends. Only where rules let in what they kept away, there is first somebody to
/// answer.
#[derive(Debug, Default)]
pub struct Steps {
    /// For virtual servers that rules keep closed until then.
    pub before_rules: Vec<Op>,
    /// The companion table.
    pub rules: Transactions,
    /// For all other virtual servers.
    pub after_rules: Vec<Op>,
    /// The device.
    pub device: Vec<DeviceOp>,
}

impl Plan for Steps {
    fn operations(&self) -> usize {
        let of_ipvs = self.before_rules.len() + self.after_rules.len();
        of_ipvs + self.rules.operations() + self.device.len()
    }
}
