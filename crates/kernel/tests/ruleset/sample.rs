//! A table with one of everything the language has.

use std::time::Duration;

use fairlead_kernel::nft::rule::{Expr, Rule, Statement};
use fairlead_kernel::nft::ruleset::{
    BaseHook, Batch, Bytes, Chain, ChainKind, Data, DataType, Family, Hook, Op, Set, Type, Value,
    Verdict,
};

use super::{
    TCP, UDP, address, base, chain, commented, element, goto, port_key, range, rule, set, table,
};

/// What `nft -j -f` 1.0.6 can read: no data of several fields, no number in a key, nothing
/// dynamic.
pub(crate) fn plain(family: Family) -> Batch {
    let mut ops = vec![Op::AddTable {
        comment: "made by a test",
    }];
    ops.push(Op::AddCounter {
        name: "refused",
        comment: "what was refused",
    });
    ops.extend(chains());
    ops.extend(plain_sets());
    ops.extend(plain_elements(family));
    ops.extend(plain_rules(family));
    Batch {
        table: table(family),
        ops,
    }
}

/// One of everything that `nft -f` 1.0.6 can read: with the long keys of IPv6 it runs out of
/// registers in the statements that update maps, and aborts.
pub(crate) fn full(family: Family) -> Batch {
    match family {
        Family::Ip => everything(family),
        Family::Ip6 => wide(family),
    }
}

/// One of everything.
pub(crate) fn everything(family: Family) -> Batch {
    let mut batch = wide(family);
    batch.ops.extend(remembering_rules());
    batch
}

fn wide(family: Family) -> Batch {
    let mut batch = plain(family);
    batch.ops.extend(wide_sets());
    batch.ops.extend(wide_elements(family));
    batch.ops.extend(wide_rules());
    batch
}

fn chains() -> Vec<Op> {
    vec![
        base("pre", ChainKind::Nat, Hook::Prerouting, -100),
        base("post", ChainKind::Nat, Hook::Postrouting, 90),
        base("out", ChainKind::Nat, Hook::Output, -100),
        base("early", ChainKind::Filter, Hook::Input, -250),
        base("reroute", ChainKind::Route, Hook::Output, -150),
        Op::AddChain(Chain {
            name: "filter".into(),
            hook: Some(BaseHook {
                kind: ChainKind::Filter,
                hook: Hook::Forward,
                priority: 5,
            }),
            comment: Some("refuses"),
        }),
        chain("lb-3"),
        Op::AddChain(Chain {
            name: "mark_it".into(),
            hook: None,
            comment: Some("to be masqueraded"),
        }),
        chain("empty"),
    ]
}

fn plain_sets() -> Vec<Op> {
    let port = &[Type::Address, Type::Protocol, Type::Port];
    let guarded = &[Type::Address, Type::Protocol, Type::Port, Type::Address];
    vec![
        Op::AddSet(Set {
            data: Some(DataType::Verdict),
            comment: Some("a verdict for each port"),
            ..set("services", port)
        }),
        Op::AddSet(Set {
            interval: true,
            comment: Some("who may"),
            ..set("source-ranges", guarded)
        }),
        Op::AddSet(Set {
            interval: true,
            ..set("cidrs", &[Type::Address])
        }),
        Op::AddSet(Set {
            interval: true,
            ..set("node-ports", &[Type::Port])
        }),
        Op::AddSet(set("hairpin", &[Type::Address])),
        Op::AddSet(Set {
            counted: true,
            comment: Some("packets of connections"),
            ..set(
                "traffic",
                &[Type::Direction, Type::Address, Type::Protocol, Type::Port],
            )
        }),
        Op::AddSet(Set {
            data: Some(DataType::Verdict),
            counted: true,
            ..set("refused-services", port)
        }),
        Op::AddSet(Set {
            data: Some(DataType::Fields(&[Type::Port])),
            ..set("listeners", port)
        }),
        Op::AddSet(Set {
            data: Some(DataType::Fields(&[Type::Address])),
            size: Some(100),
            ..set("moved", &[Type::Address])
        }),
    ]
}

