//! Which ports listeners have.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::rc::Rc;

use fairlead_backends::nftables::table;
use fairlead_core::address::{Family, Protocol};
use fairlead_core::api::{Change, Kind};
use fairlead_core::report::{Report, Unmet};
use fairlead_kernel::fault::{Call, Fault};
use fairlead_relay::handle::{Relay, Relayed};

use crate::build::{deleted, name, service, slice};
use crate::meaning::{PORTALS, led_to};
use crate::node::{Fakes, Node, with_ports};

pub(crate) fn web(n: u8) -> [Change; 2] {
    let name = format!("web-{n}");
    let slice = slice(&name, &name).tcp(8080);
    [
        service(&name, &format!("10.96.0.{n}")).tcp(80).into(),
        slice.endpoints(&[&format!("10.1.0.{n}")]).into(),
    ]
}

pub(crate) fn gone(n: u8) -> Change {
    deleted(Kind::Service, &format!("web-{n}"))
}

/// The ports that rules bring connections of IPv4 to.
pub(crate) fn led(node: &mut Node) -> BTreeSet<u16> {
    let elements = PORTALS.map(|map| {
        let elements = node.nft().elements(table(Family::V4), map).into_iter();
        let ports = elements.map(|element| led_to(Family::V4, element).port);
        ports.collect::<Vec<_>>()
    });
    elements.into_iter().flatten().collect()
}

#[test]
fn without_a_port_a_service_port_is_refused_and_told() {
    let mut node = Node::with(Fakes::default(), with_ports(11_000..=11_001));
    node.change([web(1), web(2)].concat());
    let report = node.change(web(3));
    assert_eq!(report.excluded.len(), 0);
    let [(service, Unmet::Port(why))] = &report.unheeded[..] else {
        panic!("{report:?}");
    };
    assert_eq!(*service, name("web-3"));
    assert!(why.contains("11000-11001"), "{why}");
    assert_eq!(
        (node.ports("web-3"), node.upstream("web-3")),
        (vec![], None)
    );
    let refused = node
        .nft()
        .elements(table(Family::V4), "no-endpoint-services");
    assert_eq!(refused.len(), 1);
    assert_eq!(led(&mut node), BTreeSet::from([11_000, 11_001]));
    // It is told as long as it is so.
    assert_eq!(node.change([]).unheeded.len(), 1);
    assert_eq!(node.change([gone(3)]).unheeded.len(), 0);
}

/// Each policy needs a listener of its own: half of a service port is none.
#[test]
fn a_service_port_that_needs_one_more_than_there_are_has_none() {
    let mut node = Node::with(Fakes::default(), with_ports(11_000..=11_001));
    let both = |n: u8| {
        let web = service(&format!("web-{n}"), &format!("10.96.0.{n}"));
        web.tcp(80)
            .node_port(30_000 + i32::from(n))
            .external_local()
            .into()
    };
    let slice = |n: u8| {
        let slice = slice(&format!("web-{n}"), &format!("web-{n}")).tcp(8080);
        slice.endpoints(&["10.1.0.1 here", "10.1.1.1"]).into()
    };
    node.change(web(1));
    let report = node.change([both(2), slice(2)]);
    assert_eq!(report.unheeded.len(), 1);
    assert!(node.ports("web-2").is_empty());
    assert_eq!(led(&mut node), BTreeSet::from([11_000]));
    // The one that it did not get is not lost.
    assert_eq!(node.change(web(3)).unheeded.len(), 1);
    assert_eq!(node.ports("web-3"), [11_001]);
    node.change([gone(1), gone(3)]);
    node.settle();
    assert_eq!(node.sync().unwrap().unheeded.len(), 0);
    assert_eq!(node.ports("web-2").len(), 2);
}

#[test]
fn a_port_is_not_given_on_in_the_plan_that_frees_it() {
    let mut node = Node::with(Fakes::default(), with_ports(11_000..=11_000));
    node.change(web(1));
    let [web_2, slice_2] = web(2);
    let report = node.change([gone(1), web_2, slice_2]);
    // Until the plan is carried out packets are brought there.
    assert_eq!(report.unheeded.len(), 1);
    assert_eq!(node.relay().observe().listeners.len(), 0);
    // The next does, at once.
    assert!(node.engine.wants_sync_at().is_some_and(|at| at <= node.now));
    let report = node.sync().unwrap();
    assert_eq!((report.unheeded.len(), report.full), (0, false));
    assert_eq!(node.ports("web-2"), [11_000]);
}

#[test]
fn ports_that_are_free_again_come_round_last() {
    let mut node = Node::with(Fakes::default(), with_ports(11_000..=11_003));
    node.change([web(1), web(2)].concat());
    let before = [node.ports("web-1"), node.ports("web-2")].concat();
    node.change([gone(1), gone(2)]);
    node.change([web(3), web(4)].concat());
    let next = [node.ports("web-3"), node.ports("web-4")].concat();
    assert!(
        next.iter().all(|port| !before.contains(port)),
        "{before:?} {next:?}"
    );
    node.change([web(5), web(6)].concat());
    let mut again = [node.ports("web-5"), node.ports("web-6")].concat();
    again.sort_unstable();
    assert_eq!(again, [11_000, 11_001]);
}

