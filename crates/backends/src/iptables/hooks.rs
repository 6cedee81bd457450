//! The rules of built-in chains that lead to ours.

use fairlead_kernel::iptables::handle::{ObservedHook, ObservedTable};
use fairlead_kernel::iptables::rule::{Match, Rule, State};
use fairlead_kernel::iptables::ruleset::{Op, Table};

use super::shared::{FIREWALL, FORWARD, POSTROUTING};

/// A rule of a built-in chain that leads to one of ours.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hook {
    pub(super) table: Table,
    /// The built-in chain.
    pub(super) from: &'static str,
    pub(super) to: &'static str,
    comment: &'static str,
    /// For the first packet of a connection alone.
    new: bool,
    /// The kubelet has it, too.
    pub(super) kubelets: bool,
}

const fn hook(table: Table, from: &'static str, to: &'static str, comment: &'static str) -> Hook {
    let (new, kubelets) = (false, false);
    Hook {
        table,
        from,
        to,
        comment,
        new,
        kubelets,
    }
}

const fn new(from: &'static str, to: &'static str, comment: &'static str) -> Hook {
    let hook = hook(Table::Filter, from, to, comment);
    Hook { new: true, ..hook }
}

const fn kubelets(from: &'static str) -> Hook {
    let hook = hook(Table::Filter, from, FIREWALL, "");
    Hook {
        kubelets: true,
        ..hook
    }
}

/// All of them, in the order in which kube-proxy puts each before what is there.
pub(super) const HOOKS: [Hook; 14] = [
    new(
        "INPUT",
        "KUBE-EXTERNAL-SERVICES",
        "kubernetes externally-visible service portals",
    ),
    new(
        "FORWARD",
        "KUBE-EXTERNAL-SERVICES",
        "kubernetes externally-visible service portals",
    ),
    hook(
        Table::Filter,
        "INPUT",
        "KUBE-NODEPORTS",
        "kubernetes health check service ports",
    ),
    new("FORWARD", "KUBE-SERVICES", "kubernetes service portals"),
    new("OUTPUT", "KUBE-SERVICES", "kubernetes service portals"),
    hook(
        Table::Filter,
        "FORWARD",
        FORWARD,
        "kubernetes forwarding rules",
    ),
    new(
        "INPUT",
        "KUBE-PROXY-FIREWALL",
        "kubernetes load balancer firewall",
    ),
    new(
        "OUTPUT",
        "KUBE-PROXY-FIREWALL",
        "kubernetes load balancer firewall",
    ),
    new(
        "FORWARD",
        "KUBE-PROXY-FIREWALL",
        "kubernetes load balancer firewall",
    ),
    hook(
        Table::Nat,
        "OUTPUT",
        "KUBE-SERVICES",
        "kubernetes service portals",
    ),
    hook(
        Table::Nat,
        "PREROUTING",
        "KUBE-SERVICES",
        "kubernetes service portals",
    ),
    hook(
        Table::Nat,
        "POSTROUTING",
        POSTROUTING,
        "kubernetes postrouting rules",
    ),
    kubelets("INPUT"),
    kubelets("OUTPUT"),
];

/// Those that kube-proxy has in ipvs mode alone.
pub(super) const IPVS_HOOKS: [Hook; 5] = [
    hook(
        Table::Filter,
        "INPUT",
        "KUBE-NODE-PORT",
        "kubernetes health check rules",
    ),
    hook(
        Table::Filter,
        "INPUT",
        "KUBE-PROXY-FIREWALL",
        "kube-proxy firewall rules",
    ),
    hook(
        Table::Filter,
        "FORWARD",
        "KUBE-PROXY-FIREWALL",
        "kube-proxy firewall rules",
    ),
    hook(
        Table::Filter,
        "INPUT",
        "KUBE-IPVS-FILTER",
        "kubernetes ipvs access filter",
    ),
    hook(
        Table::Filter,
        "OUTPUT",
        "KUBE-IPVS-OUT-FILTER",
        "kubernetes ipvs access filter",
    ),
];

impl Hook {
    /// The rule.
    pub(super) fn rule(&self) -> Rule {
        let mut rule = Rule::default();
        if self.new {
            let states = &[State::New];
            rule = rule.matching(Match::State {
                negate: false,
                states,
            });
        }
        if !self.comment.is_empty() {
            rule = rule.matching(Match::Comment(self.comment.to_owned()));
        }
        rule.jump(self.to)
    }

    /// Whether a table has it already. It stays where it is then.
    pub(super) fn is_in(&self, observed: &ObservedTable) -> bool {
        self.count(observed) > 0
    }

    /// How often a table has it.
    pub(super) fn count(&self, observed: &ObservedTable) -> usize {
        let is_it = |there: &&ObservedHook| {
            (&*there.chain, &*there.target) == (self.from, self.to)
                && there.comment.as_deref().unwrap_or_default() == self.comment
        };
        observed.hooks.iter().filter(is_it).count()
    }
}

/// What puts the hooks in a table that it does not have.
pub(super) fn missing(table: Table, observed: &ObservedTable) -> impl Iterator<Item = Op> {
    let missing = HOOKS
        .iter()
        .filter(move |hook| hook.table == table && !hook.is_in(observed));
    missing.map(|hook| Op::Insert(hook.from.into(), hook.rule()))
}