fn plain_elements(family: Family) -> Vec<Op> {
    let ip = |last| address(family, last);
    let key = |last| Bytes::new().address(ip(last));
    let guarded = |last| port_key(ip(1), TCP, 443).address(ip(last));
    let traffic = |direction| {
        let key = Bytes::new().direction(direction).address(ip(2));
        key.protocol(TCP).port(80)
    };
    vec![
        commented(
            element("services", port_key(ip(2), TCP, 80), Some(goto("lb-3"))),
            "default/nginx:http",
        ),
        element("services", port_key(ip(1), UDP, 53), Some(goto("lb-3"))),
        element(
            "services",
            port_key(ip(3), 132, 80),
            Some(Data::Verdict(Verdict::Drop)),
        ),
        element(
            "services",
            port_key(ip(4), TCP, 80),
            Some(Data::Verdict(Verdict::Jump("mark_it".into()))),
        ),
        range("source-ranges", guarded(0), guarded(15)),
        commented(
            range("source-ranges", guarded(17), guarded(20)),
            "from 17 to 20",
        ),
        range("source-ranges", guarded(99), guarded(99)),
        range("cidrs", key(128), key(255)),
        range("cidrs", key(7), key(7)),
        range(
            "node-ports",
            Bytes::new().port(30000),
            Bytes::new().port(32767),
        ),
        element("hairpin", key(9), None),
        commented(element("traffic", traffic(0), None), "default/nginx:http"),
        element("traffic", traffic(1), None),
        element(
            "refused-services",
            port_key(ip(2), TCP, 80),
            Some(Data::Verdict(Verdict::Drop)),
        ),
        element("hairpin", key(8), None),
        element(
            "listeners",
            port_key(ip(2), TCP, 80),
            Some(Data::Value(Value::new().port(11000))),
        ),
        element(
            "moved",
            key(1),
            Some(Data::Value(Value::new().address(ip(2)))),
        ),
    ]
}

fn plain_rules(family: Family) -> Vec<Op> {
    use Statement as S;
    let net = |bits| ipnet::IpNet::new(address(family, 0), bits).unwrap();
    let (short, full) = match family {
        Family::Ip => (24, 32),
        Family::Ip6 => (64, 128),
    };
    let interface = |name: &str, prefix, negate| S::InputInterface {
        name: name.to_owned(),
        prefix,
        negate,
    };
    let in_net = |address, net, negate| S::InNet {
        address,
        net,
        negate,
    };
    let member = |key: &[Expr], set, negate| S::InSet {
        key: key.to_vec(),
        set,
        negate,
    };
    let services = || S::VerdictMap {
        key: DESTINATION.to_vec(),
        map: "services",
    };
    let guarded = [&DESTINATION[..], &[Expr::SourceAddress]].concat();
    vec![
        rule("pre", [interface("lo", false, true), services()]),
        rule("pre", [interface("cali", true, false), services()]),
        rule("pre", [interface("odd*", false, false), S::Return]),
        rule("pre", [S::IsLocal(Expr::DestinationAddress), services()]),
        rule("out", [S::IsLocal(Expr::SourceAddress), services()]),
        rule("out", [S::HasSender, S::IsTransparent, S::Return]),
        rule("post", [S::HasMark(0x4000), S::FlipMark(0x4000)]),
        rule("post", [S::Translated, S::Masquerade]),
        rule("filter", [member(&guarded, "source-ranges", true), S::Drop]),
        rule(
            "filter",
            [
                member(&[Expr::DestinationAddress], "cidrs", false),
                S::Reject,
            ],
        ),
        rule(
            "filter",
            [
                member(&[Expr::DestinationPort], "node-ports", false),
                S::Return,
            ],
        ),
        rule(
            "early",
            [
                S::Translated,
                S::Unconfirmed,
                S::IsProtocol(UDP),
                member(&TRAFFIC, "traffic", false),
            ],
        ),
        rule("pre", [S::HasPorts, to_listener(), S::Accept]),
        rule("early", [S::Established, S::HasConnectionMark(0x1000)]),
        rule("early", [S::IsOriginal, S::SetConnectionMark(0x1000)]),
        rule("reroute", [S::IsReply, S::SetMark(0x1000), S::Accept]),
        rule("early", [S::Count("refused"), S::Drop]),
        rule("early", [S::NewConnection, S::Jump("mark_it".into())]),
        rule("early", [S::HasPorts, S::Goto("mark_it".into())]),
        rule(
            "mark_it",
            [
                in_net(Expr::SourceAddress, net(short), true),
                in_net(Expr::DestinationAddress, net(full), false),
                S::SetMark(0x4000),
            ],
        ),
        rule(
            "mark_it",
            [
                S::SetDestinationFromMap {
                    key: vec![Expr::SourceAddress],
                    map: "moved",
                },
                S::RestoreDestination,
            ],
        ),
        Op::AddRule {
            chain: "mark_it".into(),
            rule: Rule {
                statements: vec![S::Return],
                comment: Some("the rest"),
            },
        },
    ]
}

