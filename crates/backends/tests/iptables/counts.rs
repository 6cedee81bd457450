//! How many rules there are, by Services and endpoints: what kube-proxy tells of its own.

use std::net::Ipv4Addr;

use fairlead_core::api::Change;
use fairlead_core::settings::{DetectLocal, Settings};

use crate::any::never;
use crate::build::{service, slice};
use crate::node::{Node, empty, settings};

fn node() -> Node {
    let mut node = Node::new(empty(), never());
    node.model.set_settings(Settings {
        detect_local: DetectLocal::ClusterCidr(vec!["10.0.0.0/8".parse().unwrap()]),
        ..settings()
    });
    node
}

/// The address with this number in a network of /16.
fn ip(first: u8, number: usize) -> String {
    let number = number as u16;
    Ipv4Addr::new(10, first, (number >> 8) as u8, number as u8).to_string()
}

fn endpoints(service: usize, count: usize) -> Vec<String> {
    (0..count).map(|n| ip(1, 1 + 100 * service + n)).collect()
}

fn services(count: usize, endpoint_count: usize, balanced: bool) -> Vec<Change> {
    let mut changes = Vec::new();
    for n in 0..count {
        let name = format!("svc{n}");
        let plain = service(&name, &ip(96, 1 + n)).tcp(80);
        let one = match balanced {
            false => plain,
            true => {
                let address = format!("203.0.113.{}", 1 + n);
                plain
                    .node_port(30_000 + i32::try_from(n).unwrap())
                    .balanced(&address)
                    .ranges(&["198.51.100.0/24"])
            }
        };
        changes.push(Change::Service(one.0));
        let endpoints = endpoints(n, endpoint_count);
        let endpoints: Vec<&str> = endpoints.iter().map(String::as_str).collect();
        changes.push(Change::EndpointSlice(
            slice(&format!("{name}-1"), &name)
                .tcp(8080)
                .endpoints(&endpoints)
                .0,
        ));
    }
    changes
}

/// The rules of filter and nat for IPv4.
fn counted(changes: Vec<Change>) -> (usize, usize) {
    let mut node = node();
    node.apply(changes);
    let report = node.sync().unwrap();
    let total = |table| {
        let mut counts = report.rules.iter();
        let of =
            counts.find(|of| of.table == table && of.family == fairlead_core::address::Family::V4);
        let of = of.unwrap();
        assert_eq!(of.total, of.written, "a first sync writes all");
        of.total
    };
    (total("filter"), total("nat"))
}

#[test]
fn cluster_ips() {
    let expected = [
        ((0, 0), (4, 5)),
        ((1, 0), (5, 5)),
        ((1, 1), (4, 10)),
        ((1, 2), (4, 13)),
        ((1, 10), (4, 37)),
        ((10, 0), (14, 5)),
        ((10, 1), (4, 55)),
        ((10, 2), (4, 85)),
        ((10, 10), (4, 325)),
    ];
    for ((count, endpoints), rules) in expected {
        assert_eq!(
            counted(services(count, endpoints, false)),
            rules,
            "{count} x {endpoints}"
        );
    }
}

/// kube-proxy's figures, and one rule a Service more, which counts connections to node ports on
/// localhost where the kernel can count them.
#[test]
fn load_balancers() {
    let expected = [
        ((1, 0), (4 + 3, 5)),
        ((1, 1), (5, 5 + 11)),
        ((1, 2), (5, 5 + 14)),
        ((1, 10), (5, 5 + 38)),
        ((10, 0), (4 + 30, 5)),
        ((10, 1), (14, 5 + 110)),
        ((10, 10), (14, 5 + 380)),
    ];
    for ((count, endpoints), (filter, nat)) in expected {
        let served = if endpoints > 0 { count } else { 0 };
        let rules = (filter, nat + served);
        assert_eq!(
            counted(services(count, endpoints, true)),
            rules,
            "{count} x {endpoints}"
        );
    }
}

#[test]
fn what_is_told_follows_what_changes() {
    let mut node = node();
    node.apply(services(2, 2, false));
    node.sync().unwrap();
    let nat = |report: &fairlead_core::report::Report| {
        let mut counts = report.rules.iter();
        let of =
            counts.find(|of| of.table == "nat" && of.family == fairlead_core::address::Family::V4);
        of.map(|of| (of.total, of.written)).unwrap()
    };
    let mut steps = Vec::new();
    for changes in [
        services(3, 2, false),
        services(1, 1, false),
        services(1, 0, false),
    ] {
        node.apply(changes);
        steps.push(nat(&node.sync().unwrap()));
    }
    // A third Service; the first loses an endpoint, then its last: its chains go.
    assert_eq!(steps, [(5 + 3 * 8, 8), (5 + 2 * 8 + 5, 2), (5 + 2 * 8, 0)]);
    node.engine.distrust();
    assert_eq!(nat(&node.sync().unwrap()), (5 + 2 * 8, 5 + 2 * 8));
}
