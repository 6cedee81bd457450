//! Which tracked connections have outlived what they were made for.

mod build;

use std::net::SocketAddr;

use build::{Cluster, ServiceText, cluster, name, node, service, slice};
use fairlead_core::address::Family::{self, V4, V6};
use fairlead_core::address::Protocol::{self, Sctp, Tcp, Udp};
use fairlead_core::api::{AddressType, Change};
use fairlead_core::conntrack::{Flow, NodePortReach, Search, Suspects};
use fairlead_core::model::Destination;
use fairlead_core::route::Target;
use fairlead_core::settings::NodePortAddresses;

/// What DNS can be reached by: cluster IP, load balancer, external IP, node port.
const FRONTENDS: [&str; 4] = [
    "10.96.0.10:53",
    "203.0.113.1:53",
    "198.51.100.1:53",
    "192.0.2.10:30053",
];

fn target(text: &str) -> Target {
    let address: SocketAddr = text.parse().unwrap();
    Target {
        address: address.ip(),
        port: address.port(),
    }
}

fn flow(protocol: Protocol, asked: &str, answers: &str) -> Flow {
    Flow {
        protocol,
        asked: target(asked),
        answers: target(answers),
    }
}

fn dns(protocol: Protocol) -> ServiceText {
    service("dns", "10.96.0.10")
        .port("", protocol, 53)
        .node_port(30053)
        .balanced("203.0.113.1")
        .external("198.51.100.1")
}

fn with_endpoints(service: ServiceText, protocol: Protocol, endpoints: &[&str]) -> Cluster {
    let slice = slice("dns-1", "dns").port("", protocol, 5353);
    cluster()
        .with(Change::Node(node(&["192.0.2.10"])))
        .with(service)
        .with(slice.endpoints(endpoints))
}

/// What a sync that looks at the Service `dns` suspects.
fn suspects(cluster: &Cluster) -> Suspects {
    let mut suspects = Suspects::default();
    for (destinations, serving) in cluster.0.serving(&name("dns")) {
        suspects.insert(destinations, serving);
    }
    suspects
}

fn reach(setting: &NodePortAddresses, host: &[&str]) -> NodePortReach {
    let host: Vec<_> = host.iter().map(|ip| ip.parse().unwrap()).collect();
    let cluster = cluster().with(Change::Node(node(&["192.0.2.10"])));
    NodePortReach::new(setting, cluster.0.node(), &host)
}

fn at_node() -> NodePortReach {
    reach(&NodePortAddresses::primary(), &["192.0.2.10", "192.0.2.11"])
}

#[test]
fn connections_to_what_does_not_serve_go_and_tcp_is_let_alone() {
    let endpoints = [
        "10.1.0.1",
        "10.1.0.2 terminating",
        "10.1.0.3 failing elsewhere",
        "10.1.0.4 unready",
        "10.1.0.5 dying",
    ];
    let answers = [
        ("10.1.0.1:5353", false),
        ("10.1.0.2:5353", false),
        ("10.1.0.3:5353", false),
        ("10.1.0.4:5353", true),
        ("10.1.0.5:5353", true),
        ("10.1.0.9:5353", true),
        // The port that it was before.
        ("10.1.0.1:53", true),
    ];
    for protocol in [Udp, Sctp, Tcp] {
        let suspects = suspects(&with_endpoints(dns(protocol), protocol, &endpoints));
        for asked in FRONTENDS {
            for (answers, stale) in answers {
                let flow = flow(protocol, asked, answers);
                let expected = stale && protocol != Tcp;
                assert_eq!(suspects.is_stale(&flow, &at_node()), expected, "{flow:?}");
            }
            // Not translated, as nothing served when it began.
            let began_before = flow(protocol, asked, asked);
            let expected = protocol != Tcp;
            assert_eq!(suspects.is_stale(&began_before, &at_node()), expected);
        }
    }
}

