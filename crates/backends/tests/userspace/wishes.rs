//! What Services and settings ask for.

use std::net::IpAddr;

use fairlead_backends::nftables::table;
use fairlead_core::address::{Family, Protocol};
use fairlead_core::api::{Change, Kind};
use fairlead_core::report::Unmet;
use fairlead_core::route::Target;
use fairlead_core::scheduling::Scheduler;
use fairlead_core::settings::Settings;
use fairlead_kernel::nft::rule::Statement;
use fairlead_kernel::routing::{LocalRoute, PolicyRule, RuleAction};
use fairlead_relay::handle::Relay;

use crate::build::{ServiceText, deleted, name, service, slice};
use crate::node::{Fakes, HOST, Node, settings};

fn web() -> ServiceText {
    service("web", "10.96.0.1").tcp(80)
}

fn endpoints(ips: &[&str]) -> Change {
    slice("web-a", "web").tcp(8080).endpoints(ips).into()
}

#[test]
fn sctp_is_refused_and_told() {
    let both = service("web", "10.96.0.1")
        .port("tcp", Protocol::Tcp, 80)
        .port("sctp", Protocol::Sctp, 80)
        .node_port(30080);
    let of_both =
        slice("web-a", "web")
            .port("tcp", Protocol::Tcp, 8080)
            .port("sctp", Protocol::Sctp, 8080);
    let mut node = Node::settled(Fakes::default(), []);
    let report = node.change([both.into(), of_both.endpoints(&["10.1.0.1"]).into()]);
    let [(service, Unmet::Port(why))] = &report.unheeded[..] else {
        panic!("{report:?}");
    };
    assert_eq!(*service, name("web"));
    assert!(why.contains("SCTP"), "{why}");
    assert_eq!(report.excluded.len(), 0);
    assert_eq!(node.listeners("web").len(), 1);
    for map in ["no-endpoint-services", "no-endpoint-nodeports"] {
        assert_eq!(
            node.nft().elements(table(Family::V4), map).len(),
            1,
            "{map}"
        );
    }
    // It is told as long as it is so, whatever else changes.
    assert_eq!(
        node.change([Change::Synced(Kind::Service)]).unheeded.len(),
        1
    );
    assert_eq!(
        node.change([deleted(Kind::Service, "web")]).unheeded.len(),
        0
    );
}

#[test]
fn a_service_says_who_chooses() {
    for (asked, used, is_heeded) in [
        ("rr", Scheduler::Rr, true),
        ("lc", Scheduler::Lc, true),
        ("p2c", Scheduler::P2c, true),
        ("sh", Scheduler::Rr, false),
        ("wlc", Scheduler::Rr, false),
    ] {
        let mut node = Node::settled(Fakes::default(), []);
        let report = node.change([web().scheduler(asked).into(), endpoints(&["10.1.0.1"])]);
        assert_eq!(node.upstream("web").unwrap().scheduler, used, "{asked}");
        assert_eq!(report.unheeded.is_empty(), is_heeded, "{asked}");
        if let [(service, why)] = &report.unheeded[..] {
            assert_eq!(*service, name("web"));
            let Unmet::Scheduler(why) = why else {
                panic!("{why:?}");
            };
            assert!(why.contains(asked) && why.contains("rr, lc, p2c"), "{why}");
        }
        // Another one costs the relay a word, and no listener.
        let [port] = node.ports("web")[..] else {
            panic!()
        };
        let report = node.change([web().scheduler("lc").into()]);
        assert_eq!(report.operations, usize::from(used != Scheduler::Lc));
        assert_eq!((node.ports("web"), report.unheeded.len()), (vec![port], 0));
    }
}

#[test]
fn clients_are_remembered_as_long_as_the_service_says() {
    for (asked, seconds) in [(None, Some(10_800)), (Some(7), Some(7))] {
        let sticky = web().sticky(asked).into();
        let mut node = Node::settled(Fakes::default(), [sticky, endpoints(&["10.1.0.1"])]);
        assert_eq!(node.upstream("web").unwrap().affinity_seconds, seconds);
        assert_eq!(node.change([web().into()]).operations, 1);
        assert_eq!(node.upstream("web").unwrap().affinity_seconds, None);
    }
}

fn here(node: &mut Node) -> Vec<String> {
    let here = node.upstream("web").unwrap().here;
    here.iter()
        .map(|target: &Target| target.address.to_string())
        .collect()
}

/// Whose network is the host's own answers without passing it.
#[test]
fn endpoints_with_an_address_of_the_host_are_not_here_whenever_it_comes() {
    let ips = [
        "10.1.0.1 here",
        "10.1.0.2 here",
        "10.1.1.1",
        "192.0.2.77 here",
    ];
    let mut node = Node::settled(Fakes::default(), [web().into(), endpoints(&ips)]);
    assert_eq!(here(&mut node), ["10.1.0.1", "10.1.0.2"]);
    let other: IpAddr = "10.1.0.2".parse().unwrap();
    node.host.push(other);
    let report = node.change([]);
    assert_eq!((report.operations, report.full), (1, false));
    assert_eq!(here(&mut node), ["10.1.0.1"]);
    // Another change does not bring it back, nor does another look.
    node.change([endpoints(&[ips[0], ips[1], ips[3]])]);
    assert_eq!(here(&mut node), ["10.1.0.1"]);
    node.engine.distrust();
    node.sync().unwrap();
    assert_eq!(here(&mut node), ["10.1.0.1"]);
    node.host.retain(|ip| *ip != other);
    node.change([]);
    assert_eq!(here(&mut node), ["10.1.0.1", "10.1.0.2"]);
    node.host.clear();
    node.change([]);
    assert_eq!(here(&mut node), ["10.1.0.1", "10.1.0.2", "192.0.2.77"]);
}

