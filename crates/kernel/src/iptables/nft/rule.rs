//! Rules as the expressions that `iptables-nft` makes of them.
//!
//! Addresses, interfaces, protocols, ports, marks and verdicts are nf_tables' own expressions;
//! the other extensions are iptables' (linux/netfilter/nf_tables_compat.h). The order is that of
//! iptables 1.8.9, which expects it when it reads a rule.

use super::super::rule::{Interface, Match, Net, Protocol, Rule, Target};
use super::extension::{self, Extension};
use crate::netlink::Builder;
use crate::nft::encode::expression::{Code, Register};
use crate::nft::rule::Expr;
use crate::nft::ruleset::Family;
use crate::nft::wire;

/// Writes the attributes that a rule consists of.
pub(super) fn write(body: &mut Builder, family: Family, rule: &Rule) {
    body.nest(wire::NFTA_RULE_EXPRESSIONS, |list| {
        expressions(&mut Code::new(list, family), rule);
    });
    // Extensions of a protocol insist on a rule that is of that protocol.
    if let Some(protocol) = rule.protocol {
        body.nest(wire::NFTA_RULE_COMPAT, |compat| {
            compat.be32(wire::NFTA_RULE_COMPAT_PROTO, protocol.number().into());
            compat.be32(wire::NFTA_RULE_COMPAT_FLAGS, 0);
        });
    }
}

/// About how many bytes [`write()`] writes, or more.
pub(super) fn size(rule: &Rule) -> usize {
    500 + 300 * rule.matches.len()
}

fn expressions(code: &mut Code<'_>, rule: &Rule) {
    if let Some(interface) = &rule.input {
        input(code, interface);
    }
    if let Some(protocol) = rule.protocol {
        code.load(&[Expr::Protocol], Register::FIRST);
        code.compare(&[protocol.number()], false);
    }
    net(code, Expr::SourceAddress, rule.source);
    net(code, Expr::DestinationAddress, rule.destination);
    for one in &rule.matches {
        matching(code, one);
    }
    code.expression("counter", |counter| {
        counter.be64(wire::NFTA_COUNTER_BYTES, 0);
        counter.be64(wire::NFTA_COUNTER_PACKETS, 0);
    });
    if let Some(target) = &rule.target {
        self::target(code, target);
    }
}

/// Compares a whole name with its NUL.
fn input(code: &mut Code<'_>, interface: &Interface) {
    let Interface {
        name,
        prefix,
        negate,
    } = interface;
    if *prefix && !negate && name.is_empty() {
        return;
    }
    let mut padded = [0; libc::IFNAMSIZ];
    let length = name.len().min(padded.len());
    padded[..length].copy_from_slice(&name.as_bytes()[..length]);
    let compared = if *prefix { length } else { length + 1 };
    code.load_meta(wire::NFT_META_IIFNAME, Register::FIRST);
    code.compare(&padded[..compared.min(padded.len())], *negate);
}

fn net(code: &mut Code<'_>, address: Expr, net: Option<Net>) {
    if let Some(Net { net, negate }) = net
        && (net.prefix_len() > 0 || negate)
    {
        code.in_net(address, net, negate);
    }
}

fn matching(code: &mut Code<'_>, one: &Match) {
    let family = code.family;
    match one {
        Match::Comment(text) => extension(code, "match", &extension::comment(text)),
        Match::Transport { protocol, dport } => transport(code, *protocol, *dport),
        Match::State { negate, states } => {
            extension(code, "match", &extension::conntrack(*negate, states));
        }
        Match::SourceIsLocal => extension(code, "match", &extension::source_is_local()),
        Match::DestinationIsLocal => extension(code, "match", &extension::destination_is_local()),
        Match::Mark { negate, bits } => mark(code, *bits, *negate),
        Match::Random(probability) => {
            extension(code, "match", &extension::statistic(*probability));
        }
        Match::Remember { list } => {
            extension(code, "match", &extension::remember(family, list));
        }
        Match::Remembered { list, seconds } => {
            let remembered = extension::remembered(family, list, *seconds);
            extension(code, "match", &remembered);
        }
        Match::Count(name) => extension(code, "match", &extension::nfacct(name)),
    }
}

fn transport(code: &mut Code<'_>, protocol: Protocol, dport: Option<u16>) {
    match (protocol, dport) {
        (Protocol::Sctp, dport) => extension(code, "match", &extension::sctp(dport)),
        (_, None) => extension(code, "match", &extension::any_port(protocol)),
        (_, Some(port)) => {
            code.load(&[Expr::DestinationPort], Register::FIRST);
            code.compare(&port.to_be_bytes(), false);
        }
    }
}

fn mark(code: &mut Code<'_>, bits: u32, negate: bool) {
    let bytes = bits.to_ne_bytes();
    code.load_meta(wire::NFT_META_MARK, Register::FIRST);
    if bits != u32::MAX {
        code.bitwise(&bytes, &[0; 4]);
    }
    code.compare(&bytes, negate);
}

fn target(code: &mut Code<'_>, target: &Target) {
    match target {
        Target::Jump(chain) => code.verdict(wire::NFT_JUMP, Some(chain)),
        Target::Accept => code.verdict(wire::NF_ACCEPT, None),
        Target::Drop => code.verdict(wire::NF_DROP, None),
        Target::Return => code.verdict(wire::NFT_RETURN, None),
        Target::Reject => {
            let reject = extension::reject(code.family);
            extension(code, "target", &reject);
        }
        Target::SetMark(bits) => extension(code, "target", &extension::mark(*bits, *bits)),
        Target::FlipMark(bits) => extension(code, "target", &extension::mark(*bits, 0)),
        Target::Masquerade { random_fully } => match code.family {
            Family::Ip => extension(code, "target", &extension::masquerade4(*random_fully)),
            Family::Ip6 => extension(code, "target", &extension::masquerade6(*random_fully)),
        },
        Target::Dnat(address) => extension(code, "target", &extension::dnat(*address)),
    }
}

/// Writes an extension of iptables: `kind` is `match` or `target`.
fn extension<const N: usize>(code: &mut Code<'_>, kind: &str, extension: &Extension<N>) {
    code.expression(kind, |data| {
        data.string(wire::NFTA_EXTENSION_NAME, extension.name);
        data.be32(wire::NFTA_EXTENSION_REV, extension.revision);
        data.bytes(wire::NFTA_EXTENSION_INFO, &extension.info);
    });
}
