//! An endpoint that goes away takes no new connection, and leaves when its last one has ended.

use std::net::SocketAddr;

use fairlead_core::address::Protocol;
use fairlead_core::api::{Change, Kind};
use fairlead_core::report::IpvsCount;
use fairlead_kernel::ipvs::handle::{Ipvs, Op};

use crate::any::never;
use crate::build::{service, slice};
use crate::node::{Fakes, Node, tcp};

const WEB: &str = "10.96.0.1:80";

fn endpoints(ips: &[&str]) -> Change {
    slice("web-a", "web").tcp(8080).endpoints(ips).into()
}

fn web(ips: &[&str]) -> Node {
    let service = service("web", "10.96.0.1").tcp(80);
    Node::settled(Fakes::default(), [service.into(), endpoints(ips)])
}

/// The real servers with their weights.
fn weights(node: &mut Node) -> Vec<String> {
    let saved = node.ipvs().saved();
    let reals = saved.lines().filter_map(|line| line.split_once(" -r "));
    reals
        .map(|(_, real)| real.replace(":8080 -m -w", ""))
        .collect()
}

fn connect(node: &mut Node, real: &str, active: u32, inactive: u32) {
    let real: SocketAddr = format!("{real}:8080").parse().unwrap();
    assert!(
        node.ipvs()
            .set_connections(tcp(WEB), real, active, inactive)
    );
}

fn leaving(node: &mut Node) -> Option<usize> {
    let report = node.sync().unwrap();
    let counts: Vec<IpvsCount> = report.ipvs;
    counts.first().map(|count| count.leaving)
}

#[test]
fn without_connections_it_is_gone_in_a_second() {
    let mut node = web(&["10.1.0.1", "10.1.0.2"]);
    let report = node.change([endpoints(&["10.1.0.2"])]);
    assert_eq!(report.messages, 1, "{report:?}");
    assert_eq!(weights(&mut node), ["10.1.0.1 0", "10.1.0.2 1"]);
    assert_eq!(
        node.engine.wants_sync_at(),
        Some(node.now + std::time::Duration::from_secs(1))
    );
    node.wait(1);
    node.sync().unwrap();
    assert_eq!(weights(&mut node), ["10.1.0.2 1"]);
    assert_eq!(node.engine.wants_sync_at(), None);
}

#[test]
fn with_connections_it_is_looked_at_every_minute() {
    for (active, inactive) in [(1, 0), (0, 1)] {
        let mut node = web(&["10.1.0.1", "10.1.0.2"]);
        connect(&mut node, "10.1.0.1", active, inactive);
        node.change([endpoints(&["10.1.0.2"])]);
        node.wait(1);
        assert_eq!(leaving(&mut node), Some(1));
        node.wait(59);
        connect(&mut node, "10.1.0.1", 0, 0);
        assert_eq!(leaving(&mut node), Some(1), "not before a minute is over");
        node.wait(1);
        assert_eq!(leaving(&mut node), Some(0));
        assert_eq!(weights(&mut node), ["10.1.0.2 1"]);
    }
}

#[test]
fn other_changes_keep_nobody_from_being_looked_at() {
    let mut node = web(&["10.1.0.1", "10.1.0.2"]);
    node.change([endpoints(&["10.1.0.2"])]);
    for n in 0..4 {
        let other = service(&format!("other-{n}"), &format!("10.96.1.{n}")).tcp(80);
        node.change([other.into()]);
        node.now += std::time::Duration::from_millis(300);
    }
    node.sync().unwrap();
    assert_eq!(weights(&mut node), ["10.1.0.2 1"]);
}