#[test]
fn addresses_of_one_family_say_nothing_of_the_other() {
    let six = service("web", "fd00::1")
        .families(&[Family::V6], &["fd00::1"])
        .tcp(80);
    let mut node = Node::settled(Fakes::default(), [six.into(), endpoints(&["fd01::1 here"])]);
    assert_eq!(here(&mut node), ["fd01::1"]);
    node.host.push("10.1.0.1".parse().unwrap());
    assert_eq!(node.change([]).operations, 0);
    node.host.push("fd01::1".parse().unwrap());
    assert_eq!(node.change([]).operations, 1);
    assert_eq!(here(&mut node), [] as [&str; 0]);
}

#[test]
fn the_mark_is_another_where_masquerading_has_it() {
    for (masquerading, mark) in [(0x1000, 0x800), (0x4000, 0x1000), (0x800, 0x1000)] {
        let of_this = || Settings {
            masquerade_mark: masquerading,
            ..settings()
        };
        let mut node = Node::with(Fakes::default(), of_this());
        node.change([web().into(), endpoints(&["10.1.0.1"])]);
        let marks: Vec<_> = node
            .routing()
            .rules
            .iter()
            .map(|it| (it.mark, it.mask))
            .collect();
        let (lead, past) = ((mark, mark), (mark, mark | masquerading));
        assert_eq!(marks, [past, lead, (0, 0), lead], "{masquerading:#x}");
        let portal = node.nft().rules(table(Family::V4), "portal")[0].clone();
        assert!(
            portal.statements.contains(&Statement::SetMark(mark)),
            "{portal:?}"
        );
        // Another one after a restart takes its place, and leaves nothing.
        let other = Settings {
            masquerade_mark: mark,
            ..settings()
        };
        let mut fresh = Node::with(Fakes::default(), other.clone());
        let mut after = Node::with(node.fakes(), other);
        for node in [&mut fresh, &mut after] {
            node.apply([web().into(), endpoints(&["10.1.0.1"])]);
            node.settle();
        }
        assert_eq!(after.meaning(), fresh.meaning());
    }
}

/// The kernel may ask where a marked packet is from, as if this host sent one there. What it does send
/// has both marks.
#[test]
fn where_packets_are_from_is_not_looked_for_where_they_are_led() {
    let mut node = Node::settled(Fakes::default(), []);
    let rules: Vec<_> = node
        .routing()
        .rules
        .iter()
        .map(ToString::to_string)
        .collect();
    let expected = [
        "IPv4 rule 99: fwmark 0x1000/0x5000 iif lo goto 101",
        "IPv4 rule 100: fwmark 0x1000/0x1000 lookup 4096",
        "IPv4 rule 101: nop",
        "IPv6 rule 100: fwmark 0x1000/0x1000 lookup 4096",
    ];
    assert_eq!(rules, expected);
}

#[test]
fn each_family_has_its_own_table_routing_and_listeners() {
    let web = || service("web", "10.96.0.1").families(&Family::BOTH, &["10.96.0.1", "fd00::1"]);
    let changes = || {
        let six = slice("web-6", "web").tcp(8080).endpoints(&["fd01::1"]);
        [web().tcp(80).into(), endpoints(&["10.1.0.1"]), six.into()]
    };
    let routing = |node: &mut Node| {
        let routes = node.routing().routes.iter();
        let routes: Vec<_> = routes
            .map(|LocalRoute { family, table }| (*family, *table))
            .collect();
        let rules = node.routing().rules.iter();
        let rules: Vec<_> = rules
            .filter_map(|PolicyRule { family, action, .. }| match action {
                RuleAction::Lookup(table) => Some((*family, *table)),
                _ => None,
            })
            .collect();
        assert_eq!(routes, rules);
        routes.len()
    };
    let mut both = Node::settled(Fakes::default(), changes());
    assert_eq!((both.listeners("web").len(), routing(&mut both)), (2, 2));
    for (family, other) in [(Family::V4, Family::V6), (Family::V6, Family::V4)] {
        let mut one = Node::of_family(family);
        one.change(changes());
        let [(at, listener)] = &one.listeners("web")[..] else {
            panic!()
        };
        assert_eq!((at.family, listener.upstream.family), (family, family));
        assert_eq!(routing(&mut one), 1);
        assert!(one.nft().batch(table(other)).is_none());
    }
}

#[test]
fn all_of_it_is_removed_when_that_is_asked_for() {
    let mut node = Node::settled(Fakes::default(), [web().into(), endpoints(&["10.1.0.1"])]);
    assert_eq!(node.host.len(), HOST.len());
    assert!(node.engine.remove().unwrap());
    assert!(node.routing().rules.is_empty() && node.routing().routes.is_empty());
    assert_eq!(node.nft().dump(), "");
    assert!(!node.engine.remove().unwrap());
    // And comes back with the next sync; who listened does so all the time.
    node.settle();
    assert_eq!(node.relay().observe().listeners.len(), 1);
    assert_eq!(node.routing().rules.len(), 4);
}
