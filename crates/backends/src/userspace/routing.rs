//! What keeps packets with the mark on this host, whatever their destination.

use std::collections::BTreeSet;

use fairlead_kernel::nft::ruleset::Family;
use fairlead_kernel::routing::{LocalRoute, ObservedRouting, PolicyRule, RoutingOp, RuleAction};

use super::frame::Frame;
use crate::family::kernel_family;
use crate::nftables;

/// Where the rule that leads there stands: behind the table `local`, which has 0, and before whatever
/// a CNI plugin adds.
const PRIORITY: u32 = 100;

/// The number of the table in which every address is this host's.
const TABLE: u32 = 4096;

/// Rules and routes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Rerouting {
    rules: BTreeSet<PolicyRule>,
    routes: BTreeSet<LocalRoute>,
}

impl Rerouting {
    /// What these families need.
    pub(super) fn of<'a>(frames: impl Iterator<Item = &'a Frame>) -> Rerouting {
        let mut wanted = Rerouting::default();
        for frame in frames {
            let family = kernel_family(frame.family());
            wanted.routes.insert(LocalRoute {
                family,
                table: TABLE,
            });
            wanted.rules.extend(rules(family, &frame.rules));
        }
        wanted
    }

    /// What is removed without anything in its place.
    pub(super) fn removal(found: ObservedRouting) -> Vec<RoutingOp> {
        Rerouting::from(found).exchange(&Rerouting::default())
    }

    /// What makes the other of this. A table is filled before a rule leads there.
    pub(super) fn exchange(&self, other: &Rerouting) -> Vec<RoutingOp> {
        let routes = other.routes.difference(&self.routes);
        let rules = other.rules.difference(&self.rules);
        let old_rules = self.rules.difference(&other.rules);
        let old_routes = self.routes.difference(&other.routes);
        let add = routes.map(|route| RoutingOp::AddRoute(*route));
        let add = add.chain(rules.map(|rule| RoutingOp::AddRule(*rule)));
        add.chain(old_rules.map(|rule| RoutingOp::DeleteRule(*rule)))
            .chain(old_routes.map(|route| RoutingOp::DeleteRoute(*route)))
            .collect()
    }
}

/// The rules of a family.
///
/// Where `net.ipv4.conf.*.src_valid_mark` is on, the kernel asks as for what this host sends where a
/// packet with the mark comes from, and must not hear that it is this host. What this host sends has
/// both marks for that reason. IPv6 does not ask.
fn rules(family: Family, frame: &nftables::Frame) -> Vec<PolicyRule> {
    let mark = frame.portal_mark();
    let lead = PolicyRule {
        family,
        priority: PRIORITY,
        from_here: false,
        mark,
        mask: mark,
        action: RuleAction::Lookup(TABLE),
    };
    let sources_elsewhere = PolicyRule {
        priority: PRIORITY - 1,
        from_here: true,
        mask: mark | frame.mark,
        action: RuleAction::Goto(PRIORITY + 1),
        ..lead
    };
    let elsewhere = PolicyRule {
        priority: PRIORITY + 1,
        mark: 0,
        mask: 0,
        action: RuleAction::Nothing,
        ..lead
    };
    match family {
        Family::Ip => vec![sources_elsewhere, lead, elsewhere],
        Family::Ip6 => vec![lead],
    }
}

impl From<ObservedRouting> for Rerouting {
    fn from(found: ObservedRouting) -> Rerouting {
        Rerouting {
            rules: found.rules.into_iter().collect(),
            routes: found.routes.into_iter().collect(),
        }
    }
}