#[test]
fn a_service_keeps_its_port_whatever_its_endpoints_are() {
    let mut node = Node::settled(Fakes::default(), web(1));
    let port = node.ports("web-1");
    for ips in [&["10.1.0.7"][..], &["10.1.0.8 here", "10.1.0.9"]] {
        node.change([slice("web-1", "web-1").tcp(8080).endpoints(ips).into()]);
        node.engine.distrust();
        node.sync().unwrap();
        assert_eq!(node.ports("web-1"), port);
    }
}

/// TCP and UDP, IPv4 and IPv6 have ports of their own.
#[test]
fn each_protocol_and_family_has_all_ports() {
    let mut node = Node::with(Fakes::default(), with_ports(11_000..=11_000));
    let web = service("web", "10.96.0.1")
        .families(&Family::BOTH, &["10.96.0.1", "fd00::1"])
        .port("tcp", Protocol::Tcp, 80)
        .port("udp", Protocol::Udp, 80);
    let endpoints = |of: &str, ip: &str| {
        let slice = slice(of, "web").port("tcp", Protocol::Tcp, 8080);
        slice
            .port("udp", Protocol::Udp, 8080)
            .endpoints(&[ip])
            .into()
    };
    let report = node.change([
        web.into(),
        endpoints("web-4", "10.1.0.1"),
        endpoints("web-6", "fd01::1"),
    ]);
    assert_eq!(report.unheeded, []);
    assert_eq!(node.ports("web"), [11_000; 4]);
}

fn in_range(node: &mut Node, ports: RangeInclusive<u16>) -> Report {
    node.model.set_settings(with_ports(ports));
    node.sync().unwrap()
}

#[test]
fn listeners_move_into_another_range() {
    let mut node = Node::with(Fakes::default(), with_ports(11_000..=11_001));
    node.change([web(1), web(2)].concat());
    let report = in_range(&mut node, 11_001..=12_000);
    assert!(!report.full);
    // Who is in it stays.
    assert_eq!(led(&mut node), BTreeSet::from([11_001, 11_002]));
    assert_eq!(node.relay().observe().listeners.len(), 2);
    in_range(&mut node, 13_000..=13_009);
    assert_eq!(led(&mut node), BTreeSet::from([13_000, 13_001]));
    assert_eq!(node.relay().observe().listeners.len(), 2);
}

#[test]
fn a_listener_that_another_range_has_no_port_for_stays_where_it_is() {
    let mut node = Node::with(Fakes::default(), with_ports(11_000..=11_002));
    node.change([web(1), web(2), web(3)].concat());
    let report = in_range(&mut node, 12_000..=12_001);
    assert_eq!((report.excluded.len(), report.unheeded.len()), (0, 0));
    let led = led(&mut node);
    assert_eq!(led.iter().filter(|port| **port >= 12_000).count(), 2);
    assert_eq!(led.len(), 3);
}

/// Both listen when the kernel refuses the rules that lead to the second.
#[test]
fn a_listener_whose_move_failed_leaves_none_behind() {
    let eio = 5;
    for fails in [
        (Call::Apply, Fault::Before(eio)),
        (Call::Commit, Fault::Before(eio)),
        (Call::Commit, Fault::After(eio)),
    ] {
        let next = Rc::new(Cell::new(None));
        let mut node = Node::failing(Fakes::default(), || {
            let next = Rc::clone(&next);
            Box::new(move |call| {
                let (which, fault) = next.get()?;
                (which == call).then(|| next.take())?;
                Some(fault)
            })
        });
        node.change([web(1), web(2)].concat());
        next.set(Some(fails));
        node.model.set_settings(with_ports(12_000..=12_001));
        node.settle();
        assert_eq!(next.get(), None);
        assert_eq!(led(&mut node), BTreeSet::from([12_000, 12_001]));
        assert_eq!(node.relay().observe().listeners.len(), 2);
        node.change([gone(1), gone(2)]);
        assert_eq!(node.relay().observe(), Relayed::default());
    }
}

/// Where the table of the one before leads, a new process listens only when it does not any more.
#[test]
fn a_new_process_finds_ports_in_a_range_without_one_too_many() {
    let mut before = Node::with(Fakes::default(), with_ports(11_000..=11_001));
    before.change([web(1), web(2)].concat());
    let mut fakes = before.fakes();
    fakes.relay = Fakes::default().relay;
    let mut after = Node::with(fakes, with_ports(11_000..=11_001));
    after.change([web(1), web(2)].concat());
    assert!(
        after
            .engine
            .wants_sync_at()
            .is_some_and(|at| at <= after.now)
    );
    after.settle();
    assert_eq!(after.sync().unwrap().unheeded, []);
    assert_eq!(led(&mut after), BTreeSet::from([11_000, 11_001]));
}
