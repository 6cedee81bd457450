//! What changes cost, in operations.

use std::fmt::Write;

use fairlead_core::api::{Change, Kind};
use fairlead_core::report::Report;

use crate::build::{name, service, slice};
use crate::node::{Node, empty};

/// A Service with endpoints.
fn web(at: &str, ip: &str, endpoints: &[&str]) -> [Change; 2] {
    let slice = slice(&format!("{at}-1"), at).tcp(8080).endpoints(endpoints);
    [
        Change::Service(service(at, ip).tcp(80).0),
        Change::EndpointSlice(slice.0),
    ]
}

/// So many other Services.
fn others(count: usize) -> Vec<Change> {
    let other = |n: usize| {
        let (mut ip, mut endpoint) = (String::new(), String::new());
        let _ = write!(ip, "10.97.{}.{}", n / 200, 1 + n % 200);
        let _ = write!(endpoint, "10.2.{}.{}", n / 200, 1 + n % 200);
        web(&format!("other-{n}"), &ip, &[&endpoint])
    };
    (0..count).flat_map(other).collect()
}

fn cost_of(from: impl IntoIterator<Item = Change>, to: impl IntoIterator<Item = Change>) -> Report {
    let mut node = Node::settled(empty(), from);
    node.apply(to);
    node.sync().unwrap()
}

#[test]
fn nothing_costs_nothing() {
    let there = || web("web", "10.96.0.1", &["10.1.0.1"]);
    let report = cost_of(there(), there());
    assert_eq!(
        (report.services, report.operations, report.messages),
        (0, 0, 0)
    );
}

#[test]
fn an_endpoint_that_goes_costs_the_same_among_any_number_of_services() {
    let costs = [0, 10, 100].map(|count| {
        let there = web("web", "10.96.0.1", &["10.1.0.1", "10.1.0.2", "10.1.0.3"]);
        let from = others(count).into_iter().chain(there);
        cost_of(from, web("web", "10.96.0.1", &["10.1.0.1", "10.1.0.2"])).operations
    });
    // The Service's chain is declared and has a rule for each endpoint; the chain of the one that
    // went is emptied and removed.
    assert_eq!(costs, [1 + 2 + 2; 3]);
}

#[test]
fn a_service_costs_the_same_among_any_number_of_others() {
    let costs = [0, 10, 100].map(|count| {
        let new = web("web", "10.96.0.1", &["10.1.0.1"]);
        let arrival = cost_of(others(count), new.clone()).operations;
        let from = others(count).into_iter().chain(new);
        let departure = cost_of(from, [Change::Deleted(Kind::Service, name("web"))]).operations;
        (arrival, departure)
    });
    // A chain of one rule and one of two, and a rule in KUBE-SERVICES.
    assert_eq!(costs, [((1 + 1) + (1 + 2) + 1, 1 + 2 * 2); 3]);
}

#[test]
fn a_service_that_loses_its_last_endpoint_moves_from_nat_to_filter() {
    let report = cost_of(
        web("web", "10.96.0.1", &["10.1.0.1"]),
        web("web", "10.96.0.1", &[]),
    );
    // A rule out of nat KUBE-SERVICES and one into filter KUBE-SERVICES, two chains gone.
    assert_eq!(report.operations, 1 + 1 + 2 * 2);
}
