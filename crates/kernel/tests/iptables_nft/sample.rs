//! Operations that use every match and every target.

use std::net::SocketAddr;

use fairlead_kernel::iptables::rule::{
    Interface, Match, Probability, Protocol, Rule, State, Target,
};
use fairlead_kernel::iptables::ruleset::{Batch, Family, Op, Table, TableId};
use ipnet::IpNet;

/// The accounting object that a rule counts in.
pub(crate) const COUNTER: &str = "ct_state_invalid_dropped_pkts";

/// Three tables, with rules in chains of our own and hooks in built-in ones.
pub(crate) fn batches(family: Family) -> Vec<Batch> {
    let filter = filter(family);
    let mangle = vec![
        Op::Declare("KUBE-CANARY".into()),
        Op::Append("OUTPUT".into(), Rule::default().jump("KUBE-CANARY")),
    ];
    let tables = [
        (Table::Nat, nat(family)),
        (Table::Filter, filter),
        (Table::Mangle, mangle),
    ];
    let of = |(table, ops)| Batch {
        table: TableId { family, table },
        ops,
    };
    tables.map(of).into()
}

fn nat(family: Family) -> Vec<Op> {
    let rules = nat_rules(family).into_iter();
    let hook = |text| Rule::commented(text).jump("KUBE-A");
    let mut ops = vec![Op::Declare("KUBE-A".into()), Op::Create("KUBE-B".into())];
    ops.extend(rules.map(|rule| Op::Append("KUBE-A".into(), rule)));
    ops.push(Op::Insert(
        "KUBE-B".into(),
        Rule::default().then(Target::Return),
    ));
    ops.push(Op::Insert(
        "KUBE-B".into(),
        Rule::default().then(Target::Accept),
    ));
    ops.push(Op::Append(
        "PREROUTING".into(),
        hook("kubernetes service portals"),
    ));
    // The kernel wants no MASQUERADE where it cannot be.
    ops.push(Op::Declare("KUBE-POST".into()));
    for random_fully in [false, true] {
        let target = Target::Masquerade { random_fully };
        ops.push(Op::Append("KUBE-POST".into(), Rule::default().then(target)));
    }
    let hook = Rule::commented("plain").jump("KUBE-POST");
    ops.push(Op::Append("POSTROUTING".into(), hook));
    ops
}

fn filter(family: Family) -> Vec<Op> {
    let new = Match::State {
        negate: false,
        states: &[State::New],
    };
    let hook = Rule::default().matching(new);
    let hook = hook.matching(Match::Comment("kubernetes \"externally-visible\"".into()));
    let mut ops = vec![Op::Declare("KUBE-A".into())];
    for target in [Target::Reject, Target::Drop, Target::Accept] {
        ops.push(Op::Append(
            "KUBE-A".into(),
            rule_for(family, 10).then(target),
        ));
    }
    ops.push(Op::Append("INPUT".into(), hook.jump("KUBE-A")));
    ops
}

/// An address, or a network of such a length.
pub(crate) fn net(family: Family, prefix: u8) -> IpNet {
    let net = match family {
        Family::Ip => format!("10.96.170.85/{}", prefix.min(32)),
        Family::Ip6 => format!("fd00:aaaa:5555:aaaa:5555:aaaa:5555:aaaa/{prefix}"),
    };
    net.parse::<IpNet>().unwrap().trunc()
}

/// The rule of a Service's port.
pub(crate) fn rule_for(family: Family, port: u16) -> Rule {
    Rule::commented("shop/web:http cluster IP")
        .to(net(family, 128))
        .transport(Protocol::Tcp, Some(port))
}

fn nat_rules(family: Family) -> Vec<Rule> {
    let mut rules = vec![
        rule_for(family, 80).jump("KUBE-B"),
        Rule::default(),
        Rule::commented("other traffic will be dropped"),
        Rule::commented("é".repeat(127)).then(Target::Accept),
    ];
    let full = if family == Family::Ip { 32 } else { 128 };
    for prefix in (0..=full).filter(|prefix| prefix % 5 == 0 || prefix % 8 == 0) {
        rules.push(Rule::default().from(net(family, prefix)).jump("KUBE-B"));
        if prefix > 0 {
            let rule = Rule::default().not_to(net(family, prefix));
            rules.push(rule.not_from(net(family, full)).jump("KUBE-B"));
        }
    }
    for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
        for dport in [None, Some(0), Some(80), Some(65535)] {
            rules.push(Rule::default().transport(protocol, dport));
        }
    }
    rules.extend(interfaces());
    rules.extend(matches().map(|one| Rule::default().matching(one).jump("KUBE-B")));
    rules.extend(targets(family).map(|target| {
        let rule = Rule::commented("a -> b").transport(Protocol::Udp, None);
        rule.then(target)
    }));
    rules
}

fn interfaces() -> impl Iterator<Item = Rule> {
    let names = [("cali", true), ("eth0", false), ("abcdefghijklmno", false)];
    names.into_iter().flat_map(|(name, prefix)| {
        [false, true].map(|negate| Rule {
            input: Some(Interface {
                name: name.into(),
                prefix,
                negate,
            }),
            protocol: Some(Protocol::Tcp),
            ..Rule::default()
        })
    })
}

fn matches() -> impl Iterator<Item = Match> {
    use State::{Dnat, Established, Invalid, New, Related};
    let list = "KUBE-SEP-2EDJ3MRZZFRQG32B";
    let state = |negate, states| Match::State { negate, states };
    let mark = |negate, bits| Match::Mark { negate, bits };
    [
        state(true, &[Related, Established, Dnat]),
        state(false, &[Invalid, New]),
        Match::SourceIsLocal,
        Match::DestinationIsLocal,
        mark(true, 0x4000),
        mark(false, 0x4000),
        mark(false, 0x8000_0000),
        Match::Random(Probability::one_in(3)),
        Match::Random(Probability::one_in(1)),
        Match::Remember { list: list.into() },
        Match::Remember { list: "ab".into() },
        Match::Remembered {
            list: list.into(),
            seconds: 10800,
        },
        Match::Count(COUNTER),
    ]
    .into_iter()
}

fn targets(family: Family) -> impl Iterator<Item = Target> {
    let to: SocketAddr = match family {
        Family::Ip => "10.1.0.5:8080".parse().unwrap(),
        Family::Ip6 => "[fd00:10::5]:8080".parse().unwrap(),
    };
    [
        Target::Jump("KUBE-B".into()),
        Target::Accept,
        Target::Return,
        Target::SetMark(0x4000),
        Target::FlipMark(0x4000),
        Target::Dnat(to),
    ]
    .into_iter()
}
