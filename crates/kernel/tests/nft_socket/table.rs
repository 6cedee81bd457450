//! A table that has every kind of set and every statement in it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use Expr::{
    DestinationAddress, DestinationPort, Direction, OriginalDestination, OriginalPort, Protocol,
    SourceAddress,
};
use ipnet::IpNet;

use fairlead_kernel::nft::rule::{Expr, Rule, Statement};
use fairlead_kernel::nft::ruleset::{
    BaseHook, Batch, Bytes, Chain, ChainKind, Data, DataType, Element, Family, Hook, Op, Set,
    TableId, Type, Value, Verdict,
};

const TCP: u8 = 6;
const ANY: Expr = Expr::Random {
    modulus: 65536,
    offset: 0,
};
const SERVICE: [Expr; 3] = [DestinationAddress, Protocol, DestinationPort];

/// The table of `family`, made from nothing.
pub(crate) fn batch(family: Family) -> Batch {
    let mut ops = vec![Op::AddTable {
        comment: "every statement",
    }];
    ops.push(Op::AddCounter {
        name: "refused",
        comment: "by the rules",
    });
    ops.extend(chains().into_iter().map(Op::AddChain));
    ops.extend(sets().into_iter().map(Op::AddSet));
    ops.extend(
        elements(family)
            .into_iter()
            .map(|(set, element)| Op::AddElements {
                set,
                elements: vec![element],
            }),
    );
    ops.extend(
        rules(family)
            .into_iter()
            .map(|(chain, statements, comment)| Op::AddRule {
                chain: chain.into(),
                rule: Rule {
                    statements,
                    comment,
                },
            }),
    );
    Batch {
        table: TableId {
            family,
            name: "fairlead",
        },
        ops,
    }
}

/// An address of the family, and another for every other number.
pub(crate) fn address(family: Family, number: u32) -> IpAddr {
    match family {
        Family::Ip => IpAddr::from((0x0a00_0000 | number).to_be_bytes()),
        Family::Ip6 => IpAddr::from((0xfd00_u128 << 112 | u128::from(number)).to_be_bytes()),
    }
}

fn chains() -> Vec<Chain> {
    let hook = |kind, hook, priority| {
        Some(BaseHook {
            kind,
            hook,
            priority,
        })
    };
    let chain = |name: &str, hook, comment| Chain {
        name: name.into(),
        hook,
        comment,
    };
    vec![
        chain(
            "services",
            hook(ChainKind::Nat, Hook::Prerouting, -100),
            Some("first packets"),
        ),
        chain(
            "postrouting",
            hook(ChainKind::Nat, Hook::Postrouting, 100),
            None,
        ),
        chain(
            "filter-input",
            hook(ChainKind::Filter, Hook::Input, -110),
            None,
        ),
        chain(
            "filter-forward",
            hook(ChainKind::Filter, Hook::Forward, -110),
            None,
        ),
        chain(
            "filter-output",
            hook(ChainKind::Filter, Hook::Output, -110),
            None,
        ),
        chain(
            "prerouting",
            hook(ChainKind::Filter, Hook::Prerouting, -110),
            None,
        ),
        chain("output", hook(ChainKind::Route, Hook::Output, -100), None),
        chain("lb-3", None, Some("three endpoints")),
        chain("sticky", None, None),
        chain("matches", None, None),
        chain("ranges", None, None),
    ]
}

