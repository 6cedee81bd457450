//! What is told of Services' traffic.

use fairlead_backends::nftables::table;
use fairlead_core::address::{Family, Protocol};
use fairlead_kernel::nft::ruleset::Bytes;

use super::node::{Node, service, slice};

/// A node with Services that were used: `api` for one connection and `web` for two, of a packet
/// of 40 bytes there and one of 1500 back each.
fn used() -> Node {
    let mut node = Node::new();
    for (at, ip) in [("api", "10.96.0.1"), ("web", "10.96.0.2")] {
        node.tell(service(at, ip, false));
        node.tell(slice(at, "here", &["10.1.0.1"], None));
    }
    node.queue_and_sync();
    for ip in ["10.96.0.1", "10.96.0.2", "10.96.0.2"] {
        let to = |key: Bytes| {
            let key = key.address(ip.parse().unwrap());
            key.protocol(Protocol::Tcp.number()).port(80)
        };
        for (set, key, bytes) in [
            ("connections", to(Bytes::new()), 40),
            ("traffic", to(Bytes::new().direction(0)), 40),
            ("traffic", to(Bytes::new().direction(1)), 1500),
        ] {
            let counted = node
                .kernel()
                .count_element(table(Family::V4), set, &key, bytes);
            counted.unwrap();
        }
    }
    let refused = node.kernel().count(table(Family::V6), "no-such-port", 60);
    refused.unwrap();
    node
}

/// The values of a Service: connections, then packets and bytes from its clients and to them.
fn values(node: &Node, namespace: &str, service: &str) -> [f64; 5] {
    let name = format!("namespace={namespace},service={service}");
    let directed = |metric: &str, direction: &str| {
        let metric = format!("fairlead_service_{metric}_total");
        node.value(&metric, &format!("direction={direction},{name}"))
    };
    [
        node.value("fairlead_service_connections_total", &name),
        directed("packets", "original"),
        directed("bytes", "original"),
        directed("packets", "reply"),
        directed("bytes", "reply"),
    ]
}

#[test]
fn services_are_told_by_name() {
    let mut node = used();
    node.count_traffic(10);
    assert_eq!(values(&node, "ns", "api"), [1.0, 1.0, 40.0, 1.0, 1500.0]);
    assert_eq!(values(&node, "ns", "web"), [2.0, 2.0, 80.0, 2.0, 3000.0]);
    assert_eq!(values(&node, "", "others"), [0.0; 5]);
    let dropped = "fairlead_dropped_packets_total";
    assert_eq!(node.value(dropped, "reason=no-such-port"), 1.0);
    assert_eq!(node.value(dropped, "reason=no-endpoint"), 0.0);
}

#[test]
fn no_more_services_are_told_than_are_wanted() {
    let mut node = used();
    node.count_traffic(1);
    assert_eq!(values(&node, "ns", "web"), [2.0, 2.0, 80.0, 2.0, 3000.0]);
    assert_eq!(values(&node, "", "others"), [1.0, 1.0, 40.0, 1.0, 1500.0]);
    let text = node.metrics.text().unwrap();
    assert!(!text.contains("\"api\""), "{text}");
}

#[test]
fn a_service_without_endpoints_is_told_what_it_refused() {
    let mut node = Node::new();
    node.tell(service("idle", "10.96.0.1", false));
    node.queue_and_sync();
    let key = Bytes::new().address("10.96.0.1".parse().unwrap());
    let key = key.protocol(Protocol::Tcp.number()).port(80);
    for _ in 0..3 {
        let table = table(Family::V4);
        let counted = node
            .kernel()
            .count_element(table, "no-endpoint-services", &key, 60);
        counted.unwrap();
    }
    node.count_traffic(10);
    let refused = "fairlead_service_refused_packets_total";
    assert_eq!(node.value(refused, "namespace=ns,service=idle"), 3.0);
    assert_eq!(node.value(refused, "namespace=,service=others"), 0.0);
}
