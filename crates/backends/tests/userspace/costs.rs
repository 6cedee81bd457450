//! What changes cost.

use fairlead_core::api::{Change, Kind};
use fairlead_core::report::Report;

use crate::build::{deleted, service, slice};
use crate::node::{Fakes, Node};

fn web(n: u32, endpoints: &[u32]) -> [Change; 2] {
    let (high, low) = (n >> 8, n & 255);
    let ips: Vec<String> = endpoints
        .iter()
        .map(|at| format!("10.{}.{}.{}", 1 + high, low, at))
        .collect();
    let ips: Vec<&str> = ips.iter().map(String::as_str).collect();
    let name = format!("web-{n}");
    [
        service(&name, &format!("10.96.{high}.{low}"))
            .tcp(80)
            .into(),
        slice(&name, &name).tcp(8080).endpoints(&ips).into(),
    ]
}

fn gone(n: u32) -> [Change; 2] {
    let name = format!("web-{n}");
    [
        deleted(Kind::Service, &name),
        deleted(Kind::EndpointSlice, &name),
    ]
}

/// What changes cost, one after the other, among so many other Services.
fn costs<const N: usize>(services: u32, changes: [[Change; 2]; N]) -> [Report; N] {
    let others = (2..2 + services).flat_map(|n| web(n, &[1, 2, 3]));
    let mut node = Node::settled(Fakes::default(), others);
    changes.map(|change| node.change(change))
}

#[test]
fn nothing_costs_nothing() {
    let [_, again] = costs(3, [web(1, &[1, 2]), web(1, &[1, 2])]);
    assert_eq!(again.operations, 0);
}

#[test]
fn an_endpoint_costs_one_word_to_the_relay_and_none_to_the_kernel() {
    for services in [0, 10, 100, 1000] {
        let [_, replaced, added, removed] = costs(
            services,
            [
                web(1, &[1, 2]),
                web(1, &[1, 3]),
                web(1, &[1, 3, 4]),
                web(1, &[4]),
            ],
        );
        for report in [replaced, added, removed] {
            assert_eq!((report.operations, report.messages), (1, 0), "{services}");
            assert!(!report.full);
        }
    }
}

#[test]
fn a_service_costs_what_it_has_in_any_cluster() {
    let cost = |report: &Report| (report.operations, report.messages);
    let costs = [10, 100, 1000].map(|services| {
        let there = [web(1, &[1, 2]), gone(1), web(1, &[1, 2]), gone(1)];
        let [_, first_gone, added, removed] = costs(services, there);
        assert_eq!(cost(&first_gone), cost(&removed));
        [cost(&added), cost(&removed)]
    });
    assert_eq!(costs[0], costs[1]);
    assert_eq!(costs[0], costs[2]);
    // Endpoints and a listener; a cluster IP, where it leads, and to which port.
    assert_eq!(costs[0].map(|(operations, _)| operations), [5, 5]);
}

#[test]
fn endpoints_that_come_and_go_cost_no_chain() {
    let all: [Change; 2] = web(1, &[1]);
    let [_, none, some] = costs(3, [all.clone(), web(1, &[]), all]);
    // Where it leads, the port, and who refuses; endpoints and a listener.
    assert_eq!([none.operations, some.operations], [5, 5]);
}
