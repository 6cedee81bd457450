//! Ports that somebody else has.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use fairlead_core::address::{Family, Protocol};
use fairlead_core::api::Change;
use fairlead_kernel::fault::seeded;
use fairlead_relay::handle::{ListenerAddress, Relay};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::build::{service, slice};
use crate::histories::step;
use crate::node::{self, Fakes, Node, with_ports};
use crate::ports::{gone, led, web};

fn tcp(port: u16) -> ListenerAddress {
    ListenerAddress {
        family: Family::V4,
        protocol: Protocol::Tcp,
        port,
    }
}

fn occupied(ports: RangeInclusive<u16>) -> Fakes {
    let mut fakes = Fakes::default();
    ports.for_each(|port| fakes.relay.occupy(tcp(port)));
    fakes
}

#[test]
fn a_port_that_somebody_else_has_is_passed_over() {
    let mut node = Node::with(occupied(11_000..=11_001), with_ports(11_000..=11_010));
    let report = node.change([web(1), web(2), web(3)].concat());
    assert_eq!((report.excluded.len(), report.unheeded.len()), (0, 0));
    let all = [
        node.ports("web-1"),
        node.ports("web-2"),
        node.ports("web-3"),
    ]
    .concat();
    let all: BTreeSet<u16> = all.into_iter().collect();
    assert_eq!(all.len(), 3);
    assert!(all.iter().all(|port| *port > 11_001), "{all:?}");
    assert_eq!(led(&mut node), all);
}

/// One that is found taken has all be looked at.
#[test]
fn many_ports_of_others_in_a_row_cost_a_single_sync() {
    let mut node = Node::with(occupied(11_000..=11_199), with_ports(11_000..=11_250));
    assert_eq!(node.change(web(1)).excluded, []);
    assert_eq!(node.ports("web-1"), [11_200]);
    let report = node.change((2..=51).flat_map(web));
    assert_eq!((report.excluded.len(), report.unheeded.len()), (0, 0));
    assert_eq!(led(&mut node), (11_200..=11_250).collect());
}

/// As of a server that has every other one.
#[test]
fn many_services_find_their_ports_between_those_of_others_in_a_single_sync() {
    let mut fakes = Fakes::default();
    let taken = (11_000..=11_600).step_by(2);
    taken.for_each(|port| fakes.relay.occupy(tcp(port)));
    let mut node = Node::with(fakes, with_ports(11_000..=11_600));
    let report = node.change((1..=250).flat_map(web));
    assert_eq!((report.excluded.len(), report.unheeded.len()), (0, 0));
    let led = led(&mut node);
    assert_eq!(led.len(), 250);
    assert!(led.iter().all(|port| port % 2 == 1));
}

/// What is found of one kind is not looked for with the others, which are none the worse for it.
#[test]
fn each_family_and_protocol_is_asked_for_itself() {
    let mut fakes = Fakes::default();
    for port in 11_000..=11_099 {
        fakes.relay.occupy(ListenerAddress {
            family: Family::V6,
            protocol: Protocol::Udp,
            port,
        });
    }
    let mut node = Node::with(fakes, with_ports(11_000..=11_100));
    let web = service("web", "10.96.0.1")
        .families(&Family::BOTH, &["10.96.0.1", "fd00::1"])
        .port("tcp", Protocol::Tcp, 80)
        .port("udp", Protocol::Udp, 80);
    let endpoints = |of: &str, ip: &str| -> Change {
        let slice = slice(of, "web").port("tcp", Protocol::Tcp, 8080);
        let slice = slice.port("udp", Protocol::Udp, 8080);
        slice.endpoints(&[ip]).into()
    };
    let slices = [
        endpoints("web-4", "10.1.0.1"),
        endpoints("web-6", "fd01::1"),
    ];
    node.apply([web.into()]);
    assert_eq!(node.change(slices).unheeded, []);
    assert_eq!(node.ports("web"), [11_000, 11_000, 11_000, 11_100]);
}

#[test]
fn what_somebody_else_had_may_be_free_again_after_a_while() {
    let mut node = Node::with(occupied(11_000..=11_000), with_ports(11_000..=11_000));
    let report = node.change(web(1));
    assert_eq!(report.unheeded.len(), 1);
    node.relay().vacate(tcp(11_000));
    node.engine.routine();
    assert_eq!(node.sync().unwrap().unheeded.len(), 0);
    assert_eq!(node.ports("web-1"), [11_000]);
}

/// When the node wants to sync next, in seconds from now.
fn due(node: &Node) -> Option<f32> {
    let at = node.engine.wants_sync_at()?;
    Some(at.saturating_duration_since(node.now).as_secs_f32())
}

#[test]
fn who_waits_for_a_port_has_one_soon_after_somebody_else_gave_it_up() {
    let mut node = Node::with(occupied(11_000..=11_001), with_ports(11_000..=11_001));
    assert_eq!(node.change([web(1), web(2)].concat()).unheeded.len(), 2);
    assert_eq!(due(&node), Some(10.0));
    node.relay().vacate(tcp(11_001));
    node.wait(10);
    node.sync().unwrap();
    assert_eq!(due(&node), Some(0.0));
    let report = node.sync().unwrap();
    assert_eq!((report.unheeded.len(), report.full), (1, false));
    assert_eq!(led(&mut node), BTreeSet::from([11_001]));
    assert_eq!(due(&node), Some(10.0));
    node.relay().vacate(tcp(11_000));
    node.wait(10);
    node.settle();
    assert_eq!(led(&mut node), BTreeSet::from([11_000, 11_001]));
    assert_eq!(due(&node), None);
}

