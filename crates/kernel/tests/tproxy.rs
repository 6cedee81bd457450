//! Rules and policy routing together, with real packets: connections to an address that is nobody's
//! are accepted here, whoever makes them.

mod privilege;
mod ruleset;

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Duration, Instant};

use fairlead_kernel::link::{Route, Rtnetlink};
use fairlead_kernel::netns::Netns;
use fairlead_kernel::nft::handle::Nft;
use fairlead_kernel::nft::rule::{Expr, Rule, Statement};
use fairlead_kernel::nft::ruleset::{
    Batch, ChainKind, Data, DataType, Family, Hook, Op, Set, Type, Value,
};
use fairlead_kernel::nft::socket::NftSocket;
use fairlead_kernel::routing::{
    LocalRoute, PolicyRouting, PolicyRule, Routing, RoutingOp, RuleAction,
};
use fairlead_kernel::transparent::{Keepalive, tcp};
use ipnet::IpNet;

use ruleset::{base, chain, element, goto, port_key, rule, set, table};

const MARK: u32 = 0x1000;
const TABLE: u32 = 4096;
const PORT: u16 = 11000;
const PATIENCE: Duration = Duration::from_secs(5);
const KEEPALIVE: Keepalive = Keepalive {
    idle: Duration::from_mins(1),
    interval: Duration::from_secs(15),
    probes: 4,
};

/// The addresses of one family.
struct Plan {
    family: Family,
    node: IpAddr,
    client: IpAddr,
    prefix_len: u8,
    everything: IpNet,
    /// Nobody has it.
    service: SocketAddr,
    listener: SocketAddr,
}

fn plans() -> [Plan; 2] {
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    let v4 = Plan {
        family: Family::Ip,
        node: ip("192.0.2.1"),
        client: ip("192.0.2.2"),
        prefix_len: 24,
        everything: "0.0.0.0/0".parse().unwrap(),
        service: "10.96.0.1:80".parse().unwrap(),
        listener: SocketAddr::new(ip("127.0.0.1"), PORT),
    };
    let v6 = Plan {
        family: Family::Ip6,
        node: ip("2001:db8::1"),
        client: ip("2001:db8::2"),
        prefix_len: 64,
        everything: "::/0".parse().unwrap(),
        service: "[fd00:10:96::1]:80".parse().unwrap(),
        listener: SocketAddr::new(ip("::1"), PORT),
    };
    [v4, v6]
}

/// A node and a client, each of which sends to the other what it has no other way for.
fn network(plan: &Plan) -> (Netns, Netns) {
    let (node, client) = (Netns::anonymous().unwrap(), Netns::anonymous().unwrap());
    node.run(|| {
        let mut rtnetlink = Rtnetlink::open().unwrap();
        rtnetlink.add_veth("veth0", "eth0", &client).unwrap();
        rtnetlink.set_up("lo").unwrap();
    })
    .unwrap();
    let ends = [
        (&node, "veth0", plan.node, plan.client),
        (&client, "eth0", plan.client, plan.node),
    ];
    for (netns, device, own, other) in ends {
        netns
            .run(|| {
                let mut rtnetlink = Rtnetlink::open().unwrap();
                rtnetlink.set_up(device).unwrap();
                let address = IpNet::new(own, plan.prefix_len).unwrap();
                rtnetlink.add_address(device, address).unwrap();
                let route = Route::to(plan.everything).via(other).dev(device);
                rtnetlink.add_route(&route).unwrap();
            })
            .unwrap();
    }
    (node, client)
}

fn rules(plan: &Plan) -> Batch {
    use Statement as S;
    const TCP: u8 = ruleset::TCP;
    let key = || {
        vec![
            Expr::DestinationAddress,
            Expr::Protocol,
            Expr::DestinationPort,
        ]
    };
    let fields: &[Type] = &[Type::Address, Type::Protocol, Type::Port];
    let service = port_key(plan.service.ip(), TCP, plan.service.port());
    let follow = S::VerdictMap {
        key: key(),
        map: "services",
    };
    let to_listener = S::Tproxy {
        key: key(),
        map: "listeners",
    };
    let jump = |name: &str| S::Jump(name.into());
    let divert = || [S::HasConnectionMark(MARK), S::SetMark(MARK), S::Accept];
    let later = || [&[S::IsProtocol(TCP), S::Established], &divert()[..]].concat();
    let ops = vec![
        Op::AddTable { comment: "" },
        base("arriving", ChainKind::Filter, Hook::Prerouting, -110),
        base("leaving", ChainKind::Route, Hook::Output, -100),
        chain("services"),
        chain("portal"),
        Op::AddSet(Set {
            data: Some(DataType::Verdict),
            ..set("services", fields)
        }),
        Op::AddSet(Set {
            data: Some(DataType::Fields(&[Type::Port])),
            ..set("listeners", fields)
        }),
        element("services", service, Some(goto("portal"))),
        element("listeners", service, Some(port(plan.listener.port()))),
        add("arriving", [&[S::IsReply], &divert()[..]].concat()),
        add("arriving", later()),
        rule("arriving", [S::IsOriginal, jump("services")]),
        rule(
            "arriving",
            [S::HasMark(MARK), S::HasPorts, to_listener, S::Accept],
        ),
        rule("leaving", [S::IsReply, S::Return]),
        add("leaving", later()),
        rule("leaving", [jump("services")]),
        rule("services", [follow]),
        rule("portal", [S::SetConnectionMark(MARK), S::SetMark(MARK)]),
    ];
    let table = table(plan.family);
    Batch { table, ops }
}

