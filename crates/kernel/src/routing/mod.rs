//! Policy routing over rtnetlink (ip-rule(8), ip-route(8)): packets with a mark are routed by a
//! table of their own, and a table may have it that every packet is for this host.
//!
//! What is made here carries [`PROTOCOL`] as its maker, and what does not is never touched.

mod fake;
mod monitor;
mod socket;
mod wire;

use std::fmt;

pub use fake::FakeRouting;
pub use socket::PolicyRouting;

use crate::error::CallError;
use crate::nft::ruleset::Family;

/// Who made a rule or route, as `ip rule` and `ip route` show it: `proto 70`.
///
/// The kernel leaves the numbers above `RTPROT_STATIC` to whoever wants one (linux/rtnetlink.h), and
/// this one has no name in iproute2's `rt_protos`. By it are found what an earlier run left behind,
/// and nobody else's. It is no protection: systemd-networkd removes, when it starts, all that it did
/// not make itself but for the kernel's own (`ManageForeignRoutingPolicyRules=` and
/// `ManageForeignRoutes=` in networkd.conf(5)). So what was made here has to be watched, see
/// [`PolicyRouting::touched`].
pub const PROTOCOL: u8 = 70;

/// Rules and routes of ours, the kernel's or a fake.
pub trait Routing {
    /// Those that carry [`PROTOCOL`], of all tables and priorities, sorted.
    fn observe(&mut self) -> Result<ObservedRouting, CallError>;

    /// Carries operations out in their order. One that is refused does not keep the others from
    /// being carried out. What is so already is as good as done.
    ///
    /// # Errors
    /// Nothing is known of what was carried out.
    fn apply(&mut self, ops: &[RoutingOp]) -> Result<Vec<RoutingRefusal>, CallError>;
}

/// `PRIORITY: from all fwmark MARK/MASK [iif lo] ACTION`.
///
/// With the sysctl `net.ipv4.conf.*.src_valid_mark` the kernel looks for a packet's source by its
/// mark, too, when the packet comes in (`__fib_validate_source` in net/ipv4/fib_frontend.c). If a
/// table says that every address is this host's, such a packet is dropped as one with a false
/// source. It looks as if the packet came from `lo`, as it does for what this host sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PolicyRule {
    /// Of the packets.
    pub family: Family,
    /// Rules with lower ones come first; the table `local` has 0, `main` 32766.
    pub priority: u32,
    /// Only what this host sends, and looks for sources.
    pub from_here: bool,
    /// The bits of `mask` that packets have set.
    pub mark: u32,
    /// The bits that count. None would mean every packet.
    pub mask: u32,
    /// What becomes of them.
    pub action: RuleAction,
}

/// What a rule does with packets (`FR_ACT_*`, linux/fib_rules.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RuleAction {
    /// `lookup TABLE`: the table of this number routes them, if it can.
    Lookup(u32),
    /// `goto PRIORITY`: the rule of this priority, which must be a higher one, is the next. The
    /// kernel passes this rule over while there is none of that priority.
    Goto(u32),
    /// `nop`: the next rule is asked. Somewhere to go to.
    Nothing,
}

/// `local default dev lo table TABLE`: every packet that the table routes is for this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LocalRoute {
    /// Of the packets.
    pub family: Family,
    /// The table's number.
    pub table: u32,
}

/// What is there of ours.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObservedRouting {
    /// The rules.
    pub rules: Vec<PolicyRule>,
    /// The routes.
    pub routes: Vec<LocalRoute>,
}

/// An operation on rules and routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RoutingOp {
    /// Adds a rule. Another's that says the same does not keep it from being added.
    AddRule(PolicyRule),
    /// Removes a rule of ours.
    DeleteRule(PolicyRule),
    /// Adds a route. Refused with `EEXIST` if the table has a default route of someone else's; of
    /// IPv6, with `ENETDOWN` while `lo` is down.
    AddRoute(LocalRoute),
    /// Removes a route of ours.
    DeleteRoute(LocalRoute),
}

impl RoutingOp {
    /// The number of the table it is about, if it is about one.
    fn table(self) -> Option<u32> {
        match self {
            RoutingOp::AddRule(rule) | RoutingOp::DeleteRule(rule) => rule.action.table(),
            RoutingOp::AddRoute(route) | RoutingOp::DeleteRoute(route) => Some(route.table),
        }
    }

    /// Whether an error says that it is so already: the rule is there, or it is not (`ENOENT`), nor
    /// the route (`ESRCH`), nor the family (`EAFNOSUPPORT` of rules, `EOPNOTSUPP` of routes).
    fn is_done(self, errno: i32) -> bool {
        match self {
            RoutingOp::AddRule(_) => errno == libc::EEXIST,
            RoutingOp::AddRoute(_) => false,
            RoutingOp::DeleteRule(_) => [libc::ENOENT, libc::EAFNOSUPPORT].contains(&errno),
            RoutingOp::DeleteRoute(_) => [libc::ESRCH, libc::EOPNOTSUPP].contains(&errno),
        }
    }
}

impl RuleAction {
    /// The number of the table that routes.
    fn table(self) -> Option<u32> {
        match self {
            RuleAction::Lookup(table) => Some(table),
            RuleAction::Goto(_) | RuleAction::Nothing => None,
        }
    }
}

/// An operation that the kernel refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoutingRefusal {
    /// The operation's index.
    pub op: usize,
    /// The error number (errno(3)).
    pub errno: i32,
}

impl fmt::Display for RoutingOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RoutingOp::AddRule(rule) => write!(f, "add {rule}"),
            RoutingOp::DeleteRule(rule) => write!(f, "delete {rule}"),
            RoutingOp::AddRoute(route) => write!(f, "add {route}"),
            RoutingOp::DeleteRoute(route) => write!(f, "delete {route}"),
        }
    }
}

impl fmt::Display for PolicyRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PolicyRule {
            family,
            priority,
            from_here,
            mark,
            mask,
            action,
        } = *self;
        write!(f, "{} rule {priority}: ", word(family))?;
        if mask != 0 {
            write!(f, "fwmark {mark:#x}/{mask:#x} ")?;
        }
        if from_here {
            f.write_str("iif lo ")?;
        }
        match action {
            RuleAction::Lookup(table) => write!(f, "lookup {table}"),
            RuleAction::Goto(priority) => write!(f, "goto {priority}"),
            RuleAction::Nothing => f.write_str("nop"),
        }
    }
}

impl fmt::Display for LocalRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = word(self.family);
        write!(
            f,
            "{family} route local default dev lo table {}",
            self.table
        )
    }
}

fn word(family: Family) -> &'static str {
    match family {
        Family::Ip => "IPv4",
        Family::Ip6 => "IPv6",
    }
}
