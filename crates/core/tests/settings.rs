//! What the operator's settings come to on a node: detectors, node ports, addresses, ranges.

mod build;

use std::net::IpAddr;

use build::{address, cluster, deleted, node, service_cidr, texts};
use fairlead_core::address::Family::{self, V4, V6};
use fairlead_core::api::{Change, Kind, Node, NodeAddressKind, ObjectName};
use fairlead_core::model::NodeView;
use fairlead_core::settings::{
    DetectLocal, LocalDetector, NodePortAddresses, NodePortScope, Settings,
};
use ipnet::IpNet;

fn nets(texts: &[&str]) -> Vec<IpNet> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// What a model makes of a Node object, and how many complaints it has.
fn view(node: Node) -> (NodeView, usize) {
    let mut cluster = cluster();
    let complaints = cluster.tell(Change::Node(node)).len();
    (cluster.0.node().clone(), complaints)
}

#[test]
fn pods_are_told_by_the_first_network_of_the_family() {
    let given = [
        "10.244.7.0/16",
        "10.99.0.0/16",
        "fd00:10::7/64",
        "fd99::/64",
    ];
    let network = |text: &str| Some(LocalDetector::Network(text.parse().unwrap()));
    // networks, of IPv4, of IPv6
    let rows: &[(&[&str], _, _)] = &[
        (&given, network("10.244.0.0/16"), network("fd00:10::/64")),
        (
            &given[1..],
            network("10.99.0.0/16"),
            network("fd00:10::/64"),
        ),
        (&given[..1], network("10.244.0.0/16"), None),
        (&given[3..], None, network("fd99::/64")),
        (&[], None, None),
    ];
    for (given, four, six) in rows {
        let node = NodeView {
            pod_cidrs: nets(given),
            ..NodeView::default()
        };
        for (detect_local, node) in [
            (DetectLocal::ClusterCidr(nets(given)), &NodeView::default()),
            (DetectLocal::NodeCidr, &node),
        ] {
            let settings = Settings {
                detect_local,
                ..Settings::default()
            };
            assert_eq!(settings.detector(V4, node), *four, "{given:?}");
            assert_eq!(settings.detector(V6, node), *six, "{given:?}");
        }
    }
}

#[test]
fn interfaces_tell_the_pods_of_both_families() {
    let name = || "cbr0".to_owned();
    for (detect_local, expected) in [
        (DetectLocal::None, None),
        (
            DetectLocal::BridgeInterface(name()),
            Some(LocalDetector::Interface(name())),
        ),
        (
            DetectLocal::InterfaceNamePrefix(name()),
            Some(LocalDetector::InterfacePrefix(name())),
        ),
    ] {
        let settings = Settings {
            detect_local,
            ..Settings::default()
        };
        for family in Family::BOTH {
            assert_eq!(settings.detector(family, &NodeView::default()), expected);
        }
    }
}

const HOST: [&str; 7] = [
    "127.0.0.1",
    "127.0.1.1",
    "192.0.2.10",
    "198.51.100.10",
    "::1",
    "2001:db8::10",
    "2001:db8:1::10",
];

const NODE: [&str; 2] = ["192.0.2.10", "2001:db8::10"];

fn scope(given: &NodePortAddresses, family: Family, node: &[&str]) -> NodePortScope {
    let node = NodeView {
        ips: ips(node),
        ..NodeView::default()
    };
    given.scope(family, &node, &ips(&HOST))
}

/// `all`, or the addresses; and `localhost`.
fn answers(scope: &NodePortScope) -> String {
    let mut words = texts(&scope.addresses);
    if scope.all {
        words.push("all".to_owned());
    }
    if scope.localhost {
        words.push("localhost".to_owned());
    }
    words.join(" ")
}

#[test]
fn node_ports_answer_in_the_networks_of_the_family() {
    // networks, where IPv4 node ports answer, where IPv6 ones do
    let rows: &[(&[&str], &str, &str)] = &[
        (&[], "all", "all"),
        (&["192.0.2.0/24"], "192.0.2.10", "all"),
        (
            &["192.0.2.0/24", "198.51.100.0/24"],
            "192.0.2.10 198.51.100.10",
            "all",
        ),
        (
            &["2001:db8::/64", "2001:db8:1::/64"],
            "all",
            "2001:db8::10 2001:db8:1::10",
        ),
        (
            &["192.0.2.0/24", "2001:db8::/64"],
            "192.0.2.10",
            "2001:db8::10",
        ),
        // Two networks that hold one address, and one that holds none.
        (&["192.0.2.0/24", "192.0.2.10/32"], "192.0.2.10", "all"),
        (&["10.0.0.0/8", "fd00::/8"], "", ""),
        // Everything makes the rest superfluous, in its family.
        (&["0.0.0.0/0"], "all", "all"),
        (
            &["192.0.2.0/24", "0.0.0.0/0", "2001:db8::10/128"],
            "all",
            "2001:db8::10",
        ),
        (&["192.0.2.0/24", "::/0"], "192.0.2.10", "all"),
        // Loopback is asked for by its own word.
        (&["127.0.0.0/8", "::1/128"], "", ""),
    ];
    for (networks, four, six) in rows {
        let given = NodePortAddresses {
            networks: nets(networks),
            ..NodePortAddresses::default()
        };
        assert_eq!(answers(&scope(&given, V4, &NODE)), *four, "{networks:?}");
        assert_eq!(answers(&scope(&given, V6, &NODE)), *six, "{networks:?}");
    }
}