#[test]
fn an_endpoint_that_comes_back_has_its_weight_again() {
    let mut node = web(&["10.1.0.1", "10.1.0.2"]);
    connect(&mut node, "10.1.0.1", 1, 0);
    node.change([endpoints(&["10.1.0.2"])]);
    let report = node.change([endpoints(&["10.1.0.1", "10.1.0.2"])]);
    assert_eq!(report.messages, 1, "{report:?}");
    assert_eq!(weights(&mut node), ["10.1.0.1 1", "10.1.0.2 1"]);
    // It is not removed by what was planned for it.
    connect(&mut node, "10.1.0.1", 0, 0);
    node.settle();
    assert_eq!(weights(&mut node), ["10.1.0.1 1", "10.1.0.2 1"]);
}

#[test]
fn only_tcp_keeps_it() {
    for protocol in [Protocol::Udp, Protocol::Sctp] {
        let dns = service("web", "10.96.0.1").port("", protocol, 80);
        let of = |ips: &[&str]| {
            let slice = slice("web-a", "web").port("", protocol, 8080);
            slice.endpoints(ips)
        };
        let both = of(&["10.1.0.1", "10.1.0.2"]);
        let mut node = Node::settled(Fakes::default(), [dns.into(), both.into()]);
        let server = node.ipvs().servers().unwrap()[0].address;
        let real = "10.1.0.1:8080".parse().unwrap();
        assert!(node.ipvs().set_connections(server, real, 1, 1));
        node.change([of(&["10.1.0.2"]).into()]);
        assert_eq!(weights(&mut node), ["10.1.0.2 1"], "{protocol:?}");
    }
}

#[test]
fn what_others_removed_meanwhile_is_gone() {
    let mut node = web(&["10.1.0.1", "10.1.0.2"]);
    let real = "10.1.0.1:8080".parse().unwrap();
    node.change([endpoints(&["10.1.0.2"])]);
    let gone = Op::RemoveReal(tcp(WEB), real);
    assert_eq!(node.ipvs().apply(&[gone]).unwrap().refused, []);
    node.wait(1);
    let report = node.sync().unwrap();
    assert_eq!((report.ipvs[0].leaving, report.full), (0, false));
}

#[test]
fn who_leaves_while_others_are_looked_at_is_looked_at_soon_too() {
    let mut node = web(&["10.1.0.1", "10.1.0.2", "10.1.0.3"]);
    connect(&mut node, "10.1.0.1", 1, 0);
    node.change([endpoints(&["10.1.0.2", "10.1.0.3"])]);
    node.wait(1);
    node.change([endpoints(&["10.1.0.3"])]);
    node.wait(1);
    node.sync().unwrap();
    assert_eq!(weights(&mut node), ["10.1.0.1 0", "10.1.0.3 1"]);
}

#[test]
fn a_restart_goes_on_waiting() {
    let mut before = web(&["10.1.0.1", "10.1.0.2"]);
    connect(&mut before, "10.1.0.1", 1, 0);
    before.change([endpoints(&["10.1.0.2"])]);
    let mut node = Node::new(before.fakes(), never);
    let changes = [
        service("web", "10.96.0.1").tcp(80).into(),
        endpoints(&["10.1.0.2"]),
    ];
    let report = node.change(changes);
    assert_eq!(report.ipvs[0].leaving, 1);
    assert_eq!(weights(&mut node), ["10.1.0.1 0", "10.1.0.2 1"]);
    connect(&mut node, "10.1.0.1", 0, 0);
    node.settle();
    assert_eq!(weights(&mut node), ["10.1.0.2 1"]);
}

#[test]
fn a_service_that_goes_takes_those_who_leave_with_it() {
    let mut node = web(&["10.1.0.1", "10.1.0.2"]);
    connect(&mut node, "10.1.0.1", 1, 0);
    node.change([endpoints(&["10.1.0.2"])]);
    let name = service("web", "10.96.0.1").0.name;
    let report = node.change([Change::Deleted(Kind::Service, name)]);
    assert_eq!(
        (report.ipvs[0].leaving, report.ipvs[0].virtual_servers),
        (0, 0)
    );
    node.settle();
    assert_eq!(node.ipvs().saved(), "");
}
