//! Rules and routes in memory, as strict as the kernel's.

use std::collections::{BTreeSet, HashMap};

use super::{
    LocalRoute, ObservedRouting, PolicyRule, Routing, RoutingOp, RoutingRefusal, RuleAction,
};
use crate::error::CallError;
use crate::nft::ruleset::Family;

/// Rules and routes in memory. What others do to them, a test does to its fields.
///
/// Beyond the kernel it refuses what is always a mistake of ours: a rule for every packet, and the
/// table 0, for which the kernel has meanings of its own.
#[derive(Debug, Clone, Default)]
pub struct FakeRouting {
    /// Our rules.
    pub rules: BTreeSet<PolicyRule>,
    /// Our routes.
    pub routes: BTreeSet<LocalRoute>,
    /// Tables that have a default route of someone else's.
    pub taken: BTreeSet<LocalRoute>,
    /// `lo` is down.
    pub loopback_is_down: bool,
    /// The error numbers with which these operations are refused.
    pub refuse: HashMap<RoutingOp, i32>,
}

impl FakeRouting {
    /// A kernel without rules and routes of ours.
    pub fn new() -> FakeRouting {
        FakeRouting::default()
    }

    fn carry_out(&mut self, op: RoutingOp) -> Result<(), i32> {
        self.refuse.get(&op).map_or(Ok(()), |errno| Err(*errno))?;
        if op.table() == Some(0) {
            return Err(libc::EINVAL);
        }
        let done = |done: bool, errno| if done { Ok(()) } else { Err(errno) };
        match op {
            RoutingOp::AddRule(rule) if !is_sensible(rule) => Err(libc::EINVAL),
            RoutingOp::AddRule(rule) => done(self.rules.insert(rule), libc::EEXIST),
            RoutingOp::DeleteRule(rule) => done(self.rules.remove(&rule), libc::ENOENT),
            RoutingOp::AddRoute(route) if self.loopback_is_down && route.family == Family::Ip6 => {
                Err(libc::ENETDOWN)
            }
            RoutingOp::AddRoute(route) if self.taken.contains(&route) => Err(libc::EEXIST),
            RoutingOp::AddRoute(route) => {
                self.routes.insert(route);
                Ok(())
            }
            RoutingOp::DeleteRoute(route) => done(self.routes.remove(&route), libc::ESRCH),
        }
    }
}

fn is_sensible(rule: PolicyRule) -> bool {
    match rule.action {
        RuleAction::Lookup(_) => rule.mask != 0,
        RuleAction::Goto(priority) => rule.mask != 0 && priority > rule.priority,
        RuleAction::Nothing => true,
    }
}

impl Routing for FakeRouting {
    fn observe(&mut self) -> Result<ObservedRouting, CallError> {
        Ok(ObservedRouting {
            rules: self.rules.iter().copied().collect(),
            routes: self.routes.iter().copied().collect(),
        })
    }

    fn apply(&mut self, ops: &[RoutingOp]) -> Result<Vec<RoutingRefusal>, CallError> {
        let mut refusals = Vec::new();
        for (index, op) in ops.iter().enumerate() {
            match self.carry_out(*op) {
                Err(errno) if !op.is_done(errno) => {
                    refusals.push(RoutingRefusal { op: index, errno });
                }
                _ => {}
            }
        }
        Ok(refusals)
    }
}