fn add(chain: &str, statements: Vec<Statement>) -> Op {
    Op::AddRule {
        chain: chain.into(),
        rule: Rule::new(statements),
    }
}

fn port(port: u16) -> Data {
    Data::Value(Value::new().port(port))
}

fn policy(plan: &Plan) -> (LocalRoute, PolicyRule) {
    let family = plan.family;
    let route = LocalRoute {
        family,
        table: TABLE,
    };
    let rule = PolicyRule {
        family,
        priority: 100,
        from_here: false,
        mark: MARK,
        mask: MARK,
        action: RuleAction::Lookup(TABLE),
    };
    (route, rule)
}

/// A node whose listener gets what is sent to the service.
struct Node {
    netns: Netns,
    client: Netns,
    listener: OwnedFd,
    routing: PolicyRouting,
}

fn start(plan: &Plan) -> Node {
    let (netns, client) = network(plan);
    let (listener, routing) = netns
        .run(|| {
            let mut nft = NftSocket::open().unwrap();
            nft.commit(&[rules(plan)]).unwrap();
            let mut routing = PolicyRouting::open().unwrap();
            let (route, rule) = policy(plan);
            let ops = [RoutingOp::AddRoute(route), RoutingOp::AddRule(rule)];
            assert_eq!(routing.apply(&ops), Ok(vec![]));
            let listener = tcp::listen(plan.listener, &KEEPALIVE).unwrap();
            (listener, routing)
        })
        .unwrap();
    Node {
        netns,
        client,
        listener,
        routing,
    }
}

/// The next connection that the listener gets, and who makes it.
fn accept(listener: &OwnedFd, patience: Duration) -> Option<(TcpStream, SocketAddr)> {
    let start = Instant::now();
    while start.elapsed() < patience {
        if let Ok((stream, client)) = tcp::accept(listener) {
            stream.set_nonblocking(false).unwrap();
            return Some((stream, client));
        }
        thread::sleep(Duration::from_millis(2));
    }
    None
}

fn connect(netns: &Netns, to: SocketAddr, patience: Duration) -> std::io::Result<TcpStream> {
    netns
        .run(|| TcpStream::connect_timeout(&to, patience))
        .unwrap()
}

/// Says something one way, and something long the other.
fn talk(mut one: &TcpStream, mut other: &TcpStream) {
    for stream in [one, other] {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
    }
    one.write_all(b"hello").unwrap();
    let mut heard = [0; 5];
    other.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"hello");
    let long = vec![7; 100_000];
    let mut heard = vec![0; long.len()];
    thread::scope(|scope| {
        scope.spawn(|| other.write_all(&long).unwrap());
        one.read_exact(&mut heard).unwrap();
    });
    assert_eq!(heard, long);
}

#[test]
fn connections_to_nobodys_address_are_accepted_here_with_that_address() {
    if !privilege::is_root() {
        return;
    }
    for plan in plans() {
        let node = start(&plan);
        for (from, source) in [(&node.client, plan.client), (&node.netns, plan.node)] {
            let ours = connect(from, plan.service, PATIENCE).unwrap();
            let (accepted, client) = accept(&node.listener, PATIENCE).unwrap();
            assert_eq!(accepted.local_addr().unwrap(), plan.service);
            assert_eq!(client, ours.local_addr().unwrap());
            assert_eq!(client.ip(), source);
            talk(&ours, &accepted);
            talk(&accepted, &ours);
        }
    }
}

#[test]
fn a_connection_goes_on_when_its_listener_and_its_service_are_gone() {
    if !privilege::is_root() {
        return;
    }
    for plan in plans() {
        let node = start(&plan);
        let both = [&node.client, &node.netns].map(|from| {
            let ours = connect(from, plan.service, PATIENCE).unwrap();
            let (accepted, _) = accept(&node.listener, PATIENCE).unwrap();
            (ours, accepted)
        });
        let removal = Batch {
            table: table(plan.family),
            ops: vec![Op::FlushSet("services"), Op::FlushSet("listeners")],
        };
        let mut nft = node.netns.run(|| NftSocket::open().unwrap()).unwrap();
        nft.commit(&[removal]).unwrap();
        drop(node.listener);
        for (ours, accepted) in both {
            talk(&ours, &accepted);
        }
        let again = connect(&node.client, plan.service, Duration::from_millis(300));
        assert!(again.is_err(), "{again:?}");
    }
}

#[test]
fn without_the_rule_that_keeps_them_here_packets_do_not_come_to_the_listener() {
    if !privilege::is_root() {
        return;
    }
    for plan in plans() {
        let mut node = start(&plan);
        let (_, rule) = policy(&plan);
        let removed = node.routing.apply(&[RoutingOp::DeleteRule(rule)]);
        assert_eq!(removed, Ok(vec![]));
        let ours = connect(&node.client, plan.service, Duration::from_millis(300));
        assert!(ours.is_err(), "{ours:?}");
        assert!(accept(&node.listener, Duration::ZERO).is_none());
    }
}