fn wide_sets() -> Vec<Op> {
    let endpoint = DataType::Fields(&[Type::Address, Type::Port]);
    let by_choice = &[Type::Address, Type::Protocol, Type::Port, Type::Number];
    let by_client = &[Type::Address, Type::Address, Type::Protocol, Type::Port];
    vec![
        Op::AddSet(Set {
            data: Some(endpoint.clone()),
            typeof_key: Some(choice(65536, 0)),
            typeof_data: Some(vec![Expr::DestinationAddress, Expr::DestinationPort]),
            comment: Some("the endpoints by their index"),
            ..set("endpoints", by_choice)
        }),
        Op::AddSet(Set {
            data: Some(endpoint),
            ..set("sticky-endpoints", by_client)
        }),
        Op::AddSet(Set {
            data: Some(DataType::Fields(&[Type::Address])),
            dynamic: true,
            size: Some(65536),
            typeof_key: Some(CLIENT.to_vec()),
            typeof_data: Some(vec![Expr::DestinationAddress]),
            ..set("affinity", by_client)
        }),
    ]
}

fn wide_elements(family: Family) -> Vec<Op> {
    let endpoint = |last: u8, port| {
        let bytes = Value::new().address(address(family, last)).port(port);
        Some(Data::Value(bytes))
    };
    let index = |number| port_key(address(family, 2), TCP, 80).number(number);
    let client = Bytes::new()
        .address(address(family, 5))
        .address(address(family, 2))
        .protocol(TCP)
        .port(80);
    vec![
        element("endpoints", index(256), endpoint(6, 8080)),
        commented(element("endpoints", index(1), endpoint(5, 8080)), "one"),
        element("sticky-endpoints", client, endpoint(5, 8080)),
    ]
}

fn wide_rules() -> Vec<Op> {
    let sticky = [
        Expr::DestinationAddress,
        Expr::OriginalDestination,
        Expr::Protocol,
        Expr::DestinationPort,
    ];
    vec![
        rule(
            "lb-3",
            [
                Statement::HasPorts,
                Statement::Dnat {
                    key: choice(3, 2),
                    map: "endpoints",
                },
            ],
        ),
        rule(
            "lb-3",
            [
                Statement::SetDestinationFromMap {
                    key: CLIENT.to_vec(),
                    map: "affinity",
                },
                Statement::HasPorts,
                Statement::Dnat {
                    key: sticky.to_vec(),
                    map: "sticky-endpoints",
                },
            ],
        ),
    ]
}

fn remembering_rules() -> Vec<Op> {
    vec![
        rule(
            "lb-3",
            [Statement::Update {
                map: "affinity",
                key: CLIENT.to_vec(),
                timeout: Duration::from_hours(3),
                data: vec![Expr::DestinationAddress],
            }],
        ),
        rule(
            "lb-3",
            [Statement::Forget {
                map: "affinity",
                key: CLIENT.to_vec(),
                data: vec![Expr::DestinationAddress],
            }],
        ),
    ]
}

/// Whose map nft 1.0.6 loads and does not list.
fn to_listener() -> Statement {
    Statement::Tproxy {
        key: DESTINATION.to_vec(),
        map: "listeners",
    }
}

const DESTINATION: [Expr; 3] = [
    Expr::DestinationAddress,
    Expr::Protocol,
    Expr::DestinationPort,
];
const TRAFFIC: [Expr; 4] = [
    Expr::Direction,
    Expr::OriginalDestination,
    Expr::Protocol,
    Expr::OriginalPort,
];
const CLIENT: [Expr; 4] = [
    Expr::SourceAddress,
    Expr::DestinationAddress,
    Expr::Protocol,
    Expr::DestinationPort,
];

/// `DESTINATION` and a random number.
fn choice(modulus: u32, offset: u32) -> Vec<Expr> {
    [&DESTINATION[..], &[Expr::Random { modulus, offset }]].concat()
}