#[test]
fn connections_to_other_things_stay() {
    let suspects = suspects(&with_endpoints(dns(Udp), Udp, &["10.1.0.1"]));
    for (protocol, asked, answers) in [
        // Another address, another port, a pod itself.
        (Udp, "10.96.0.11:53", "10.1.0.9:5353"),
        (Udp, "10.96.0.10:54", "10.1.0.9:5353"),
        (Udp, "10.1.0.9:5353", "10.1.0.9:5353"),
        // The number of the node port, elsewhere: beyond this node, and where it does not answer.
        (Udp, "198.51.100.7:30053", "198.51.100.7:30053"),
        (Udp, "192.0.2.11:30053", "192.0.2.11:30053"),
        (Udp, "127.0.0.1:30053", "127.0.0.1:30053"),
        // The node port's protocol is another.
        (Sctp, "192.0.2.10:30053", "10.1.0.9:5353"),
    ] {
        let flow = flow(protocol, asked, answers);
        assert!(!suspects.is_stale(&flow, &at_node()), "{flow:?}");
    }
}

/// The other family has frontends, endpoints and node ports of its own.
#[test]
fn each_family_is_served_by_its_own_endpoints() {
    let node = node(&["192.0.2.10", "2001:db8::10"]);
    let six = slice("dns-6", "dns").of_type(AddressType::Ipv6);
    let cluster = cluster()
        .with(Change::Node(node))
        .with(
            dns(Udp)
                .families(&Family::BOTH, &["10.96.0.10", "fd00::10"])
                .balanced("2001:db8:1::1"),
        )
        .with(
            slice("dns-4", "dns")
                .port("", Udp, 5353)
                .endpoints(&["10.1.0.1"]),
        )
        .with(six.port("", Udp, 5354).endpoints(&["fd01::1"]));
    let host = ["192.0.2.10", "2001:db8::10"].map(|ip| ip.parse().unwrap());
    let at_node = NodePortReach::new(&NodePortAddresses::primary(), cluster.0.node(), &host);
    let suspects = suspects(&cluster);
    assert_eq!(suspects.families(), Family::BOTH.into());
    for (asked, serving, other) in [
        ("[fd00::10]:53", "[fd01::1]:5354", "[fd01::1]:5353"),
        ("[2001:db8:1::1]:53", "[fd01::1]:5354", "[fd01::9]:5354"),
        ("[2001:db8::10]:30053", "[fd01::1]:5354", "[fd01::9]:5354"),
        ("10.96.0.10:53", "10.1.0.1:5353", "10.1.0.1:5354"),
        ("192.0.2.10:30053", "10.1.0.1:5353", "10.1.0.9:5353"),
    ] {
        assert!(
            !suspects.is_stale(&flow(Udp, asked, serving), &at_node),
            "{asked}"
        );
        assert!(
            suspects.is_stale(&flow(Udp, asked, other), &at_node),
            "{asked}"
        );
    }
    // On the way through this node to another one.
    let through = flow(Udp, "[2001:db8::11]:30053", "[2001:db8::11]:30053");
    assert!(!suspects.is_stale(&through, &at_node));
}

/// As in kube-proxy: nothing is cut that works.
#[test]
fn connections_to_serving_endpoints_stay_whatever_the_policy() {
    let endpoints = ["10.1.0.1 here", "10.1.1.1 elsewhere"];
    let local = dns(Udp).internal_local().external_local();
    let suspects = suspects(&with_endpoints(local, Udp, &endpoints));
    for asked in FRONTENDS {
        let elsewhere = flow(Udp, asked, "10.1.1.1:5353");
        assert!(!suspects.is_stale(&elsewhere, &at_node()), "{asked}");
        let gone = flow(Udp, asked, "10.1.1.9:5353");
        assert!(suspects.is_stale(&gone, &at_node()), "{asked}");
    }
}

#[test]
fn without_endpoints_only_translated_connections_go() {
    let suspects = suspects(&with_endpoints(dns(Udp), Udp, &["10.1.0.1 unready"]));
    for asked in FRONTENDS {
        assert!(suspects.is_stale(&flow(Udp, asked, "10.1.0.1:5353"), &at_node()));
        assert!(!suspects.is_stale(&flow(Udp, asked, asked), &at_node()));
    }
}

