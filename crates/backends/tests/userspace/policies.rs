//! The decisions of each policy, as Kubernetes documents them.

use fairlead_core::address::{Family, Protocol};
use fairlead_core::api::Change;
use fairlead_core::settings::{DetectLocal, Settings};
use fairlead_relay::handle::Source;

use crate::build::{self, name, service, slice};
use crate::node::{Fakes, HOST, Node, keeping_sources, settings};
use crate::oracle::{Fate, ORIGINS, found, host, sources};
use crate::walk::Packet;

/// The endpoints that each of [`ORIGINS`] meets, and how they see it.
fn met(settings: &Settings, web: build::ServiceText, endpoints: &[&str], at: &str) -> [String; 3] {
    let mut node = Node::with(Fakes::default(), settings.clone());
    let mut this = build::node(&[HOST[0]]);
    this.pod_cidrs = vec!["10.1.0.0/24".into()];
    let slice = slice("web-a", "web").tcp(8080).endpoints(endpoints);
    node.apply([Change::Node(this), web.into(), slice.into()]);
    node.settle();
    let host = host(&mut node);
    ORIGINS.map(|origin| {
        let source = sources(Family::V4, origin)[0].parse().unwrap();
        let packet = Packet::first(Protocol::Tcp, source, at.parse().unwrap());
        match found(&host, origin, packet) {
            Fate::Relayed(it) => {
                assert_eq!(it.upstream.port.service, name("web"));
                let upstream = &host.relayed.upstreams[&it.upstream];
                let pool = upstream.pool(it.pool);
                let pool: Vec<_> = pool.iter().map(|it| it.address.to_string()).collect();
                let sees = match it.source {
                    Source::Node => "",
                    Source::Client => " as itself",
                };
                pool.join(",") + sees
            }
            other => format!("{other:?}"),
        }
    })
}

#[test]
fn each_policy_leads_each_client_to_its_endpoints() {
    let web = || {
        service("web", "10.96.0.1")
            .tcp(80)
            .node_port(30080)
            .external("198.51.100.1")
    };
    let (ip, port, external) = ("10.96.0.1:80", "192.0.2.77:30080", "198.51.100.1:80");
    let (both, far): (&[&str], &[&str]) = (&["10.1.0.1 here", "10.1.1.1"], &["10.1.1.1"]);
    let (all, near) = ("10.1.0.1,10.1.1.1", "10.1.0.1");
    let (refused, dropped) = ("Refused", "Dropped");
    for (web, endpoints, at, expected) in [
        (web(), both, ip, [all, all, all]),
        (web(), both, port, [all, all, all]),
        (web(), both, external, [all, all, all]),
        (web(), &[][..], ip, [refused; 3]),
        (web(), &[], port, [refused; 3]),
        (web(), &[], external, [refused; 3]),
        (web(), &["10.1.0.1 here failing"], ip, [refused; 3]),
        (web(), &["10.1.0.1 here terminating"], ip, [near; 3]),
        (web().internal_local(), both, ip, [near; 3]),
        (web().internal_local(), both, port, [all; 3]),
        (web().internal_local(), far, ip, [dropped; 3]),
        (web().internal_local(), &[], ip, [refused; 3]),
        (web().external_local(), both, ip, [all; 3]),
        (web().external_local(), both, port, [all, all, near]),
        (web().external_local(), both, external, [all, all, near]),
        (
            web().external_local(),
            far,
            port,
            ["10.1.1.1", "10.1.1.1", dropped],
        ),
        (
            web().external_local(),
            far,
            external,
            ["10.1.1.1", "10.1.1.1", dropped],
        ),
        (web().external_local(), &[], external, [refused; 3]),
    ] {
        let told = format!("{at} of {endpoints:?}");
        assert_eq!(met(&settings(), web, endpoints, at), expected, "{told}");
    }
}

#[test]
fn without_a_detector_pods_are_as_anybody_elsewhere() {
    let web = service("web", "10.96.0.1")
        .tcp(80)
        .node_port(30080)
        .external_local();
    let nothing_tells = Settings {
        detect_local: DetectLocal::None,
        ..settings()
    };
    let both = &["10.1.0.1 here", "10.1.1.1"];
    let met_there = met(&nothing_tells, web, both, "192.0.2.77:30080");
    assert_eq!(met_there, ["10.1.0.1", "10.1.0.1,10.1.1.1", "10.1.0.1"]);
}

#[test]
fn clients_are_seen_where_the_other_modes_would_not_masquerade() {
    let web = || service("web", "10.96.0.1").tcp(80).node_port(30080);
    let both = &["10.1.0.1 here", "10.1.1.1"];
    let (all, seen) = ("10.1.0.1,10.1.1.1", "10.1.0.1,10.1.1.1 as itself");
    for (web, at, expected) in [
        (web(), "10.96.0.1:80", [seen, all, all]),
        (web(), "192.0.2.77:30080", [all; 3]),
        (
            web().external_local(),
            "192.0.2.77:30080",
            [seen, all, "10.1.0.1 as itself"],
        ),
    ] {
        assert_eq!(met(&keeping_sources(), web, both, at), expected, "{at}");
    }
}
