//! What an endpoint is: its address, its conditions, its place; and who is told of it.

mod build;

use build::{Cluster, addresses, cluster, endpoint, name, service, slice, texts, web_1, with_web};
use fairlead_core::address::Family::{V4, V6};
use fairlead_core::address::Protocol::{Tcp, Udp};
use fairlead_core::api::Endpoint;
use fairlead_core::model::Model;
use fairlead_core::settings::Settings;

#[test]
fn only_the_first_address_of_an_endpoint_counts() {
    let mut slice = web_1().endpoints(&[""]);
    slice.0.endpoints[0].addresses.push("10.1.0.9".to_owned());
    let mut cluster = with_web();
    assert_eq!(cluster.tell(slice), []);
    assert_eq!(cluster.pool("web"), ["10.1.0.1:8080"]);
}

#[test]
fn an_endpoint_address_that_is_none_is_left_out_and_reported() {
    for odd in ["10.1.0.300", "web.example", "fd00::5"] {
        let mut slice = web_1();
        slice.0.endpoints.insert(0, endpoint(odd));
        let mut cluster = with_web();
        let problems = texts(cluster.tell(slice));
        assert_eq!(problems.len(), 1, "{odd}");
        let field = "EndpointSlice ns/web-1: endpoints[0].addresses[0]: ";
        assert!(problems[0].starts_with(field), "{}", problems[0]);
        assert_eq!(cluster.pool("web"), ["10.1.0.1:8080"], "{odd}");
    }
}

#[test]
fn endpoint_addresses_are_read_as_the_api_writes_them() {
    let slice = slice("web-1", "web")
        .tcp(8080)
        .endpoints(&["10.180.00.001"]);
    assert_eq!(with_web().with(slice).pool("web"), ["10.180.0.1:8080"]);
}

#[test]
fn conditions_that_are_absent_have_the_defaults_of_the_api() {
    let (yes, no) = (Some(true), Some(false));
    // ready, serving, terminating, whether it gets traffic while nothing else is there
    for (ready, serving, terminating, used) in [
        (None, None, None, true),
        (yes, no, None, true),
        (no, None, None, false),
        (no, None, yes, true),
        (no, no, yes, false),
        (None, no, yes, true),
    ] {
        let mut slice = web_1();
        slice.0.endpoints[0] = Endpoint {
            ready,
            serving,
            terminating,
            ..endpoint("10.1.0.1")
        };
        let found = !with_web().with(slice).pool("web").is_empty();
        assert_eq!(found, used, "{ready:?} {serving:?} {terminating:?}");
    }
}

#[test]
fn an_endpoint_is_local_on_the_node_it_names() {
    let web = service("web", "10.96.0.1").tcp(80).internal_local();
    let slice = slice("web-1", "web").tcp(8080);
    let slice = slice.endpoints(&["10.1.0.1 here", "10.1.1.1 elsewhere", "10.1.2.1"]);
    let cluster = cluster().with(web).with(slice);
    assert_eq!(addresses(&cluster.only("web").local), ["10.1.0.1"]);
}

#[test]
fn nothing_is_local_to_a_node_without_a_name() {
    let mut model = Model::new(Settings::default());
    let mut slice = slice("web-1", "web")
        .tcp(8080)
        .endpoints(&["10.1.0.1", "10.1.0.2"]);
    slice.0.endpoints[0].node_name = Some("".into());
    model.apply(service("web", "10.96.0.1").tcp(80).internal_local().into());
    model.apply(slice.into());
    assert_eq!(model.routes(&name("web"))[0].1.local, []);
}

#[test]
fn a_pod_can_be_sent_back_to_itself_on_its_own_node() {
    let web = service("web", "10.96.0.1").tcp(80).node_port(30080);
    let slice = || slice("web-1", "web").tcp(8080);
    let here_and_there = || slice().endpoints(&["10.1.0.1 here", "10.1.1.1 elsewhere"]);
    let hairpin = |cluster: Cluster| addresses(&cluster.only("web").hairpin);
    let plain = cluster().with(web.clone()).with(here_and_there());
    assert_eq!(hairpin(plain), ["10.1.0.1"]);
    // In the local pool alone: the node's own endpoint serves on, for lack of a ready one.
    let fallback = slice().endpoints(&["10.1.0.1 here terminating", "10.1.1.1 elsewhere"]);
    let local = cluster().with(web.external_local()).with(fallback);
    assert_eq!(hairpin(local), ["10.1.0.1"]);
}

#[test]
fn the_health_check_counts_ready_addresses_of_this_node() {
    // endpoints, how many addresses count
    let rows: &[(&[&str], usize)] = &[
        (&[], 0),
        (&["10.1.1.1 elsewhere"], 0),
        (&["10.1.0.1 here"], 1),
        (&["10.1.0.1 here", "10.1.0.2 here", "10.1.1.1 elsewhere"], 2),
        (&["10.1.0.1 here unready", "10.1.0.2 here failing"], 0),
        (&["10.1.0.1 here published"], 1),
        // They still get traffic, but new clients should go elsewhere.
        (&["10.1.0.1 here terminating"], 0),
    ];
    for (endpoints, expected) in rows {
        let web = service("web", "10.96.0.1")
            .port("a", Tcp, 80)
            .port("b", Tcp, 81);
        let slice = slice("web-1", "web")
            .port("a", Tcp, 8080)
            .port("b", Tcp, 8081);
        let cluster = cluster().with(web).with(slice.endpoints(endpoints));
        let count = |family| cluster.0.local_ready_endpoints(&name("web"), family);
        assert_eq!(count(V4), *expected, "{endpoints:?}");
        assert_eq!(count(V6), 0);
    }
}

#[test]
fn what_serves_is_told_whatever_gets_new_connections() {
    let web = service("dns", "10.96.0.10")
        .port("", Udp, 53)
        .node_port(30053);
    let cluster = cluster().with(web.external("192.0.2.1")).with(
        slice("dns-1", "dns").port("", Udp, 53).endpoints(&[
            "10.1.0.1 here",
            "10.1.0.2 here unready",
            "10.1.1.1 elsewhere failing",
            "10.1.1.2 elsewhere terminating",
            "10.1.1.3 elsewhere dying",
        ]),
    );
    let [(destinations, targets)] = &cluster.0.serving(&name("dns"))[..] else {
        panic!("one port was expected");
    };
    let expected = [
        "10.96.0.10:53/udp",
        "IPv4 node port 30053/udp",
        "192.0.2.1:53/udp",
    ];
    assert_eq!(texts(destinations), expected);
    assert_eq!(addresses(targets), ["10.1.0.1", "10.1.1.1", "10.1.1.2"]);
}
