//! What changes cost, in operations and messages.

use fairlead_core::api::{Change, Kind, TrafficPolicy};
use fairlead_core::report::Report;
use fairlead_kernel::nft::fake::FakeNft;

use crate::any::never;
use crate::build::{name, service, slice};
use crate::kernel::Node;

/// A Service with one port, and `count` endpoints from 10.1.0.1 on, of which `skip` is missing.
fn web(count: u32, skip: Option<u32>) -> [Change; 2] {
    let endpoints: Vec<String> = (1..=count)
        .filter(|n| Some(*n) != skip)
        .map(|n| format!("10.1.{}.{}", n >> 8, n & 255))
        .collect();
    let endpoints: Vec<&str> = endpoints.iter().map(String::as_str).collect();
    [
        Change::Service(service("web", "10.96.0.1").tcp(80).0),
        Change::EndpointSlice(slice("web-a", "web").tcp(8080).endpoints(&endpoints).0),
    ]
}

fn cost_of(from: impl IntoIterator<Item = Change>, to: impl IntoIterator<Item = Change>) -> Report {
    let mut node = Node::settled(FakeNft::new(), from);
    for change in to {
        node.model.apply(change);
    }
    node.sync().unwrap()
}

#[test]
fn nothing_costs_nothing() {
    let report = cost_of(web(3, None), web(3, None));
    assert_eq!(
        (report.services, report.operations, report.messages),
        (0, 0, 0)
    );
}

#[test]
fn an_endpoint_that_goes_costs_the_same_at_any_number_of_endpoints() {
    let costs =
        [10, 100, 1000].map(|count| cost_of(web(count, None), web(count, Some(5))).operations);
    // Its slot is given to the last, whose slot goes; the Service is sent to the chain for one
    // endpoint less, which is new.
    assert_eq!(costs[0], costs[1]);
    assert_eq!(costs[1], costs[2]);
}

#[test]
fn an_endpoint_replaced_costs_two_operations() {
    let from = web(10, Some(10));
    let report = cost_of(from, web(10, Some(3)));
    assert_eq!(report.operations, 2, "{report:?}");
}

#[test]
fn a_start_costs_the_rules_and_the_elements_that_differ() {
    // What a start on a kernel that has the one costs, when the cluster has the other.
    let start = |there: [Change; 2], wanted: [Change; 2]| {
        let kernel = Node::settled(FakeNft::new(), there).kernel().clone();
        let mut node = Node::new(kernel, never());
        for change in wanted {
            node.model.apply(change);
        }
        node.sync().unwrap().operations
    };
    let [rules, with_a_thousand] =
        [10, 1000].map(|count| start(web(count, None), web(count, None)));
    assert_eq!(rules, with_a_thousand);
    let replaced = start(web(10, Some(10)), web(10, Some(3)));
    assert_eq!(replaced, rules + 2);
}

#[test]
fn a_start_leaves_endpoints_where_they_are_if_one_is_for_local_traffic_alone() {
    // Within the cluster the first is not chosen: another node is said to be nearer to it.
    let endpoints = [
        "10.1.0.1 here node=node-b",
        "10.1.0.2 node=node-a",
        "10.1.0.3 node=node-a",
    ];
    let web = service("web", "10.96.0.1").tcp(80).node_port(30080);
    let sticky = web.sticky(None).external_local();
    let slice = slice("web-a", "web").tcp(8080).endpoints(&endpoints);
    let changes: [Change; 2] = [sticky.into(), slice.into()];
    let mut before = Node::settled(FakeNft::new(), changes.clone());
    let kernel = before.kernel().clone();
    assert!(
        kernel
            .dump()
            .contains("10.96.0.1 . tcp . 80 . 1 : 10.1.0.2"),
        "{}",
        kernel.dump()
    );
    let mut after = Node::settled(kernel.clone(), changes);
    assert_eq!(after.kernel().dump(), kernel.dump());
}

#[test]
fn services_do_not_add_chains_or_sets() {
    let services = |count: u32| {
        (0..count).flat_map(|n| {
            let (service_name, slice_name) = (format!("web-{n}"), format!("web-{n}-a"));
            let ip = format!("10.96.{}.{}", n >> 8, n & 255);
            [
                Change::Service(service(&service_name, &ip).tcp(80).0),
                Change::EndpointSlice(
                    slice(&slice_name, &service_name)
                        .tcp(8080)
                        .endpoints(&["10.1.0.1", "10.1.0.2"])
                        .0,
                ),
            ]
        })
    };
    let objects = |count| {
        let mut node = Node::settled(FakeNft::new(), services(count));
        let table = fairlead_backends::nftables::table(fairlead_core::address::Family::V4);
        let observed = fairlead_kernel::nft::handle::Nft::observe(node.kernel(), table)
            .unwrap()
            .unwrap();
        (observed.chains.len(), observed.sets.len())
    };
    assert_eq!(objects(10), objects(1000));
}

#[test]
fn a_service_deleted_leaves_nothing() {
    let mut node = Node::settled(FakeNft::new(), []);
    let empty = node.kernel().dump();
    for change in web(3, None) {
        node.model.apply(change);
    }
    node.settle();
    node.model
        .apply(Change::Deleted(Kind::Service, name("web")));
    node.model
        .apply(Change::Deleted(Kind::EndpointSlice, name("web-a")));
    node.settle();
    assert_eq!(node.kernel().dump(), empty);
}

#[test]
fn two_services_share_an_endpoint_until_both_are_gone() {
    let both = |services: &[&str]| {
        services
            .iter()
            .enumerate()
            .flat_map(|(n, service_name)| {
                let ip = format!("10.96.0.{}", n + 1);
                [
                    Change::Service(service(service_name, &ip).tcp(80).0),
                    Change::EndpointSlice(
                        slice(&format!("{service_name}-a"), service_name)
                            .tcp(8080)
                            .endpoints(&["10.1.0.1 here"])
                            .0,
                    ),
                ]
            })
            .collect::<Vec<_>>()
    };
    let mut node = Node::settled(FakeNft::new(), both(&["one", "two"]));
    let table = fairlead_backends::nftables::table(fairlead_core::address::Family::V4);
    let hairpins = |node: &mut Node| node.kernel().elements(table, "hairpin-connections").len();
    assert_eq!(hairpins(&mut node), 1);
    node.model
        .apply(Change::Deleted(Kind::Service, name("one")));
    node.settle();
    assert_eq!(hairpins(&mut node), 1);
    node.model
        .apply(Change::Deleted(Kind::Service, name("two")));
    node.settle();
    assert_eq!(hairpins(&mut node), 0);
}

#[test]
fn a_policy_that_changes_leaves_the_slots() {
    let external = |policy| {
        let mut changes = web(5, None);
        if let Change::Service(service) = &mut changes[0] {
            service.external_ips = vec!["203.0.113.1".to_owned()];
            service.external_policy = policy;
        }
        changes
    };
    let report = cost_of(
        external(TrafficPolicy::Cluster),
        external(TrafficPolicy::Local),
    );
    // No endpoint is on this node: only where the external address leads is different.
    assert!(report.operations < 12, "{report:?}");
}