#[test]
fn a_destination_that_is_given_up_keeps_no_translated_connection() {
    let mut suspects = suspects(&with_endpoints(dns(Udp), Udp, &["10.1.0.1"]));
    let former = |ip: &str| Destination::Address(ip.parse().unwrap(), Udp, 53);
    suspects.insert_former(former("203.0.113.7"));
    // What is still served is not made a former one.
    suspects.insert_former(former("203.0.113.1"));
    suspects.insert_former(Destination::NodePort(V4, Udp, 30054));
    suspects.insert_former(Destination::NodePort(V4, Tcp, 30055));
    for (asked, stale) in [
        ("203.0.113.7:53", true),
        ("203.0.113.1:53", false),
        ("192.0.2.10:30054", true),
    ] {
        let flow = flow(Udp, asked, "10.1.0.1:5353");
        assert_eq!(suspects.is_stale(&flow, &at_node()), stale, "{asked}");
    }
    // Somebody else may listen there by now.
    let own = flow(Udp, "192.0.2.10:30054", "192.0.2.10:30054");
    assert!(!suspects.is_stale(&own, &at_node()));
    let tcp = flow(Tcp, "192.0.2.10:30055", "10.1.0.1:5353");
    assert!(!suspects.is_stale(&tcp, &at_node()));
}

#[test]
fn node_ports_are_looked_for_where_they_answer() {
    let words = |all, localhost| NodePortAddresses {
        all,
        localhost,
        ..NodePortAddresses::default()
    };
    let networks = NodePortAddresses {
        networks: vec!["192.0.2.11/32".parse().unwrap()],
        ..NodePortAddresses::default()
    };
    let addresses = ["192.0.2.10", "192.0.2.11", "198.51.100.7", "127.0.0.1"];
    let suspects = suspects(&with_endpoints(dns(Udp), Udp, &["10.1.0.1"]));
    for (setting, expected) in [
        (NodePortAddresses::primary(), [true, false, false, false]),
        (words(true, false), [true, true, false, false]),
        (words(true, true), [true, true, false, true]),
        (words(false, true), [false, false, false, true]),
        (networks, [false, true, false, false]),
    ] {
        let reach = reach(&setting, &["192.0.2.10", "192.0.2.11"]);
        let found = addresses.map(|ip| {
            let flow = flow(Udp, &format!("{ip}:30053"), "10.1.0.9:5353");
            suspects.is_stale(&flow, &reach)
        });
        assert_eq!(found, expected, "{setting:?}");
    }
}

#[test]
fn a_later_sync_knows_better() {
    let mut suspects = suspects(&with_endpoints(dns(Udp), Udp, &["10.1.0.1"]));
    let later = with_endpoints(dns(Udp), Udp, &["10.1.0.2"]);
    suspects.absorb(self::suspects(&later));
    for asked in FRONTENDS {
        assert!(suspects.is_stale(&flow(Udp, asked, "10.1.0.1:5353"), &at_node()));
        assert!(!suspects.is_stale(&flow(Udp, asked, "10.1.0.2:5353"), &at_node()));
    }
}

#[test]
fn few_destinations_are_searched_for_one_by_one_in_a_large_table() {
    let mut suspects = Suspects::default();
    let node_port = |family, port| Destination::NodePort(family, Udp, port);
    let one = |suspects: &Suspects, family: Family, connections| {
        let mut searches = suspects.searches(family, connections);
        searches.sort();
        searches
    };
    assert_eq!(one(&suspects, V4, 200_000), []);
    suspects.insert([node_port(V4, 30001)], Vec::new());
    let first = Search::Destination(node_port(V4, 30001));
    // One walk is one walk.
    assert_eq!(one(&suspects, V4, 0), [first]);
    assert_eq!(one(&suspects, V6, 0), []);
    suspects.insert([node_port(V4, 30002)], Vec::new());
    let both = [first, Search::Destination(node_port(V4, 30002))];
    assert_eq!(one(&suspects, V4, 1000), [Search::All(Udp)]);
    assert_eq!(one(&suspects, V4, 200_000), both);
    suspects.insert((30003..30020).map(|port| node_port(V4, port)), Vec::new());
    suspects.insert([Destination::NodePort(V4, Sctp, 1)], Vec::new());
    let sctp = Search::Destination(Destination::NodePort(V4, Sctp, 1));
    assert_eq!(one(&suspects, V4, 200_000), [sctp, Search::All(Udp)]);
}