#[test]
fn node_ports_answer_on_the_nodes_own_addresses() {
    // the node's addresses, where IPv4 node ports answer, where IPv6 ones do
    let rows: &[(&[&str], &str, &str)] = &[
        (&NODE, "192.0.2.10", "2001:db8::10"),
        (&["192.0.2.10"], "192.0.2.10", "all"),
        (&[], "all", "all"),
        (&["127.0.0.1", "::1"], "all", "all"),
    ];
    for (node, four, six) in rows {
        let given = NodePortAddresses::primary();
        assert_eq!(answers(&scope(&given, V4, node)), *four, "{node:?}");
        assert_eq!(answers(&scope(&given, V6, node)), *six, "{node:?}");
    }
    assert_eq!(
        Settings::default().node_port_addresses,
        NodePortAddresses::primary()
    );
}

#[test]
fn loopback_addresses_are_like_others_where_they_are_meant_to_be() {
    let parse = |networks: &[&str]| NodePortAddresses {
        loopback: true,
        networks: nets(networks),
        ..NodePortAddresses::default()
    };
    let primary = NodePortAddresses {
        loopback: true,
        ..NodePortAddresses::primary()
    };
    let all = NodePortAddresses {
        all: true,
        ..parse(&["192.0.2.0/24"])
    };
    // the setting, where IPv4 node ports answer, where IPv6 ones do
    for (given, four, six) in [
        (parse(&[]), "all localhost", "all"),
        (all, "all localhost", "all"),
        (parse(&["0.0.0.0/0"]), "all localhost", "all"),
        (
            parse(&["127.0.0.0/8", "192.0.2.0/24"]),
            "192.0.2.10 localhost",
            "all",
        ),
        (parse(&["127.0.0.0/8", "fd00::/8"]), "localhost", ""),
        (parse(&["127.0.0.1/32"]), "localhost", "all"),
        (parse(&["2001:db8::/64"]), "all localhost", "2001:db8::10"),
        (parse(&["192.0.2.0/24"]), "192.0.2.10", "all"),
        (parse(&["127.0.0.2/32"]), "", "all"),
        (parse(&["::1/128"]), "all localhost", ""),
        (primary, "192.0.2.10", "2001:db8::10"),
    ] {
        assert_eq!(answers(&scope(&given, V4, &NODE)), four, "{given:?}");
        assert_eq!(answers(&scope(&given, V6, &NODE)), six, "{given:?}");
        assert_eq!(given.serves_localhost(), four.ends_with("localhost"));
    }
}

#[test]
fn words_and_networks_add_up() {
    let networks = nets(&["198.51.100.0/24"]);
    let (primary, localhost) = (true, true);
    let nothing = NodePortAddresses::default;
    // the setting, where IPv4 node ports answer, where IPv6 ones do
    for (given, four, six) in [
        (
            NodePortAddresses {
                primary,
                networks: networks.clone(),
                ..nothing()
            },
            "192.0.2.10 198.51.100.10",
            "2001:db8::10",
        ),
        (
            NodePortAddresses {
                localhost,
                networks,
                ..nothing()
            },
            "198.51.100.10 localhost",
            "",
        ),
        // Who asks for loopback alone does not mean the world, in neither family.
        (
            NodePortAddresses {
                localhost,
                ..nothing()
            },
            "localhost",
            "",
        ),
        (
            NodePortAddresses {
                primary,
                localhost,
                ..nothing()
            },
            "192.0.2.10 localhost",
            "2001:db8::10",
        ),
        (
            NodePortAddresses {
                all: true,
                localhost,
                primary,
                ..nothing()
            },
            "all localhost",
            "all",
        ),
    ] {
        assert_eq!(answers(&scope(&given, V4, &NODE)), four, "{given:?}");
        assert_eq!(answers(&scope(&given, V6, &NODE)), six, "{given:?}");
    }
}