fn sets() -> Vec<Set> {
    use Type::{Address, Number, Port, Protocol};
    let set = Set::new;
    let fields = |fields| Some(DataType::Fields(fields));
    let endpoint = Some(vec![DestinationAddress, DestinationPort]);
    vec![
        Set {
            data: Some(DataType::Verdict),
            comment: Some("cluster IPs"),
            ..set("services", &[Address, Protocol, Port])
        },
        Set {
            data: fields(&[Address, Port]),
            typeof_key: Some([&SERVICE[..], &[ANY]].concat()),
            typeof_data: endpoint.clone(),
            comment: Some("by number"),
            ..set("endpoints", &[Address, Protocol, Port, Number])
        },
        Set {
            data: fields(&[Address]),
            dynamic: true,
            size: Some(65536),
            typeof_key: Some([&[SourceAddress], &SERVICE[..]].concat()),
            typeof_data: Some(vec![DestinationAddress]),
            ..set("affinity", &[Address, Address, Protocol, Port])
        },
        Set {
            data: fields(&[Address, Port]),
            typeof_key: Some(sticky_key()),
            typeof_data: endpoint,
            ..set("sticky-endpoints", &[Address, Address, Protocol, Port])
        },
        Set {
            data: fields(&[Address]),
            typeof_key: Some([&SERVICE[..], &[ANY]].concat()),
            typeof_data: Some(vec![DestinationAddress]),
            ..set("sticky-choices", &[Address, Protocol, Port, Number])
        },
        Set {
            interval: true,
            ..set("source-ranges", &[Address, Protocol, Port, Address])
        },
        Set {
            interval: true,
            comment: Some("ours"),
            ..set("service-cidrs", &[Address])
        },
        Set {
            interval: true,
            data: Some(DataType::Verdict),
            ..set("range-verdicts", &[Address])
        },
        Set {
            interval: true,
            ..set("port-ranges", &[Port])
        },
        Set {
            counted: true,
            comment: Some("packets"),
            ..set("traffic", &[Type::Direction, Address, Protocol, Port])
        },
        Set {
            counted: true,
            data: Some(DataType::Verdict),
            ..set("refused-services", &[Address, Protocol, Port])
        },
        Set {
            data: fields(&[Port]),
            ..set("listeners", &[Address, Protocol, Port])
        },
        set("protocols", &[Protocol]),
        set("ports", &[Port]),
        Set {
            size: Some(100),
            ..set("addresses", &[Address])
        },
    ]
}

fn sticky_key() -> Vec<Expr> {
    vec![
        DestinationAddress,
        OriginalDestination,
        Protocol,
        DestinationPort,
    ]
}

