//! With many endpoints their rules have no comments.

use fairlead_core::api::Change;

use crate::build::{service, slice};
use crate::node::{Node, empty};

/// A Service with so many endpoints.
fn web(at: &str, ip: &str, count: usize) -> [Change; 2] {
    let endpoint = |n: usize| format!("10.1.{}.{}", n / 250, 1 + n % 250);
    let endpoints: Vec<String> = (0..count).map(endpoint).collect();
    let endpoints: Vec<&str> = endpoints.iter().map(String::as_str).collect();
    let slice = slice(&format!("{at}-1"), at)
        .tcp(8080)
        .endpoints(&endpoints);
    [
        Change::Service(service(at, ip).tcp(80).0),
        Change::EndpointSlice(slice.0),
    ]
}

/// How many rules of endpoints name the Service.
fn comments(save: &str, service: &str) -> usize {
    let of_endpoints = save.lines().filter(|line| line.contains("-j DNAT"));
    of_endpoints
        .filter(|line| line.contains(&format!("\"ns/{service}\"")))
        .count()
}

#[test]
fn a_thousand_are_not_many_and_one_more_is() {
    for (count, commented) in [(1000, 1000), (1001, 0)] {
        let mut node = Node::settled(empty(), web("web", "10.96.0.1", count));
        let save = node.save();
        assert_eq!(comments(&save, "web"), commented, "{count}");
        let of_service = save
            .lines()
            .filter(|line| line.contains("ns/web cluster IP"));
        // Other rules keep theirs.
        assert_eq!(of_service.count(), 1, "{count}");
    }
}

#[test]
fn services_that_do_not_change_keep_their_comments_until_all_is_written_anew() {
    let mut node = Node::settled(empty(), web("before", "10.96.0.1", 1000));
    node.apply(web("last-drop", "10.96.0.2", 1));
    node.sync().unwrap();
    let save = node.save();
    assert_eq!(
        (comments(&save, "before"), comments(&save, "last-drop")),
        (1000, 0)
    );
    node.engine.distrust();
    node.sync().unwrap();
    assert_eq!(comments(&node.save(), "before"), 0);
}

/// All would be written anew, for nothing.
#[test]
fn many_are_not_gone_through_because_it_is_time() {
    for (count, is_full) in [(1000, true), (1001, false)] {
        let mut node = Node::settled(empty(), web("web", "10.96.0.1", count));
        node.engine.routine();
        assert_eq!(node.engine.next_is_full(), is_full, "{count}");
    }
}
