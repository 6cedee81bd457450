//! Rules and routes as rtnetlink messages (linux/fib_rules.h, linux/rtnetlink.h).

use super::{LocalRoute, PROTOCOL, PolicyRule, RoutingOp, RuleAction};
use crate::netlink::{Builder, Head, Message};
use crate::nft::ruleset::Family;

/// `sizeof(struct fib_rule_hdr)` and of `struct rtmsg`. Both have the family first, and the table at
/// the same place.
pub(super) const HEADER: usize = 12;

/// Where both have the number of the table, if it is one that fits into a byte.
const TABLE: usize = 4;

/// `FRA_TABLE` and `RTA_TABLE`: the number of the table, whatever it is.
const LONG_TABLE: u16 = libc::RTA_TABLE;

const FRA_IIFNAME: u16 = 3;
const FRA_GOTO: u16 = 4;
const FRA_PRIORITY: u16 = 6;
const FRA_FWMARK: u16 = 10;
const FRA_FWMASK: u16 = 16;
const FRA_PROTOCOL: u16 = 21;
const FR_ACT_TO_TBL: u8 = 1;
const FR_ACT_GOTO: u8 = 2;
const FR_ACT_NOP: u8 = 3;
/// A flag in a rule's header: there is no rule to go to.
const FIB_RULE_UNRESOLVED: u32 = 4;

/// The name of `lo`, as the kernel has it.
const LOOPBACK_NAME: &str = "lo";

/// The index that `lo` has in every network namespace (`LOOPBACK_IFINDEX`, drivers/net/loopback.c).
const LOOPBACK: u32 = 1;

pub(super) fn family_number(family: Family) -> u8 {
    match family {
        Family::Ip => libc::AF_INET as u8,
        Family::Ip6 => libc::AF_INET6 as u8,
    }
}

/// Writes the request for an operation.
pub(super) fn write(builder: &mut Builder, head: Head, op: &RoutingOp) {
    const CREATE: i32 = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    let (kind, flags) = match op {
        RoutingOp::AddRule(_) => (libc::RTM_NEWRULE, CREATE),
        RoutingOp::DeleteRule(_) => (libc::RTM_DELRULE, 0),
        RoutingOp::AddRoute(_) => (libc::RTM_NEWROUTE, CREATE),
        RoutingOp::DeleteRoute(_) => (libc::RTM_DELROUTE, 0),
    };
    let flags = head.flags | flags;
    builder.message(kind, flags, head.sequence, |body| match op {
        RoutingOp::AddRule(rule) | RoutingOp::DeleteRule(rule) => write_rule(body, rule),
        RoutingOp::AddRoute(route) | RoutingOp::DeleteRoute(route) => write_route(body, *route),
    });
}

fn write_rule(body: &mut Builder, rule: &PolicyRule) {
    // family, lengths of destination and source, tos, table, two reserved, action (u8 each), flags
    let family = family_number(rule.family);
    let action = match rule.action {
        RuleAction::Lookup(_) => FR_ACT_TO_TBL,
        RuleAction::Goto(_) => FR_ACT_GOTO,
        RuleAction::Nothing => FR_ACT_NOP,
    };
    body.raw(&[family, 0, 0, 0, 0, 0, 0, action, 0, 0, 0, 0]);
    if rule.from_here {
        body.string(FRA_IIFNAME, LOOPBACK_NAME);
    }
    body.u32(FRA_PRIORITY, rule.priority);
    body.u32(FRA_FWMARK, rule.mark);
    body.u32(FRA_FWMASK, rule.mask);
    match rule.action {
        RuleAction::Lookup(table) => body.u32(LONG_TABLE, table),
        RuleAction::Goto(priority) => body.u32(FRA_GOTO, priority),
        RuleAction::Nothing => {}
    }
    body.u8(FRA_PROTOCOL, PROTOCOL);
}

