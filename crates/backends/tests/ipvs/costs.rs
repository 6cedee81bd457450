//! What changes cost, in messages.

use fairlead_core::api::Change;
use fairlead_core::report::Report;

use crate::build::{service, slice};
use crate::node::{Fakes, Node};

fn web(n: u32, endpoints: u32, skip: Option<u32>) -> [Change; 2] {
    let ips = (1..=endpoints).filter(|at| Some(*at) != skip);
    let ips: Vec<String> = ips
        .map(|at| format!("10.{n}.{}.{}", at >> 8, at & 255))
        .collect();
    let ips: Vec<&str> = ips.iter().map(String::as_str).collect();
    let name = format!("web-{n}");
    [
        service(&name, &format!("10.96.0.{n}")).tcp(80).into(),
        slice(&name, &name).tcp(8080).endpoints(&ips).into(),
    ]
}

/// What a change costs in a cluster of so many Services.
fn cost(services: u32, before: [Change; 2], after: [Change; 2]) -> Report {
    let others = (2..2 + services).flat_map(|n| web(n, 3, None));
    let mut node = Node::settled(Fakes::default(), others.chain(before));
    node.change(after)
}

#[test]
fn nothing_costs_nothing() {
    assert_eq!(cost(3, web(1, 3, None), web(1, 3, None)).operations, 0);
}

#[test]
fn an_endpoint_costs_the_same_in_any_cluster_and_among_any_number() {
    for (services, endpoints) in [(0, 3), (100, 3), (3, 1000)] {
        let added = cost(
            services,
            web(1, endpoints, Some(2)),
            web(1, endpoints, None),
        );
        let replaced = cost(
            services,
            web(1, endpoints, Some(1)),
            web(1, endpoints, Some(2)),
        );
        let removed = cost(
            services,
            web(1, endpoints, None),
            web(1, endpoints, Some(2)),
        );
        let messages = [&added, &replaced, &removed].map(|report| report.messages);
        assert_eq!(
            messages,
            [1, 2, 1],
            "{services} Services of {endpoints} endpoints"
        );
        assert!([added, replaced, removed].iter().all(|report| !report.full));
    }
}

#[test]
fn a_service_costs_what_it_has() {
    let costs = [1, 100].map(|services| {
        let others = (2..2 + services).flat_map(|n| web(n, 3, None));
        let mut node = Node::settled(Fakes::default(), others);
        node.change(web(1, 3, None)).operations
    });
    assert_eq!(costs[0], costs[1]);
}