/// `status.addresses`, and what the node is known by.
type NodeRow<'a> = (&'a [(NodeAddressKind, &'a str)], &'a [&'a str]);

#[test]
fn a_node_is_known_by_its_first_internal_address_of_each_family() {
    use NodeAddressKind::{ExternalIp, InternalIp, Other};
    let rows: &[NodeRow] = &[
        (&[], &[]),
        (&[(Other, "node-a")], &[]),
        (
            &[
                (ExternalIp, "203.0.113.1"),
                (InternalIp, "192.0.2.10"),
                (InternalIp, "192.0.2.11"),
            ],
            &["192.0.2.10"],
        ),
        (&[(ExternalIp, "203.0.113.1")], &["203.0.113.1"]),
        (
            &[(InternalIp, "2001:db8::10"), (InternalIp, "192.0.2.10")],
            &["2001:db8::10", "192.0.2.10"],
        ),
        (
            &[(ExternalIp, "2001:db8::10"), (InternalIp, "192.0.2.10")],
            &["192.0.2.10", "2001:db8::10"],
        ),
        (&[(InternalIp, "192.0.2.010")], &["192.0.2.10"]),
    ];
    for (addresses, expected) in rows {
        let addresses = addresses.iter().map(|(kind, ip)| address(*kind, ip));
        let (view, complaints) = view(Node {
            addresses: addresses.collect(),
            ..node(&[])
        });
        assert_eq!(texts(&view.ips), *expected);
        assert_eq!(complaints, 0);
        for family in Family::BOTH {
            let of_family = view
                .ips
                .iter()
                .copied()
                .find(|ip| Family::of(*ip) == family);
            assert_eq!(view.ip(family), of_family);
        }
    }
}

#[test]
fn what_is_wrong_with_a_node_is_left_out_and_reported() {
    let (view, complaints) = view(Node {
        pod_cidrs: vec!["10.244.0.0".into(), "10.244.1.0/024".into()],
        ..node(&["192.0.2.300", "192.0.2.10"])
    });
    assert_eq!(texts(&view.ips), ["192.0.2.10"]);
    assert_eq!(texts(&view.pod_cidrs), ["10.244.1.0/24"]);
    assert_eq!(complaints, 2);
}

#[test]
fn a_node_that_gets_its_pod_network_detects_its_pods() {
    let mut cluster = build::cluster_with(Settings {
        detect_local: DetectLocal::NodeCidr,
        ..Settings::default()
    })
    .with(build::service("web", "10.96.0.1").tcp(80))
    .with(
        build::slice("web-1", "web")
            .tcp(80)
            .endpoints(&["10.1.0.1"]),
    );
    let others = |cluster: &build::Cluster| build::words(cluster.only("web").routes[0].verdicts)[2];
    assert_eq!(others(&cluster), "cluster");
    cluster.tell(Change::Node(Node {
        pod_cidrs: vec!["10.1.0.0/24".into()],
        ..node(&[])
    }));
    assert_eq!(others(&cluster), "cluster masq");
}

#[test]
fn cluster_ips_come_from_the_ranges_of_all_servicecidrs() {
    let ranges = |cluster: &build::Cluster| {
        Family::BOTH.map(|family| texts(cluster.0.service_cidrs(family)).join(" "))
    };
    let gone = |name| Change::Deleted(Kind::ServiceCidr, ObjectName::cluster(name));
    let mut cluster = cluster();
    let mut step = |change: Change, four: &str, six: &str| {
        cluster.tell(change);
        assert_eq!(ranges(&cluster), [four, six]);
    };
    step(
        service_cidr("a", &["10.96.0.0/16", "fd00::/112"]),
        "10.96.0.0/16",
        "fd00::/112",
    );
    step(
        service_cidr("b", &["10.64.0.1/016"]),
        "10.64.0.0/16 10.96.0.0/16",
        "fd00::/112",
    );
    // A range that two objects have stays when one of them goes.
    step(
        service_cidr("b", &["10.96.0.0/16"]),
        "10.96.0.0/16",
        "fd00::/112",
    );
    step(gone("a"), "10.96.0.0/16", "");
    step(gone("a"), "10.96.0.0/16", "");
    step(service_cidr("b", &["fd00::/112"]), "", "fd00::/112");
    step(gone("b"), "", "");
    // Another kind of the same name is another object.
    step(service_cidr("b", &["10.96.0.0/16"]), "10.96.0.0/16", "");
    step(deleted(Kind::Service, "b"), "10.96.0.0/16", "");
}

#[test]
fn a_range_that_is_none_is_left_out_and_reported() {
    let mut cluster = cluster();
    let problems = texts(cluster.tell(service_cidr("a", &["10.96.0.0", "10.96.0.0/16"])));
    assert_eq!(problems.len(), 1);
    assert!(problems[0].starts_with("ServiceCIDR a: spec.cidrs: \"10.96.0.0\""));
    assert_eq!(texts(cluster.0.service_cidrs(V4)), ["10.96.0.0/16"]);
}
