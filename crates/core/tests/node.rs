//! This node: whether it takes new connections, and what a change of it touches.

mod build;

use build::{ELSEWHERE, HERE, cluster, node, service, slice, texts, with_web};
use fairlead_core::address::Family::{self, V4, V6};
use fairlead_core::api::{Change, Kind, Node, ObjectName, Taint};
use fairlead_core::settings::{DetectLocal, LocalDetector, Settings};

fn taint(key: &str, effect: &str) -> Taint {
    Taint {
        key: key.into(),
        effect: effect.into(),
    }
}

fn eligible(node: Node) -> bool {
    let cluster = cluster().with(Change::Node(node));
    assert!(cluster.0.node_is_known());
    cluster.0.node_is_eligible()
}

#[test]
fn a_node_never_seen_is_neither_known_nor_eligible() {
    let mut cluster = cluster();
    cluster.tell(Change::Synced(Kind::Node));
    let mut other = node(&["192.0.2.11"]);
    other.name = ELSEWHERE.into();
    cluster.tell(Change::Node(other));
    assert!(!cluster.0.node_is_known() && !cluster.0.node_is_eligible());
    assert_eq!(cluster.0.node_taints(), []);
}

#[test]
fn a_node_that_is_about_to_go_is_not_eligible() {
    let tainted = |taints: &[Taint]| Node {
        taints: taints.to_vec(),
        ..node(&["192.0.2.10"])
    };
    let doomed = "ToBeDeletedByClusterAutoscaler";
    for (node, expected) in [
        (tainted(&[]), true),
        (
            tainted(&[taint("node.kubernetes.io/unschedulable", "NoSchedule")]),
            true,
        ),
        (tainted(&[taint(doomed, "NoSchedule")]), false),
        (
            tainted(&[taint("x", "NoExecute"), taint(doomed, "")]),
            false,
        ),
        (
            Node {
                deleting: true,
                ..tainted(&[])
            },
            false,
        ),
    ] {
        let said = format!("{node:?}");
        assert_eq!(eligible(node), expected, "{said}");
    }
}

#[test]
fn a_node_object_that_is_gone_is_remembered() {
    let starting = taint("example.com/starting", "NoSchedule");
    let mut cluster = cluster().with(Change::Node(Node {
        taints: vec![starting.clone()],
        ..node(&["192.0.2.10"])
    }));
    cluster.tell(Change::Deleted(Kind::Node, ObjectName::cluster(HERE)));
    assert!(cluster.0.node_is_known() && cluster.0.node_is_eligible());
    assert_eq!(cluster.0.node_taints(), [starting]);
}

#[test]
fn what_becomes_of_a_node_touches_no_service() {
    let mut cluster = with_web().with(Change::Node(node(&["192.0.2.10"])));
    cluster.take_dirty();
    cluster.tell(Change::Node(Node {
        deleting: true,
        taints: vec![taint("x", "NoSchedule")],
        ..node(&["192.0.2.10"])
    }));
    assert_eq!(cluster.take_dirty(), [""; 0]);
    assert!(!cluster.0.node_is_eligible());
    cluster.tell(Change::Node(node(&["192.0.2.10"])));
    assert!(cluster.0.node_is_eligible());
    assert_eq!(cluster.0.node_taints(), []);
}

/// kube-proxy exits when a pod network changes, and only logs when an address does.
#[test]
fn addresses_and_pod_networks_that_change_count_at_once() {
    let mut cluster = build::cluster_with(Settings {
        detect_local: DetectLocal::NodeCidr,
        ..Settings::default()
    })
    .with(service("web", "10.96.0.1").tcp(80))
    .with(slice("web-1", "web").tcp(80).endpoints(&["10.1.0.1"]));
    let mut step = |ip: &str, network: &str| {
        cluster.tell(Change::Node(Node {
            pod_cidrs: vec![network.into()],
            ..node(&[ip])
        }));
        let (view, settings) = (cluster.0.node(), cluster.0.settings());
        assert_eq!(texts(&view.ips), [ip]);
        let expected = LocalDetector::Network(network.parse().unwrap());
        assert_eq!(settings.detector(V4, view), Some(expected));
        assert_eq!(cluster.take_dirty(), ["ns/web"]);
    };
    step("192.0.2.10", "10.1.0.0/24");
    step("192.0.2.11", "10.1.0.0/24");
    step("192.0.2.11", "10.1.7.0/24");
}

#[test]
fn the_given_address_comes_first_then_the_nodes_own() {
    type Row<'a> = (Option<&'a str>, &'a [&'a str], &'a [&'a str], Family);
    let (four, six) = ("192.0.2.10", "2001:db8::10");
    let rows: [Row; 12] = [
        (Some("192.0.2.7"), &[], &["192.0.2.7"], V4),
        (Some("2001:db8::7"), &[], &["2001:db8::7"], V6),
        (None, &[], &[], V4),
        (None, &[four], &[four], V4),
        (None, &[six], &[six], V6),
        (None, &[four, six], &[four, six], V4),
        (None, &[six, four], &[six, four], V6),
        (Some("192.0.2.7"), &[four, six], &["192.0.2.7", six], V4),
        (Some("192.0.2.7"), &[six, four], &["192.0.2.7", six], V4),
        (
            Some("2001:db8::7"),
            &[four, six],
            &["2001:db8::7", four],
            V6,
        ),
        (Some("127.0.0.1"), &[six, four], &["127.0.0.1", six], V4),
        (Some("::1"), &[four, six], &["::1", four], V6),
    ];
    for (given, of_node, ips, primary) in rows {
        let mut cluster = build::cluster_with(Settings {
            node_name: HERE.into(),
            node_ip: given.map(|ip| ip.parse().unwrap()),
            ..Settings::default()
        });
        if !of_node.is_empty() {
            cluster.tell(Change::Node(node(of_node)));
        }
        let view = cluster.0.node();
        assert_eq!(texts(&view.ips), ips, "{given:?} {of_node:?}");
        assert_eq!(view.primary_family(), primary, "{given:?} {of_node:?}");
    }
}