/// Nothing is planned, nothing fails, and nothing is compared with the kernel.
#[test]
fn to_look_in_vain_whether_a_port_is_free_costs_nothing() {
    let mut node = Node::with(occupied(11_000..=11_000), with_ports(11_000..=11_000));
    node.change(web(1));
    for _ in 0..100 {
        assert_eq!(due(&node), Some(10.0));
        node.wait(10);
        let report = node.sync().unwrap();
        assert_eq!((report.operations, report.full), (0, false));
        assert_eq!(report.unheeded.len(), 1);
    }
}

/// However much else there is to do.
#[test]
fn changes_of_others_do_not_put_off_who_waits_for_a_port() {
    let mut node = Node::with(occupied(11_000..=11_000), with_ports(11_000..=11_001));
    assert_eq!(node.change([web(1), web(2)].concat()).unheeded.len(), 1);
    let left_out = match node.ports("web-1").is_empty() {
        true => "web-1",
        false => "web-2",
    };
    node.relay().vacate(tcp(11_000));
    let other = |n: u8| {
        slice("other", "other")
            .tcp(n.into())
            .endpoints(&["10.1.0.9"])
    };
    for n in 1..=12 {
        node.wait(1);
        node.change([other(n).into()]);
    }
    assert_eq!(node.ports(left_out), [11_000]);
}

#[test]
fn without_ports_of_others_there_is_nothing_to_look_for() {
    let mut node = Node::with(Fakes::default(), with_ports(11_000..=11_000));
    assert_eq!(node.change([web(1), web(2)].concat()).unheeded.len(), 1);
    assert_eq!(due(&node), None);
    // Nor where nobody waits.
    let mut node = Node::with(occupied(11_000..=11_000), with_ports(11_000..=11_001));
    assert_eq!(node.change(web(1)).unheeded.len(), 0);
    assert_eq!(due(&node), None);
    node.change(web(2));
    assert_eq!(due(&node), Some(10.0));
    node.change([gone(2)]);
    assert_eq!(due(&node), None);
}

/// What happens to the ports of a node.
#[derive(Debug, Clone)]
enum Event {
    Change(Box<Change>),
    Taken(ListenerAddress),
    Vacated(ListenerAddress),
    Range(RangeInclusive<u16>),
    Synced(u64),
}

/// Ports enough for all that there can be, in each of them.
const RANGES: [RangeInclusive<u16>; 3] = [11_000..=11_149, 11_100..=11_249, 12_000..=12_149];

fn event() -> impl Strategy<Value = Event> {
    let ports = select(vec![11_000..11_015_u16, 11_100..11_115, 12_000..12_015]);
    let port = ports.prop_flat_map(|ports| ports);
    let kinds = (
        select(&Family::BOTH[..]),
        select(vec![Protocol::Tcp, Protocol::Udp]),
    );
    let at = (kinds, port).prop_map(|((family, protocol), port)| ListenerAddress {
        family,
        protocol,
        port,
    });
    let at = at.boxed();
    prop_oneof![
        6 => service_change().prop_map(|change| Event::Change(Box::new(change))),
        4 => at.clone().prop_map(Event::Taken),
        2 => at.prop_map(Event::Vacated),
        4 => select(RANGES.to_vec()).prop_map(Event::Range),
        8 => (0..20_u64).prop_map(Event::Synced),
    ]
}

/// One of some Services: with a policy, its endpoints, or gone.
fn service_change() -> impl Strategy<Value = Change> {
    let policy = |(n, is_local): (u8, bool)| -> Change {
        let web = service(&format!("web-{n}"), &format!("10.96.0.{n}")).tcp(80);
        let web = web.node_port(30_000 + i32::from(n));
        match is_local {
            true => web.external_local().into(),
            false => web.into(),
        }
    };
    let endpoints = |(n, is_here): (u8, bool)| -> Change {
        let ips: &[&str] = match is_here {
            true => &["10.1.0.1 here", "10.1.1.1"],
            false => &["10.1.1.1"],
        };
        let name = format!("web-{n}");
        slice(&name, &name).tcp(8080).endpoints(ips).into()
    };
    prop_oneof![
        3 => (1..9_u8, any::<bool>()).prop_map(policy),
        3 => (1..9_u8, any::<bool>()).prop_map(endpoints),
        1 => (1..9_u8).prop_map(gone),
        1 => step(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whoever_takes_ports_and_whatever_their_range_all_is_as_a_fresh_start_would_make_it(
        history in vec(event(), 1..100),
        seed: u64,
    ) {
        let mut seeds = seed..;
        let mut node = Node::failing(Fakes::default(), || {
            Box::new(seeded(seeds.next().unwrap_or(seed), 20))
        });
        let mut fresh = Node::with(Fakes::default(), node::settings());
        let mut range = 11_000..=29_999;
        for event in history {
            match event {
                Event::Change(change) => {
                    node.apply([*change.clone()]);
                    fresh.apply([*change]);
                }
                Event::Taken(at) if !node.relay().observe().listeners.contains_key(&at) => {
                    node.relay().occupy(at);
                }
                Event::Taken(_) => {}
                Event::Vacated(at) => node.relay().vacate(at),
                Event::Range(ports) => {
                    range = ports.clone();
                    node.model.set_settings(with_ports(ports.clone()));
                    fresh.model.set_settings(with_ports(ports));
                }
                Event::Synced(seconds) => {
                    node.wait(seconds);
                    let _ = node.sync();
                }
            }
        }
        node.settle();
        fresh.settle();
        prop_assert_eq!(node.meaning(), fresh.meaning());
        prop_assert_eq!(node.sync().unwrap().unheeded, fresh.sync().unwrap().unheeded);
        let listeners = node.relay().observe().listeners;
        prop_assert!(listeners.keys().all(|at| range.contains(&at.port)), "{:?}", listeners);
    }
}