type Named = (&'static str, Element);

fn elements(family: Family) -> Vec<Named> {
    let mut elements = exact(family);
    elements.extend(ranges(family));
    elements
}

fn ip(family: Family, number: u32) -> Bytes {
    Bytes::new().address(address(family, number))
}

fn service(family: Family) -> Bytes {
    ip(family, 1).protocol(TCP).port(80)
}

/// One element a set, for the kernel keeps them in no order, and a listing is to be always the
/// same.
fn exact(family: Family) -> Vec<Named> {
    let value = |value| Some(Data::Value(value));
    let ip_value = Value::new().address(address(family, 2));
    let endpoint = ip_value.port(8080);
    let sticky = ip(family, 2)
        .address(address(family, 1))
        .protocol(TCP)
        .port(80);
    vec![
        (
            "services",
            Element {
                data: Some(Data::Verdict(Verdict::Goto("lb-3".into()))),
                comment: Some("default/web:http".into()),
                ..Element::new(service(family))
            },
        ),
        (
            "endpoints",
            Element {
                data: value(endpoint),
                ..Element::new(service(family).number(0))
            },
        ),
        (
            "sticky-endpoints",
            Element {
                data: value(endpoint),
                ..Element::new(sticky)
            },
        ),
        (
            "sticky-choices",
            Element {
                data: value(ip_value),
                ..Element::new(service(family).number(0))
            },
        ),
        (
            "traffic",
            Element {
                comment: Some("default/web:http".into()),
                ..Element::new(
                    Bytes::new()
                        .direction(1)
                        .address(address(family, 1))
                        .protocol(TCP)
                        .port(80),
                )
            },
        ),
        (
            "refused-services",
            Element {
                data: Some(Data::Verdict(Verdict::Drop)),
                ..Element::new(service(family))
            },
        ),
        (
            "listeners",
            Element {
                data: value(Value::new().port(11000)),
                ..Element::new(service(family))
            },
        ),
        ("protocols", Element::new(Bytes::new().protocol(TCP))),
        ("ports", Element::new(Bytes::new().port(443))),
        // Longer than a comment may be.
        (
            "addresses",
            Element {
                comment: Some("é".repeat(100).into()),
                ..Element::new(ip(family, 7))
            },
        ),
    ]
}

fn ranges(family: Family) -> Vec<Named> {
    let range = Element::range;
    let net = |net: &str| {
        let net: IpNet = net.parse().expect("a network");
        range(
            Bytes::new().address(net.network()),
            Bytes::new().address(net.broadcast()),
        )
    };
    let to_the_end = match family {
        Family::Ip => net("255.255.255.0/24"),
        Family::Ip6 => net("ff00::/8"),
    };
    let verdict = |verdict| Some(Data::Verdict(verdict));
    let near = range(ip(family, 0x100), ip(family, 0x1ff));
    let client = |number| service(family).address(address(family, number));
    let comment = |text: &str| Some(Arc::from(text));
    vec![
        (
            "source-ranges",
            Element {
                comment: comment("default/web:http"),
                ..range(client(0x1000), client(0x10ff))
            },
        ),
        ("service-cidrs", near.clone()),
        (
            "service-cidrs",
            Element {
                comment: comment("next to it"),
                ..range(ip(family, 0x200), ip(family, 0x200))
            },
        ),
        (
            "service-cidrs",
            Element {
                comment: comment("to the end"),
                ..to_the_end.clone()
            },
        ),
        (
            "range-verdicts",
            Element {
                data: verdict(Verdict::Jump("ranges".into())),
                ..near
            },
        ),
        (
            "range-verdicts",
            Element {
                data: verdict(Verdict::Drop),
                ..to_the_end
            },
        ),
        (
            "port-ranges",
            range(Bytes::new().port(30000), Bytes::new().port(32767)),
        ),
    ]
}

type Line = (&'static str, Vec<Statement>, Option<&'static str>);

fn rules(family: Family) -> Vec<Line> {
    let rule = |chain, statements| (chain, statements, None);
    let mut rules: Vec<Line> = matches(family)
        .into_iter()
        .map(|statement| rule("matches", vec![statement, Statement::Return]))
        .collect();
    rules.extend([
        (
            "services",
            vec![Statement::VerdictMap {
                key: SERVICE.to_vec(),
                map: "services",
            }],
            Some("to the services' chains"),
        ),
        rule(
            "postrouting",
            vec![
                Statement::HasMark(0x4000),
                Statement::FlipMark(0x4000),
                Statement::Masquerade,
            ],
        ),
        rule(
            "filter-input",
            vec![Statement::NewConnection, Statement::Jump("matches".into())],
        ),
        rule(
            "filter-forward",
            vec![Statement::Translated, Statement::Goto("matches".into())],
        ),
        rule(
            "filter-output",
            vec![
                Statement::Translated,
                Statement::Unconfirmed,
                Statement::IsProtocol(TCP),
                Statement::InSet {
                    key: vec![Direction, OriginalDestination, Protocol, OriginalPort],
                    set: "traffic",
                    negate: false,
                },
            ],
        ),
        rule(
            "filter-output",
            vec![Statement::Count("refused"), Statement::Reject],
        ),
        rule("matches", vec![Statement::SetMark(0x4000)]),
        rule("matches", vec![Statement::Drop]),
        rule(
            "lb-3",
            vec![
                Statement::HasPorts,
                dnat([&SERVICE[..], &[three()]].concat(), "endpoints"),
            ],
        ),
    ]);
    rules.extend(local());
    rules.extend(
        sticky()
            .into_iter()
            .map(|statements| rule("sticky", statements)),
    );
    rules
}

/// What brings packets to sockets of this host.
fn local() -> Vec<Line> {
    let rule = |chain, statements| (chain, statements, None);
    let mark = 0x1000;
    vec![
        rule(
            "prerouting",
            vec![
                Statement::IsReply,
                Statement::HasConnectionMark(mark),
                Statement::SetMark(mark),
                Statement::Accept,
            ],
        ),
        rule(
            "prerouting",
            vec![
                Statement::IsOriginal,
                Statement::SetConnectionMark(mark),
                Statement::HasPorts,
                Statement::Tproxy {
                    key: SERVICE.to_vec(),
                    map: "listeners",
                },
                Statement::Accept,
            ],
        ),
        rule(
            "output",
            vec![
                Statement::NewConnection,
                Statement::HasSender,
                Statement::IsTransparent,
                Statement::SetConnectionMark(mark),
            ],
        ),
        rule(
            "output",
            vec![
                Statement::Established,
                Statement::HasConnectionMark(mark),
                Statement::SetMark(mark),
            ],
        ),
    ]
}

fn three() -> Expr {
    Expr::Random {
        modulus: 3,
        offset: 2,
    }
}

fn dnat(key: Vec<Expr>, map: &'static str) -> Statement {
    Statement::Dnat { key, map }
}

fn matches(family: Family) -> Vec<Statement> {
    let in_set = |key: &[Expr], set, negate| Statement::InSet {
        key: key.to_vec(),
        set,
        negate,
    };
    let within = |address, net: &str, negate| Statement::InNet {
        address,
        net: net.parse().expect("a network"),
        negate,
    };
    let input = |name: &str, prefix, negate| Statement::InputInterface {
        name: name.into(),
        prefix,
        negate,
    };
    let nets = match family {
        Family::Ip => [
            "10.0.0.0/8",
            "10.1.0.0/16",
            "10.16.0.0/12",
            "10.0.0.1/32",
            "0.0.0.0/0",
        ],
        Family::Ip6 => [
            "fd00::/8",
            "fd00:1::/32",
            "fe80::/10",
            "fd00::1/128",
            "::/0",
        ],
    };
    let mut matches = vec![
        in_set(
            &[&SERVICE[..], &[SourceAddress]].concat(),
            "source-ranges",
            true,
        ),
        in_set(
            &[&SERVICE[..], &[SourceAddress]].concat(),
            "source-ranges",
            false,
        ),
        in_set(&[DestinationAddress], "service-cidrs", false),
        in_set(&[OriginalDestination], "addresses", true),
        in_set(&[DestinationPort], "ports", false),
        in_set(&[Protocol], "protocols", false),
        Statement::VerdictMap {
            key: vec![SourceAddress],
            map: "range-verdicts",
        },
        input("eth0", false, false),
        input("eth0", false, true),
        input("veth", true, false),
        input("veth", true, true),
        Statement::IsLocal(SourceAddress),
        Statement::IsLocal(DestinationAddress),
        Statement::HasPorts,
    ];
    for net in nets {
        matches.push(within(SourceAddress, net, false));
        matches.push(within(DestinationAddress, net, true));
    }
    matches
}

fn sticky() -> Vec<Vec<Statement>> {
    let seen = [&[SourceAddress], &SERVICE[..]].concat();
    let asked = vec![
        SourceAddress,
        OriginalDestination,
        Protocol,
        DestinationPort,
    ];
    let data = vec![DestinationAddress];
    let update = Statement::Update {
        map: "affinity",
        key: asked,
        timeout: Duration::from_hours(3),
        data: data.clone(),
    };
    vec![
        vec![
            Statement::SetDestinationFromMap {
                key: seen.clone(),
                map: "affinity",
            },
            update.clone(),
        ],
        vec![Statement::HasPorts, dnat(sticky_key(), "sticky-endpoints")],
        vec![Statement::RestoreDestination],
        vec![Statement::Forget {
            map: "affinity",
            key: seen,
            data,
        }],
        vec![Statement::SetDestinationFromMap {
            key: [&SERVICE[..], &[three()]].concat(),
            map: "sticky-choices",
        }],
        vec![update],
    ]
}
