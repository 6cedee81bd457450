//! Where packets are brought, against what the routes say.

use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};

use fairlead_core::address::{Family, Protocol};
use fairlead_core::api::Change;
use fairlead_core::model::{Destination, ServicePortName};
use fairlead_core::route::{Origin, Pool, Route, Routes, Verdict};
use fairlead_core::settings::{DetectLocal, Settings};
use fairlead_relay::handle::{Listener, Relay, Source, UpstreamName};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::build::{self, service, slice};
use crate::histories::step;
use crate::node::{Fakes, HOST, Node, keeping_sources, settings};
use crate::walk::{End, Host, Packet};

/// The bit of packets that go to a listener.
const MARK: u32 = 0x1000;

pub(crate) const ORIGINS: [Origin; 3] = [Origin::LocalPod, Origin::Node, Origin::Elsewhere];

/// Who sends, in each family: a pod of this node, the node, and somebody else. Of the latter, two:
/// source ranges let one in.
pub(crate) fn sources(family: Family, origin: Origin) -> &'static [&'static str] {
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
pub(crate) enum Fate {
    Refused,
    Dropped,
    Relayed(Listener),
    Left,
}

/// A host as its rules make it.
pub(crate) fn host(node: &mut Node) -> Host<'_> {
    let relayed = node.relay().observe();
    let addresses = node.host.clone();
    Host {
        relayed,
        addresses,
        mark: MARK,
        questions: Cell::default(),
        nft: node.nft(),
    }
}

pub(crate) fn found(host: &Host<'_>, origin: Origin, mut packet: Packet) -> Fate {
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
    // What would be carried for anybody is refused to all.
    let is_sctp = name.protocol == Protocol::Sctp;
    if is_sctp && matches!(route.verdicts.node, Verdict::Forward { .. }) {
        return Fate::Refused;
    }
    match route.verdicts.from(origin) {
        Verdict::Reject(_) => Fate::Refused,
        Verdict::Drop(_) => Fate::Dropped,
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

/// Of what there may be, so much that it takes some changes until nobody is served.
fn served() -> [Change; 4] {
    let mut this = build::node(&[HOST[0]]);
    this.pod_cidrs = vec!["10.1.0.0/24".into(), "fd01::/64".into()];
    let web = service("web", "10.96.0.1")
        .families(&Family::BOTH, &["10.96.0.1", "fd00::1"])
        .port("", Protocol::Tcp, 80)
        .node_port(30_080)
        .port("http", Protocol::Udp, 81)
        .node_port(30_081)
        .balanced("198.51.100.1")
        .balanced("2001:db8::1")
        .external_local();
    let slice = |name: &str, ips: &[&str]| {
        let slice = slice(name, "web").port("", Protocol::Tcp, 8080);
        let slice = slice.port("http", Protocol::Udp, 8081).endpoints(ips);
        Change::EndpointSlice(slice.0)
    };
    [
        Change::Node(this),
        Change::Service(web.0),
        slice("1", &["10.1.0.1 here", "10.1.1.1"]),
        slice("2", &["fd01::1 here", "fd01:1::1"]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_packet_is_brought_where_its_route_says(
        history in vec(step(), 0..30),
        settings in modes(),
    ) {
        let mut node = Node::with(Fakes::default(), settings.clone());
        node.apply(served());
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