fn write_route(body: &mut Builder, route: LocalRoute) {
    // family, lengths of destination and source, tos, table, protocol, scope, type (u8 each), flags
    let family = family_number(route.family);
    let (scope, kind) = (libc::RT_SCOPE_HOST, libc::RTN_LOCAL);
    body.raw(&[family, 0, 0, 0, 0, PROTOCOL, scope, kind, 0, 0, 0, 0]);
    body.u32(LONG_TABLE, route.table);
    body.u32(libc::RTA_OIF, LOOPBACK);
}

/// The header of a request for routes of our making.
pub(super) fn ask_for_routes(body: &mut Builder, family: Family) {
    let family = family_number(family);
    body.raw(&[family, 0, 0, 0, 0, PROTOCOL, 0, libc::RTN_LOCAL, 0, 0, 0, 0]);
}

/// The rule that the message tells of, if it is one of our making.
pub(super) fn parse_rule(message: &Message<'_>) -> Option<PolicyRule> {
    if protocol(message) != Some(PROTOCOL) {
        return None;
    }
    let header = message.payload.first_chunk::<HEADER>()?;
    let &[family, 0, 0, 0, _, _, _, action, ref flags @ ..] = header else {
        return None;
    };
    if u32::from_ne_bytes(*flags) & !FIB_RULE_UNRESOLVED != 0 {
        return None;
    }
    // The kernel leaves out what is 0 (`fib_nl_fill_rule` in net/core/fib_rules.c).
    let number = |kind| {
        let found = message.attributes(HEADER).find(kind);
        found.map_or(Some(0), |found| found.u32())
    };
    let from = message.attributes(HEADER).find(FRA_IIFNAME);
    if from.is_some_and(|from| from.str() != Some(LOOPBACK_NAME)) {
        return None;
    }
    Some(PolicyRule {
        family: family_of(family)?,
        priority: number(FRA_PRIORITY)?,
        from_here: from.is_some(),
        mark: number(FRA_FWMARK)?,
        mask: number(FRA_FWMASK)?,
        action: match action {
            FR_ACT_TO_TBL => RuleAction::Lookup(table(message)?),
            FR_ACT_GOTO => RuleAction::Goto(number(FRA_GOTO)?),
            FR_ACT_NOP => RuleAction::Nothing,
            _ => return None,
        },
    })
}

/// The route that the message tells of, if it is one of our making.
pub(super) fn parse_route(message: &Message<'_>) -> Option<LocalRoute> {
    let header = message.payload.first_chunk::<HEADER>()?;
    let &[family, 0, 0, 0, _, PROTOCOL, _, libc::RTN_LOCAL, ..] = header else {
        return None;
    };
    let device = message.attributes(HEADER).find(libc::RTA_OIF)?.u32()?;
    Some(LocalRoute {
        family: family_of(family)?,
        table: table(message)?,
    })
    .filter(|_| device == LOOPBACK)
}

/// Whether the message tells of a rule or route of our making, or of one of these tables.
pub(super) fn is_about(message: &Message<'_>, is_our_table: impl Fn(u32) -> bool) -> bool {
    protocol(message) == Some(PROTOCOL) || table(message).is_some_and(is_our_table)
}

/// Who made the rule or route that the message tells of.
fn protocol(message: &Message<'_>) -> Option<u8> {
    match message.kind {
        libc::RTM_NEWRULE | libc::RTM_DELRULE => {
            message.attributes(HEADER).find(FRA_PROTOCOL)?.u8()
        }
        libc::RTM_NEWROUTE | libc::RTM_DELROUTE => message.payload.get(TABLE + 1).copied(),
        _ => None,
    }
}

fn table(message: &Message<'_>) -> Option<u32> {
    match message.attributes(HEADER).find(LONG_TABLE) {
        Some(table) => table.u32(),
        None => message.payload.get(TABLE).copied().map(u32::from),
    }
}

fn family_of(number: u8) -> Option<Family> {
    let known = [Family::Ip, Family::Ip6];
    known
        .into_iter()
        .find(|known| family_number(*known) == number)
}
