//! Prints rules.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::super::rule::{Expr, NOBODY, Rule, Statement, loopback};
use super::super::ruleset::Family;
use super::set::protocol_text;
use super::{comment, family as ip, quoted};

/// A rule as `nft list` prints it.
pub fn rule(family: Family, rule: &Rule) -> String {
    let statements = rule.statements.iter();
    let mut words: Vec<String> = statements.map(|one| statement(family, one)).collect();
    words.push(comment(rule.comment));
    words.retain(|word| !word.is_empty());
    words.join(" ")
}

fn statement(family: Family, statement: &Statement) -> String {
    let ip = ip(family);
    let key = |key: &[Expr]| concat(family, key);
    match statement {
        Statement::InSet {
            key: of,
            set,
            negate,
        } => format!("{} {}@{set}", key(of), not(*negate)),
        Statement::InNet {
            address,
            net,
            negate,
        } => format!(
            "{} {}{}",
            expr(family, *address),
            not(*negate),
            network(*net)
        ),
        Statement::InputInterface {
            name,
            prefix,
            negate,
        } => format!("iifname {}{}", not(*negate), interface(name, *prefix)),
        Statement::IsLocal(address) => format!("fib {} type local", address_field(*address)),
        Statement::HasSender => format!("meta skuid != {NOBODY}"),
        Statement::IsTransparent => "socket transparent 1".to_owned(),
        Statement::NewConnection => "ct state new".to_owned(),
        Statement::Established => "ct state established".to_owned(),
        Statement::IsOriginal => "ct direction original".to_owned(),
        Statement::IsReply => "ct direction reply".to_owned(),
        Statement::Translated => "ct status dnat".to_owned(),
        Statement::Unconfirmed => "ct status ! confirmed".to_owned(),
        Statement::IsProtocol(number) => format!("meta l4proto {}", protocol_text(*number)),
        Statement::Count(counter) => format!("counter name {}", quoted(counter)),
        Statement::HasPorts => "meta l4proto { tcp, udp, sctp }".to_owned(),
        Statement::HasMark(bits) => format!("meta mark & {bits:#010x} != 0x00000000"),
        Statement::SetMark(bits) => format!("meta mark set meta mark | {bits:#010x}"),
        Statement::FlipMark(bits) => format!("meta mark set meta mark ^ {bits:#010x}"),
        Statement::HasConnectionMark(bits) => format!("ct mark & {bits:#010x} != 0x00000000"),
        Statement::SetConnectionMark(bits) => format!("ct mark set ct mark | {bits:#010x}"),
        Statement::SetDestinationFromMap { key: of, map } => {
            format!("{ip} daddr set {} map @{map}", key(of))
        }
        Statement::RestoreDestination => format!("{ip} daddr set ct original {ip} daddr"),
        Statement::Update {
            map,
            key: of,
            timeout,
            data,
        } => format!(
            "update @{map} {{ {} timeout {} : {} }}",
            key(of),
            duration(*timeout),
            key(data)
        ),
        Statement::Forget { map, key: of, data } => {
            format!("delete @{map} {{ {} : {} }}", key(of), key(data))
        }
        Statement::VerdictMap { key: of, map } => format!("{} vmap @{map}", key(of)),
        Statement::Dnat { key: of, map } => format!("dnat {ip} to {} map @{map}", key(of)),
        Statement::Tproxy { key: of, map } => {
            let loopback = match loopback(family) {
                IpAddr::V4(v4) => v4.to_string(),
                IpAddr::V6(v6) => format!("[{v6}]"),
            };
            format!("tproxy to {loopback}:{} map @{map}", key(of))
        }
        Statement::Masquerade => "masquerade fully-random".to_owned(),
        Statement::Reject => "reject".to_owned(),
        Statement::Reset => "reject with tcp reset".to_owned(),
        Statement::Accept => "accept".to_owned(),
        Statement::Drop => "drop".to_owned(),
        Statement::Return => "return".to_owned(),
        Statement::Jump(chain) => format!("jump {chain}"),
        Statement::Goto(chain) => format!("goto {chain}"),
    }
}

fn not(negate: bool) -> &'static str {
    if negate { "!= " } else { "" }
}

/// Values side by side.
pub(super) fn concat(family: Family, exprs: &[Expr]) -> String {
    let words: Vec<String> = exprs.iter().map(|one| expr(family, *one)).collect();
    words.join(" . ")
}

fn expr(family: Family, expr: Expr) -> String {
    let ip = ip(family);
    match expr {
        Expr::SourceAddress | Expr::DestinationAddress => {
            format!("{ip} {}", address_field(expr))
        }
        Expr::Protocol => "meta l4proto".to_owned(),
        Expr::DestinationPort => "th dport".to_owned(),
        Expr::OriginalDestination => format!("ct original {ip} daddr"),
        Expr::OriginalPort => "ct original proto-dst".to_owned(),
        Expr::Direction => "ct direction".to_owned(),
        Expr::Random { modulus, offset: 0 } => format!("numgen random mod {modulus}"),
        Expr::Random { modulus, offset } => {
            format!("numgen random mod {modulus} offset {offset}")
        }
    }
}

/// The name of the packet's address that a statement about addresses is about.
pub(in super::super) fn address_field(expr: Expr) -> &'static str {
    if expr == Expr::SourceAddress {
        "saddr"
    } else {
        "daddr"
    }
}

/// A network; without the length if it has one address only.
fn network(net: IpNet) -> String {
    if net.prefix_len() == net.max_prefix_len() {
        net.addr().to_string()
    } else {
        net.trunc().to_string()
    }
}

/// An interface's name, where a `*` at the end stands for anything.
fn interface(name: &str, prefix: bool) -> String {
    quoted(&interface_pattern(name, prefix))
}

/// An interface's name or how it begins, as a pattern of `nft`'s.
pub(in super::super) fn interface_pattern(name: &str, prefix: bool) -> String {
    match (prefix, name.strip_suffix('*')) {
        (true, _) => format!("{name}*"),
        (false, Some(stem)) => format!("{stem}\\*"),
        (false, None) => name.to_owned(),
    }
}

/// A time as `nft` writes it: `1d2h3m4s5ms`. The kernel has milliseconds.
fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    let units = [
        (seconds / 86400, "d"),
        (seconds / 3600 % 24, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
        (u64::from(time.subsec_millis()), "ms"),
    ];
    let words = units.iter().filter(|(count, _)| *count > 0);
    let text: Vec<String> = words
        .map(|(count, unit)| format!("{count}{unit}"))
        .collect();
    if text.is_empty() {
        "0s".to_owned()
    } else {
        text.concat()
    }
}
