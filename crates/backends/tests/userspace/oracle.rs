//! Where packets are brought, against what the routes say.

use std::net::{IpAddr, SocketAddr};

use fairlead_core::address::{Family, Protocol};
use fairlead_core::model::{Destination, ServicePortName};
use fairlead_core::route::{Origin, Pool, Route, Routes, Verdict};
use fairlead_core::settings::{DetectLocal, Settings};
use fairlead_relay::handle::{Listener, Relay, Source, UpstreamName};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::build::{self, name, service, slice};
use crate::histories::step;
use crate::node::{Fakes, HOST, Node, keeping_sources, settings};
use crate::walk::{End, Host, Packet};

/// The bit of packets that go to a listener.
const MARK: u32 = 0x1000;

const ORIGINS: [Origin; 3] = [Origin::LocalPod, Origin::Node, Origin::Elsewhere];

/// Who sends, in each family: a pod of this node, the node, and somebody else. Of the latter, two:
/// source ranges let one in.
fn sources(family: Family, origin: Origin) -> &'static [&'static str] {
    match (family, origin) {
        (Family::V4, Origin::LocalPod) => &["10.1.0.200"],
        (Family::V4, Origin::Node) => &[HOST[0]],
        (Family::V4, Origin::Elsewhere) => &["192.0.2.200", "203.0.113.1"],
        (Family::V6, Origin::LocalPod) => &["fd01::200"],
        (Family::V6, Origin::Node) => &[HOST[1]],
        (Family::V6, Origin::Elsewhere) => &["fd99::1", "2001:db8:1::1"],
    }
}

/// What becomes of a connection, in the words of routes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fate {
    Refused,
    Dropped,
    Relayed(Listener),
    Left,
}

/// A host as its rules make it.
fn host(node: &mut Node) -> Host<'_> {
    let relayed = node.relay().observe();
    let addresses = node.host.clone();
    Host {
        relayed,
        addresses,
        mark: MARK,
        nft: node.nft(),
    }
}

fn found(host: &Host<'_>, origin: Origin, mut packet: Packet) -> Fate {
    let end = match origin {
        Origin::Node => host.sends(&mut packet),
        _ => host.arrives(&mut packet),
    };
    match end {
        End::Refused => Fate::Refused,
        End::Dropped => Fate::Dropped,
        End::Listener(at) => {
            assert_ne!(packet.connection.mark & MARK, 0, "later packets go astray");
            Fate::Relayed(host.relayed.listeners[&at].clone())
        }
        End::Here | End::Onward => Fate::Left,
    }
}

fn expected(
    settings: &Settings,
    family: Family,
    name: &ServicePortName,
    route: &Route,
    (origin, source): (Origin, IpAddr),
) -> Fate {
    let may = |nets: &Vec<ipnet::IpNet>| nets.iter().any(|net| net.contains(&source));
    if !route.sources.as_ref().is_none_or(may) {
        return Fate::Dropped;
    }
    match route.verdicts.from(origin) {
        Verdict::Reject(_) => Fate::Refused,
        Verdict::Drop(_) => Fate::Dropped,
        Verdict::Forward { .. } if name.protocol == Protocol::Sctp => Fate::Refused,
        Verdict::Forward { pool, masquerade } => Fate::Relayed(Listener {
            upstream: UpstreamName {
                port: name.clone(),
                family,
            },
            pool,
            source: match settings.userspace.keep_source && !masquerade {
                true => Source::Client,
                false => Source::Node,
            },
        }),
    }
}

/// A packet to a destination; of node ports, to this node's address.
fn packet(family: Family, destination: Destination, source: IpAddr) -> Packet {
    let (ip, protocol, port) = match destination {
        Destination::Address(ip, protocol, port) => (ip, protocol, port),
        Destination::NodePort(_, protocol, port) => {
            let ip = HOST[usize::from(family == Family::V6)].parse().unwrap();
            (ip, protocol, port)
        }
    };
    Packet::first(protocol, source, SocketAddr::new(ip, port))
}

fn all_routes(node: &Node) -> Vec<(Family, Routes)> {
    let services = node.model.services();
    services.flat_map(|it| node.model.routes(it)).collect()
}

fn modes() -> impl Strategy<Value = Settings> {
    let detectors = [
        DetectLocal::None,
        DetectLocal::NodeCidr,
        DetectLocal::ClusterCidr(
            ["10.1.0.0/24", "fd01::/64"]
                .map(|net| net.parse().unwrap())
                .into(),
        ),
    ];
    let detectors = select(detectors.to_vec());
    (any::<bool>(), any::<bool>(), detectors).prop_map(|(keep, masquerade_all, detect_local)| {
        Settings {
            detect_local,
            masquerade_all,
            ..match keep {
                true => keeping_sources(),
                false => settings(),
            }
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_packet_is_brought_where_its_route_says(
        history in vec(step(), 1..60),
        settings in modes(),
    ) {
        let mut node = Node::with(Fakes::default(), settings.clone());
        node.apply(history);
        node.settle();
        let all = all_routes(&node);
        let host = host(&mut node);
        for (family, routes) in all {
            for route in &routes.routes {
                let senders = ORIGINS.iter().flat_map(|origin| {
                    let sources = sources(family, *origin).iter();
                    sources.map(|source| (*origin, source.parse().unwrap()))
                });
                for sender in senders {
                    let expected = expected(&settings, family, &routes.name, route, sender);
                    let packet = packet(family, route.destination, sender.1);
                    let found = found(&host, sender.0, packet);
                    prop_assert_eq!(&found, &expected, "{} from {:?}", route.destination, sender);
                    if let Fate::Relayed(Listener { upstream, pool, .. }) = found {
                        let known = &host.relayed.upstreams[&upstream];
                        let of_route = match pool {
                            Pool::Cluster => &routes.cluster,
                            Pool::Local => &routes.local,
                        };
                        let mut of_route = of_route.clone();
                        of_route.sort_unstable();
                        prop_assert_eq!(known.pool(pool).to_vec(), of_route);
                        prop_assert!(!known.pool(pool).is_empty());
                    }
                }
            }
        }
    }
}

/// The endpoints that each of [`ORIGINS`] meets, and how they see it.
fn met(settings: &Settings, web: build::ServiceText, endpoints: &[&str], at: &str) -> [String; 3] {
    let mut node = Node::with(Fakes::default(), settings.clone());
    let mut this = build::node(&[HOST[0]]);
    this.pod_cidrs = vec!["10.1.0.0/24".into()];
    let slice = slice("web-a", "web").tcp(8080).endpoints(endpoints);
    node.apply([
        fairlead_core::api::Change::Node(this),
        web.into(),
        slice.into(),
    ]);
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

/// The decisions as Kubernetes documents them, a line each.
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
