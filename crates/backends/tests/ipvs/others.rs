//! What was there before, and what others have.

use fairlead_core::address::{Family, Protocol};
use fairlead_core::api::{Change, Kind};
use fairlead_core::conntrack::{Flow, NodePortReach};
use fairlead_core::route::Target;
use fairlead_core::settings::{IpvsSettings, Settings};
use fairlead_kernel::ipvs::fake::FakeIpvs;
use fairlead_kernel::ipvs::handle::{Ipvs, Op};
use fairlead_kernel::ipvs::server::{Flags, RealServer, SchedulerName, VirtualServer};
use fairlead_kernel::ipvs::watched::WatchedIpvs;

use crate::any::never;
use crate::build::{service, slice};
use crate::node::{Fakes, HOST, Node, set, settings, tcp};

fn server(at: &str, scheduler: &str) -> Op {
    Op::AddServer(VirtualServer {
        address: tcp(at),
        scheduler: SchedulerName::new(scheduler).unwrap(),
        flags: Flags::default(),
        persistence: None,
    })
}

fn real(of: &str, at: &str, weight: u32) -> Op {
    let address = at.parse().unwrap();
    Op::AddReal(tcp(of), RealServer { address, weight })
}

/// A handle that has read that there is nothing.
fn read() -> WatchedIpvs<FakeIpvs> {
    let mut ipvs = WatchedIpvs::new(FakeIpvs::new());
    assert_eq!(ipvs.servers().unwrap(), []);
    ipvs
}

fn with(ops: &[Op]) -> Fakes {
    let mut fakes = Fakes::default();
    assert_eq!(fakes.ipvs.apply(ops).unwrap().refused, []);
    fakes
}

#[test]
fn kube_proxys_virtual_servers_are_taken_over() {
    let there = [
        server("10.96.0.1:80", "rr"),
        real("10.96.0.1:80", "10.1.0.1:8080", 1),
        real("10.96.0.1:80", "10.1.0.9:8080", 1),
        server("10.96.0.9:80", "rr"),
    ];
    let mut node = Node::settled(with(&there), []);
    // Nothing is served: all of it is gone. Now with a Service from the beginning.
    assert_eq!(node.ipvs().saved(), "");
    let mut node = Node::new(with(&there), never);
    let endpoints = slice("web-a", "web")
        .tcp(8080)
        .endpoints(&["10.1.0.1", "10.1.0.2"]);
    let report = node.change([service("web", "10.96.0.1").tcp(80).into(), endpoints.into()]);
    let expected = "\
-A -t 10.96.0.1:80 -s rr
-a -t 10.96.0.1:80 -r 10.1.0.1:8080 -m -w 1
-a -t 10.96.0.1:80 -r 10.1.0.2:8080 -m -w 1
-a -t 10.96.0.1:80 -r 10.1.0.9:8080 -m -w 0
";
    assert_eq!(node.ipvs().saved(), expected);
    assert!(report.full);
}

fn exclude(node: &mut Node, networks: &[&str]) {
    let networks = networks.iter().map(|net| net.parse().unwrap());
    node.model.set_settings(Settings {
        ipvs: IpvsSettings {
            exclude_cidrs: networks.collect(),
            ..IpvsSettings::default()
        },
        ..settings()
    });
}

#[test]
fn virtual_servers_in_excluded_networks_stay_with_their_real_servers() {
    let there = [
        server("203.0.113.1:80", "wlc"),
        real("203.0.113.1:80", "10.1.0.1:8080", 0),
        real("203.0.113.1:80", "10.1.0.2:8080", 7),
        server("[2001:db8:1::1]:80", "rr"),
        server("198.51.100.1:80", "wlc"),
        real("198.51.100.1:80", "10.1.0.3:8080", 7),
        server("[2001:db8:2::1]:80", "rr"),
    ];
    let mut node = Node::new(with(&there), never);
    let busy = "10.1.0.3:8080".parse().unwrap();
    let ipvs = node.ipvs();
    assert!(ipvs.set_connections(tcp("198.51.100.1:80"), busy, 1, 0));
    exclude(&mut node, &["2001:db8:1::/48", "203.0.113.0/24"]);
    node.settle();
    let first = "\
-A -t 203.0.113.1:80 -s wlc
-a -t 203.0.113.1:80 -r 10.1.0.1:8080 -m -w 0
-a -t 203.0.113.1:80 -r 10.1.0.2:8080 -m -w 7
";
    let second = "-A -t [2001:db8:1::1]:80 -s rr\n";
    assert_eq!(node.ipvs().saved(), [first, second].concat());
    // A network that is not others' any more, at the next look.
    exclude(&mut node, &["203.0.113.0/24"]);
    node.engine.distrust();
    node.settle();
    assert_eq!(node.ipvs().saved(), first);
}

#[test]
fn a_real_server_that_was_found_without_weight_serves_again_if_it_is_wanted() {
    let there = [
        server("10.96.0.1:80", "rr"),
        real("10.96.0.1:80", "10.1.0.1:8080", 0),
        real("10.96.0.1:80", "10.1.0.2:8080", 0),
    ];
    let mut node = Node::new(with(&there), never);
    let endpoints = slice("web-a", "web").tcp(8080).endpoints(&["10.1.0.1"]);
    node.change([service("web", "10.96.0.1").tcp(80).into(), endpoints.into()]);
    let expected = "\
-A -t 10.96.0.1:80 -s rr
-a -t 10.96.0.1:80 -r 10.1.0.1:8080 -m -w 1
-a -t 10.96.0.1:80 -r 10.1.0.2:8080 -m -w 0
";
    assert_eq!(node.ipvs().saved(), expected);
    node.settle();
    assert_eq!(node.reals("10.96.0.1:80"), ["10.1.0.1"]);
}

