//! What is wrong with a rule, whatever else is in its table.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::super::rule::{Interface, Match, Net, Rule, Target};
use super::super::ruleset::{Family, Table, TableId};

/// `XT_EXTENSION_MAXNAMELEN - 1` (linux/netfilter/x_tables.h).
const CHAIN_NAME: usize = 28;

/// `IFNAMSIZ - 1` (linux/if.h).
const INTERFACE_NAME: usize = 15;

/// `XT_MAX_COMMENT_LEN - 1` (linux/netfilter/xt_comment.h).
const COMMENT: usize = 255;

/// `XT_RECENT_NAME_LEN - 1` (linux/netfilter/xt_recent.h).
const LIST_NAME: usize = 199;

/// Targets of the kernel's, and words that iptables has a meaning for.
const TARGETS: [&str; 8] = [
    "ACCEPT",
    "DROP",
    "RETURN",
    "QUEUE",
    "REJECT",
    "MARK",
    "MASQUERADE",
    "DNAT",
];

/// Whether a chain can have this name. iptables looks at less when a chain is declared.
pub(super) fn check_name(name: &str) -> Result<(), &'static str> {
    if name.len() > CHAIN_NAME {
        return Err("Invalid chain name (28 chars max).");
    }
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err("Invalid chain name.");
    }
    if name.starts_with(['-', '!']) {
        return Err("Chain name not allowed to start with `-' or `!'.");
    }
    if TARGETS.contains(&name) {
        return Err("Chain name may not clash with target name.");
    }
    Ok(())
}

/// What `iptables` itself finds wrong when it reads a rule for a chain.
pub(super) fn check(id: TableId, chain: &str, rule: &Rule) -> Result<(), &'static str> {
    let nets = [rule.source, rule.destination];
    let other = |Net { net, .. }: &Net| family_of(net.addr().is_ipv4()) != id.family;
    if nets.iter().flatten().any(other) {
        return Err("An address of the other family.");
    }
    if let Some(input) = &rule.input {
        check_interface(chain, input)?;
    }
    rule.matches.iter().try_for_each(check_match)?;
    check_target(id, rule)
}

fn check_interface(chain: &str, interface: &Interface) -> Result<(), &'static str> {
    if matches!(chain, "OUTPUT" | "POSTROUTING") {
        return Err("Can't use -i with OUTPUT or POSTROUTING.");
    }
    let name = &interface.name;
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err("Not the name of an interface.");
    }
    if name.len() + usize::from(interface.prefix) > INTERFACE_NAME {
        return Err("The name of an interface must be shorter than IFNAMSIZ.");
    }
    Ok(())
}

fn check_match(one: &Match) -> Result<(), &'static str> {
    match one {
        Match::Comment(text) if text.len() > COMMENT => {
            Err("The comment would be cut: more than 255 bytes.")
        }
        Match::Comment(text) if text.contains(['\n', '\0']) => {
            Err("The comment does not fit a line.")
        }
        Match::State { states: [], .. } => Err("option \"--ctstate\" requires an argument."),
        Match::Random(probability) if probability.0 > 1 << 31 => {
            Err("statistic: bad value for option \"--probability\", or out of range (0-1).")
        }
        Match::Remembered { seconds: 0, .. } => {
            Err("recent: bad value for option \"--seconds\", or out of range (1-4294967295).")
        }
        Match::Remember { list } | Match::Remembered { list, .. } => check_list(list),
        _ => Ok(()),
    }
}

fn check_list(name: &str) -> Result<(), &'static str> {
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err("Bad argument: a list's name is one word.");
    }
    if name.len() > LIST_NAME {
        return Err("The list's name would be cut: more than 199 bytes.");
    }
    Ok(())
}

fn check_target(id: TableId, rule: &Rule) -> Result<(), &'static str> {
    match &rule.target {
        Some(Target::Drop) if id.table == Table::Nat => {
            Err("The \"nat\" table is not intended for filtering, the use of DROP is inhibited.")
        }
        Some(Target::Dnat(_)) if rule.protocol.is_none() => {
            Err("Need TCP, UDP, SCTP or DCCP with port specification.")
        }
        Some(Target::Dnat(to)) if family_of(matches!(to, SocketAddr::V4(_))) != id.family => {
            Err("An address of the other family.")
        }
        _ => Ok(()),
    }
}

fn family_of(is_ipv4: bool) -> Family {
    if is_ipv4 { Family::Ip } else { Family::Ip6 }
}

/// What the kernel finds wrong with a rule.
pub(super) fn accept(
    id: TableId,
    rule: &Rule,
    accounting: &BTreeSet<String>,
) -> Result<(), &'static str> {
    for one in &rule.matches {
        match one {
            Match::Transport { protocol, .. } if rule.protocol != Some(*protocol) => {
                return Err("Invalid argument: a match that needs the rule to have its protocol.");
            }
            Match::Remember { list } | Match::Remembered { list, .. } if list.contains('/') => {
                return Err("Invalid argument: not the name of a list.");
            }
            Match::Count(name) if !accounting.contains(*name) => {
                return Err("No such file or directory: no such accounting object.");
            }
            _ => {}
        }
    }
    let home = match rule.target {
        Some(Target::Reject) => Table::Filter,
        Some(Target::Masquerade { .. } | Target::Dnat(_)) => Table::Nat,
        _ => id.table,
    };
    if home != id.table {
        return Err("Invalid argument: a target that belongs into another table.");
    }
    Ok(())
}

/// A rule as the kernel has it: a network of all addresses is none.
pub(super) fn canonical(rule: &Rule) -> Rule {
    let some = |net: Option<Net>| net.filter(|net| net.negate || net.net.prefix_len() > 0);
    Rule {
        source: some(rule.source),
        destination: some(rule.destination),
        ..rule.clone()
    }
}
