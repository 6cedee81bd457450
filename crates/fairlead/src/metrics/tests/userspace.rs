//! What is told in userspace mode alone.

use std::sync::{Arc, Mutex};

use fairlead_core::address::{Family, Protocol};
use fairlead_core::api::ObjectName;
use fairlead_core::model::ServicePortName;
use fairlead_relay::counts::{Counts, Present, Refused, Sums, UpstreamCounts};
use fairlead_relay::handle::UpstreamName;

use super::node::Node;
use crate::config::Mode;

/// What a relay counted: of each port of a Service so many connections, and twice as many bytes.
pub(super) fn counts(ports: &[(&str, &str, Family, u64)]) -> Counts {
    let of = |(service, port, family, connections): &(&str, &str, Family, u64)| {
        let name = UpstreamName {
            port: ServicePortName {
                service: ObjectName::new("ns", service),
                port: (*port).into(),
                protocol: Protocol::Tcp,
            },
            family: *family,
        };
        let mut sums = Sums {
            connections: *connections,
            bytes_from_clients: 2 * connections,
            ..Sums::default()
        };
        sums.refused[Refused::NoAnswer.rank()] = 1;
        let now = Present {
            connections: 1,
            ..Present::default()
        };
        (name, UpstreamCounts { sums, now })
    };
    Counts {
        upstreams: ports.iter().map(of).collect(),
        max_connections: 500,
    }
}

/// A node whose relay counts what is put there, and so many Services that are told.
fn node(services: usize) -> (Node, Arc<Mutex<Counts>>) {
    let node = Node::in_mode(Mode::Userspace);
    let counted = Arc::new(Mutex::new(Counts::default()));
    let read = Arc::clone(&counted);
    let registered = node
        .metrics
        .relayed(Box::new(move || read.lock().unwrap().clone()), services);
    registered.unwrap();
    (node, counted)
}

/// Connections ever and now, and bytes from clients.
fn told(node: &Node, namespace: &str, service: &str) -> [f64; 3] {
    let name = format!("namespace={namespace},service={service}");
    [
        node.value("fairlead_userspace_connections_total", &name),
        node.value("fairlead_userspace_connections", &name),
        node.value(
            "fairlead_userspace_bytes_total",
            &format!("direction=original,{name}"),
        ),
    ]
}

#[test]
fn a_service_is_told_with_all_its_ports_and_families() {
    let (node, counted) = node(10);
    *counted.lock().unwrap() = counts(&[
        ("web", "http", Family::V4, 3),
        ("web", "http", Family::V6, 4),
        ("web", "metrics", Family::V4, 5),
        ("api", "", Family::V4, 1),
    ]);
    assert_eq!(told(&node, "ns", "web"), [12.0, 3.0, 24.0]);
    assert_eq!(told(&node, "ns", "api"), [1.0, 1.0, 2.0]);
    assert_eq!(told(&node, "", "others"), [0.0; 3]);
    let refused = "namespace=ns,reason=no-answer,service=web";
    assert_eq!(node.value("fairlead_userspace_refused_total", refused), 3.0);
    assert_eq!(node.value("fairlead_userspace_max_connections", ""), 500.0);
}

#[test]
fn no_more_services_are_told_than_are_wanted() {
    let (node, counted) = node(1);
    let all = [("api", "", Family::V4, 1), ("web", "", Family::V4, 5)];
    *counted.lock().unwrap() = counts(&all);
    assert_eq!(told(&node, "ns", "web"), [5.0, 1.0, 10.0]);
    assert_eq!(told(&node, "", "others"), [1.0, 1.0, 2.0]);

    // It keeps its place, though the other one is busier now.
    *counted.lock().unwrap() = counts(&[("api", "", Family::V4, 100), ("web", "", Family::V4, 6)]);
    assert_eq!(told(&node, "ns", "web"), [6.0, 1.0, 12.0]);
    assert_eq!(told(&node, "", "others"), [100.0, 1.0, 200.0]);

    // Until it goes. What was counted before stays where it was told.
    *counted.lock().unwrap() = counts(&[("api", "", Family::V4, 103)]);
    assert_eq!(told(&node, "ns", "api"), [3.0, 1.0, 6.0]);
    assert_eq!(told(&node, "", "others"), [100.0, 0.0, 200.0]);
}

#[test]
fn syncs_that_fail_are_counted() {
    let mut node = Node::in_mode(Mode::Userspace);
    node.fail(true);
    node.queue_and_sync();
    let failures = "fairlead_userspace_sync_failures_total";
    let both = Family::BOTH.map(|family| node.value(failures, &format!("ip_family={family}")));
    assert_eq!(both, [1.0; 2]);
}