#[test]
fn without_ipv6_its_virtual_servers_and_addresses_are_others() {
    let mut fakes = with(&[server("[fd00::1]:80", "rr"), server("10.96.0.1:80", "rr")]);
    fakes.device.addresses = Some(set(&["10.96.0.1", "fd00::1"]));
    let mut node = Node::of_families(fakes, &Family::BOTH[..1]);
    node.settle();
    assert_eq!(
        (node.servers(), node.held()),
        (vec!["[fd00::1]:80".to_owned()], vec!["fd00::1".to_owned()])
    );
}

#[test]
fn nothing_is_left_when_it_is_removed() {
    let mut node = Node::settled(with(&[server("[fd00::1]:80", "rr")]), []);
    node.change([service("web", "10.96.0.1").tcp(80).into()]);
    assert!(node.engine.remove().unwrap());
    assert_eq!((node.ipvs().saved(), node.held()), (String::new(), vec![]));
    assert!(!node.engine.remove().unwrap());
}

#[test]
fn connections_to_node_ports_outlive_a_look_at_the_kernel() {
    let (protocol, port) = (Protocol::Udp, 30053);
    let dns = service("dns", "10.96.0.53")
        .port("", protocol, 53)
        .node_port(port.into());
    let endpoints = slice("dns-a", "dns")
        .port("", protocol, 53)
        .endpoints(&["10.1.0.1"]);
    let mut node = Node::settled(Fakes::default(), [dns.clone().into(), endpoints.into()]);
    let target = |ip: &str, port| Target {
        address: ip.parse().unwrap(),
        port,
    };
    let mut is_stale = |asked, answers, changes: Option<Change>| {
        node.apply(changes);
        node.engine.distrust();
        let synced = node
            .engine
            .sync(&mut node.model, &node.host, node.now)
            .unwrap();
        let reach = NodePortReach::new(
            &settings().node_port_addresses,
            node.model.node(),
            &node.host,
        );
        synced.suspects.is_stale(
            &Flow {
                protocol,
                asked,
                answers,
            },
            &reach,
        )
    };
    let (living, gone) = (target("10.1.0.1", 53), target("10.1.0.9", 53));
    for asked in [target("10.96.0.53", 53), target(HOST[0], port)] {
        assert!(!is_stale(asked, living, None), "{asked}");
        assert!(is_stale(asked, gone, None), "{asked}");
    }
    // What was served before is known from what is found.
    let deleted = Change::Deleted(Kind::Service, dns.0.name);
    assert!(is_stale(target(HOST[0], port), living, Some(deleted)));
}

#[test]
fn what_was_there_before_it_was_read_is_nobodys_doing() {
    let mut ipvs = WatchedIpvs::new(with(&[server("10.96.0.1:80", "rr")]).ipvs);
    assert!(!ipvs.touched().unwrap());
}

#[test]
fn what_others_do_to_virtual_servers_is_seen() {
    let mut ipvs = read();
    let ops = [
        server("10.96.0.1:80", "rr"),
        real("10.96.0.1:80", "10.1.0.1:8080", 1),
    ];
    ipvs.apply(&ops).unwrap();
    assert!(!ipvs.touched().unwrap());
    // Our own changes are none of others'.
    let gone = "10.1.0.1:8080".parse().unwrap();
    ipvs.apply(&[Op::RemoveReal(tcp("10.96.0.1:80"), gone)])
        .unwrap();
    assert!(!ipvs.touched().unwrap());
    // Nor are others' ours, because it was looked for something else.
    let op = real("10.96.0.1:80", "10.1.0.2:8080", 1);
    ipvs.ipvs_mut().apply(&[op]).unwrap();
    ipvs.reals(tcp("10.96.0.1:80")).unwrap();
    assert!(ipvs.touched().unwrap());
    for op in [
        real("10.96.0.1:80", "10.1.0.2:8080", 1),
        server("10.96.0.2:80", "rr"),
        Op::RemoveServer(tcp("10.96.0.1:80")),
    ] {
        let mut ipvs = read();
        ipvs.apply(&ops).unwrap();
        ipvs.ipvs_mut().apply(&[op]).unwrap();
        assert!(ipvs.touched().unwrap(), "{op}");
        // Once it is read it is known.
        for server in ipvs.servers().unwrap() {
            ipvs.reals(server.address).unwrap();
        }
        assert!(!ipvs.touched().unwrap(), "{op}");
    }
}

#[test]
fn what_others_do_in_networks_of_their_own_is_not_noticed() {
    let mut ipvs = read();
    ipvs.leave(&["203.0.113.0/24".parse().unwrap()]);
    let (ours, theirs) = ("10.96.0.1:80", "203.0.113.1:80");
    ipvs.apply(&[server(ours, "rr")]).unwrap();
    for (op, is_noticed) in [
        (server(theirs, "wlc"), false),
        (real(theirs, "10.1.0.1:8080", 7), false),
        (Op::RemoveServer(tcp(theirs)), false),
        (real(ours, "10.1.0.1:8080", 1), true),
    ] {
        ipvs.ipvs_mut().apply(&[op]).unwrap();
        assert_eq!(ipvs.touched().unwrap(), is_noticed, "{op}");
        for server in ipvs.servers().unwrap() {
            ipvs.reals(server.address).unwrap();
        }
    }
    // They are others' no more.
    ipvs.leave(&[]);
    ipvs.ipvs_mut().apply(&[server(theirs, "wlc")]).unwrap();
    assert!(ipvs.touched().unwrap());
}
