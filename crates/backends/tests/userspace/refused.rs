//! What the system refuses keeps nobody else waiting.

use fairlead_core::api::{Change, Kind};
use fairlead_kernel::routing::{Routing, RoutingOp};
use fairlead_relay::handle::Relay;

use crate::build::{deleted, name, service, slice};
use crate::node::{Fakes, Node};

fn web(n: u8) -> [Change; 2] {
    let name = format!("web-{n}");
    let slice = slice(&name, &name).tcp(8080);
    [
        service(&name, &format!("10.96.0.{n}")).tcp(80).into(),
        slice.endpoints(&[&format!("10.1.0.{n}")]).into(),
    ]
}

fn limited(listeners: usize) -> Fakes {
    let mut fakes = Fakes::default();
    fakes.relay.limit = Some(listeners);
    fakes
}

#[test]
fn a_service_for_which_nobody_can_listen_is_left_out_and_named() {
    let mut node = Node::settled(limited(2), [web(1), web(2)].concat());
    let report = node.change([web(3), web(4)].concat());
    let told: Vec<_> = report
        .excluded
        .iter()
        .map(|it| it.service.clone())
        .collect();
    assert_eq!(told, [name("web-3"), name("web-4")]);
    let why = &report.excluded[0].why;
    assert!(why.contains("listen at tcp 127.0.0.1:"), "{why}");
    assert!(why.contains("Too many open files"), "{why}");
    // The others are served, and go on to be.
    assert_eq!(
        (node.ports("web-1").len(), node.ports("web-2").len()),
        (1, 1)
    );
    node.change([slice("web-1", "web-1")
        .tcp(8080)
        .endpoints(&["10.1.0.9"])
        .into()]);
    assert_eq!(
        node.upstream("web-1").unwrap().cluster[0].to_string(),
        "10.1.0.9:8080"
    );
    assert_eq!(
        (node.upstream("web-3"), node.upstream("web-4")),
        (None, None)
    );
}

#[test]
fn who_was_left_out_is_tried_again() {
    let mut node = Node::settled(limited(1), web(1));
    assert_eq!(node.change(web(2)).excluded.len(), 1);
    node.wait(31);
    assert_eq!(node.sync().unwrap().excluded.len(), 1);
    node.relay().limit = None;
    node.wait(31);
    assert_eq!(node.sync().unwrap().excluded.len(), 0);
    assert_eq!(node.ports("web-2").len(), 1);
    // Or when it changes.
    node.relay().limit = Some(2);
    assert_eq!(node.change(web(3)).excluded.len(), 1);
    node.relay().limit = None;
    assert_eq!(
        node.change([service("web-3", "10.96.0.3").tcp(81).into()])
            .excluded
            .len(),
        0
    );
}

/// One more listener is needed, and there cannot be one: it is not served as it was, which its new
/// policy forbids.
#[test]
fn a_service_that_needs_one_more_is_left_out_as_a_whole() {
    let mut node = Node::settled(limited(1), web(1));
    let local = service("web-1", "10.96.0.1")
        .tcp(80)
        .node_port(30080)
        .external_local();
    let both = slice("web-1", "web-1")
        .tcp(8080)
        .endpoints(&["10.1.0.1 here", "10.1.1.1"]);
    let report = node.change([local.into(), both.into()]);
    assert_eq!(report.excluded.len(), 1);
    assert_eq!(node.relay().observe().listeners.len(), 0);
}

#[test]
fn a_service_that_is_gone_is_not_told_of_any_more() {
    let mut node = Node::settled(limited(0), []);
    assert_eq!(node.change(web(1)).excluded.len(), 1);
    let [one, other] = [Kind::Service, Kind::EndpointSlice].map(|kind| deleted(kind, "web-1"));
    assert_eq!(node.change([one, other]).excluded.len(), 0);
}

#[test]
fn no_service_is_to_blame_for_the_routing() {
    let mut node = Node::settled(Fakes::default(), web(1));
    let there = node.meaning();
    let rule = *node.routing().rules.first().unwrap();
    node.routing()
        .apply(&[RoutingOp::DeleteRule(rule)])
        .unwrap();
    node.routing().refuse.insert(RoutingOp::AddRule(rule), 1);
    node.engine.distrust();
    let failed = node.sync().unwrap_err().to_string();
    assert!(
        failed.contains("fwmark 0x1000/0x5000 iif lo goto 101"),
        "{failed}"
    );
    node.routing().refuse.clear();
    node.settle();
    assert_eq!(node.meaning(), there);
}

#[test]
fn nothing_is_brought_anywhere_before_the_routing_keeps_it_here() {
    let mut node = Node::with(Fakes::default(), crate::node::settings());
    node.routing().loopback_is_down = true;
    node.apply(web(1));
    assert!(node.sync().is_err());
    assert_eq!(node.nft().dump(), "");
    node.routing().loopback_is_down = false;
    node.settle();
    assert_eq!(node.ports("web-1").len(), 1);
}
