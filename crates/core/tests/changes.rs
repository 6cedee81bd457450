//! What a change touches, and what it leaves behind.

mod build;

use build::{
    ELSEWHERE, HERE, SliceText, addresses, cluster, deleted, name, node, service, service_cidr,
    slice, texts, web_1, with_web,
};
use fairlead_core::address::Family::V4;
use fairlead_core::address::Protocol::{Tcp, Udp};
use fairlead_core::api::{AddressType, Change, Kind, ObjectName};
use fairlead_core::settings::Settings;

#[test]
fn services_come_shrink_and_go() {
    let mut cluster = cluster()
        .with(
            service("plain", "10.96.0.1")
                .port("a", Udp, 1)
                .port("b", Udp, 2),
        )
        .with(
            service("node", "10.96.0.2")
                .port("a", Udp, 1)
                .node_port(30001),
        )
        .with(
            service("balanced", "10.96.0.3")
                .tcp(80)
                .balanced("192.0.2.1"),
        )
        .with(
            service("local", "10.96.0.4")
                .tcp(80)
                .balanced("192.0.2.2")
                .external_local()
                .health_check(30999),
        );
    let all = ["ns/balanced", "ns/local", "ns/node", "ns/plain"];
    assert_eq!(cluster.proxied(), all);
    assert_eq!(cluster.take_dirty(), all);

    cluster.tell(service("plain", "10.96.0.1").port("b", Udp, 2));
    cluster.tell(service("balanced", "None").tcp(80));
    cluster.tell(deleted(Kind::Service, "node"));
    assert_eq!(cluster.proxied(), ["ns/local", "ns/plain"]);
    assert_eq!(cluster.only("plain").name.to_string(), "ns/plain:b");
    assert_eq!(
        cluster.ports("local")[0].health_check_node_port,
        Some(30999)
    );
    assert_eq!(cluster.take_dirty(), ["ns/balanced", "ns/node", "ns/plain"]);
}

#[test]
fn a_service_changes_its_type_and_back() {
    let plain = || service("web", "10.96.0.1").tcp(80);
    let local = || {
        plain()
            .balanced("192.0.2.1")
            .external_local()
            .health_check(30999)
    };
    let mut cluster = cluster();
    let mut step = |service, health_check, touched: &[&str]| {
        cluster.tell(service);
        let found = cluster.ports("web")[0].health_check_node_port;
        assert_eq!(found, health_check);
        assert_eq!(cluster.take_dirty(), touched);
    };
    step(plain(), None, &["ns/web"]);
    step(local(), Some(30999), &["ns/web"]);
    step(local(), Some(30999), &[]);
    step(plain(), None, &["ns/web"]);
}

#[test]
fn a_service_that_came_and_went_leaves_nothing() {
    let mut cluster = cluster()
        .with(service("web", "10.96.0.1").tcp(80))
        .with(deleted(Kind::Service, "web"));
    assert_eq!(cluster.take_dirty(), ["ns/web"]);
    assert_eq!(cluster.proxied(), [""; 0]);
    cluster.tell(deleted(Kind::Service, "web"));
    cluster.tell(deleted(Kind::Service, "never-was"));
    assert_eq!(cluster.take_dirty(), [""; 0]);
}

#[test]
fn what_decides_nothing_touches_nothing() {
    let web = || service("web", "10.96.0.1").tcp(80);
    let mut cluster = cluster().with(web());
    cluster.take_dirty();
    // The same addresses, written differently; a policy that is for outsiders alone.
    cluster.tell(service("web", "10.96.0.01").tcp(80));
    cluster.tell(web().external_local().health_check(30999));
    cluster.tell(web().families(&[V4], &["10.96.0.1"]));
    assert_eq!(cluster.take_dirty(), [""; 0]);
}

#[test]
fn a_port_that_changes_its_protocol_is_another_port() {
    let mut cluster = cluster().with(service("dns", "10.96.0.10").port("dns", Udp, 53));
    cluster.tell(service("dns", "10.96.0.10").port("dns", Tcp, 53));
    let port = cluster.only("dns");
    assert_eq!(port.name.protocol, Tcp);
    assert_eq!(port.name.service, name("dns"));
    assert_eq!(port.routes[0].destination.to_string(), "10.96.0.10:53/tcp");
}

/// The slices before, the change, whether it touches the Service, and who serves it then.
type Step<'a> = (&'a str, &'a [&'a SliceText], Change, bool, &'a [&'a str]);

#[test]
fn a_change_of_a_slice_touches_its_service_if_it_matters() {
    let web = |n: u8| slice(&format!("web-{n}"), "web").tcp(8080);
    let one = web(1).endpoints(&["10.1.0.1 here", "10.1.0.2"]);
    let two = web(2).endpoints(&["10.1.0.2", "10.1.0.3"]);
    let unready = web(1).endpoints(&["10.1.0.1 unready", "10.1.0.2 unready"]);
    let half_ready = web(1).endpoints(&["10.1.0.1", "10.1.0.2 unready"]);
    let half_leaving = web(1).endpoints(&["10.1.0.1", "10.1.0.2 terminating"]);
    let renumbered = slice("web-1", "web").tcp(9090).endpoints(&["10.1.0.1"]);
    let renamed = slice("web-1", "web")
        .port("http", Tcp, 8080)
        .endpoints(&["10.1.0.1"]);
    let host_names = one.clone().of_type(AddressType::Fqdn);
    let reversed = web(1).endpoints(&["10.1.0.2", "10.1.0.1 here"]);
    let longer = web(1).endpoints(&["10.1.0.1 here", "10.1.0.2", "10.1.0.3"]);
    let leaving = web(1).endpoints(&["10.1.0.1 here terminating"]);
    let only = web(1).endpoints(&["10.1.0.1 here"]);
    let portless = slice("web-1", "web").endpoints(&["10.1.0.1 here", "10.1.0.2"]);
    let two_ports = one.clone().port("metrics", Tcp, 9090);
    let two_ports_reversed = portless.clone().port("metrics", Tcp, 9090).tcp(8080);
    let now = |slice: &SliceText| Change::from(slice.clone());
    let gone = |slice| deleted(Kind::EndpointSlice, slice);
    #[rustfmt::skip]
    let steps: &[Step] = &[
        ("the first",        &[],           now(&one),          true,  &["10.1.0.1", "10.1.0.2"]),
        ("the same again",   &[&one],       now(&one),          false, &["10.1.0.1", "10.1.0.2"]),
        ("another order",    &[&one],       now(&reversed),     false, &["10.1.0.1", "10.1.0.2"]),
        ("of ports too",     &[&two_ports], now(&two_ports_reversed), false, &["10.1.0.1", "10.1.0.2"]),
        ("host names",       &[],           now(&host_names),   false, &[]),
        ("an endpoint more", &[&one],       now(&longer),       true,  &["10.1.0.1", "10.1.0.2", "10.1.0.3"]),
        ("an endpoint less", &[&longer],    now(&one),          true,  &["10.1.0.1", "10.1.0.2"]),
        ("a port more",      &[&portless],  now(&one),          true,  &["10.1.0.1", "10.1.0.2"]),
        ("a port less",      &[&one],       now(&portless),     true,  &[]),
        ("an overlapping",   &[&one],       now(&two),          true,  &["10.1.0.1", "10.1.0.2", "10.1.0.3"]),
        ("one of two gone",  &[&one, &two], gone("web-2"),      true,  &["10.1.0.1", "10.1.0.2"]),
        ("the only gone",    &[&one],       gone("web-1"),      true,  &[]),
        ("an unknown gone",  &[&one],       gone("web-7"),      false, &["10.1.0.1", "10.1.0.2"]),
        ("port renumbered",  &[&one],       now(&renumbered),   true,  &["10.1.0.1"]),
        ("port renamed",     &[&one],       now(&renamed),      true,  &[]),
        ("none ready",       &[&one],       now(&unready),      true,  &[]),
        ("all ready",        &[&unready],   now(&one),          true,  &["10.1.0.1", "10.1.0.2"]),
        ("some ready",       &[&unready],   now(&half_ready),   true,  &["10.1.0.1"]),
        ("some terminating", &[&one],       now(&half_leaving), true,  &["10.1.0.1"]),
        ("the last leaves",  &[&only],      now(&leaving),      true,  &["10.1.0.1"]),
        ("and has left",     &[&leaving],   now(&web(1)),       true,  &[]),
        ("emptied",          &[&one],       now(&web(1)),       true,  &[]),
        ("filled",           &[&web(1)],    now(&one),          true,  &["10.1.0.1", "10.1.0.2"]),
    ];
    for (what, before, change, touches, expected) in steps {
        let mut cluster = with_web();
        for slice in *before {
            cluster.tell((*slice).clone());
        }
        cluster.take_dirty();
        cluster.tell(change.clone());
        let touched: &[&str] = if *touches { &["ns/web"] } else { &[] };
        assert_eq!(cluster.take_dirty(), touched, "{what}");
        assert_eq!(addresses(&cluster.only("web").cluster), *expected, "{what}");
    }
}

#[test]
fn only_services_whose_slices_changed_are_touched() {
    let mut cluster = with_web()
        .with(service("api", "10.96.0.2").tcp(80))
        .with(service("db", "10.96.0.3").tcp(80))
        .with(web_1())
        .with(slice("api-1", "api").tcp(8080).endpoints(&["10.1.0.2"]))
        .with(slice("db-1", "db").tcp(8080).endpoints(&["10.1.0.3"]));
    cluster.take_dirty();
    cluster.tell(slice("api-1", "api").tcp(8080).endpoints(&["10.1.0.4"]));
    cluster.tell(deleted(Kind::EndpointSlice, "db-1"));
    assert_eq!(cluster.take_dirty(), ["ns/api", "ns/db"]);
    assert_eq!(cluster.take_dirty(), [""; 0]);
}

#[test]
fn the_node_touches_every_service_and_its_repetition_none() {
    let mut cluster = with_web().with(service("api", "10.96.0.2").tcp(80));
    cluster.take_dirty();
    cluster.tell(Change::Node(node(&["192.0.2.10"])));
    assert_eq!(cluster.take_dirty(), ["ns/api", "ns/web"]);
    cluster.tell(Change::Node(node(&["192.0.2.10"])));
    let mut other = node(&["192.0.2.11"]);
    other.name = ELSEWHERE.into();
    cluster.tell(Change::Node(other));
    assert_eq!(cluster.take_dirty(), [""; 0]);
    // A Node object that is deleted is about to be made again.
    cluster.tell(Change::Deleted(Kind::Node, ObjectName::cluster(HERE)));
    assert_eq!(cluster.take_dirty(), [""; 0]);
    assert_eq!(texts(&cluster.0.node().ips), ["192.0.2.10"]);
}

#[test]
fn other_settings_touch_every_service_and_the_same_none() {
    let mut cluster = with_web().with(service("api", "10.96.0.2").tcp(80));
    cluster.take_dirty();
    let before = cluster.0.settings().clone();
    cluster.0.set_settings(Settings {
        masquerade_all: true,
        node_name: ELSEWHERE.into(),
        ..before.clone()
    });
    assert_eq!(cluster.take_dirty(), ["ns/api", "ns/web"]);
    assert!(cluster.0.settings().masquerade_all);
    assert_eq!(cluster.0.settings().node_name, before.node_name);
    let now = cluster.0.settings().clone();
    cluster.0.set_settings(now);
    assert_eq!(cluster.take_dirty(), [""; 0]);
}

#[test]
fn a_model_says_whether_there_is_anything_to_do() {
    let cidr = || service_cidr("kubernetes", &["10.96.0.0/12"]);
    let steps: [(&str, Change, bool); 9] = [
        (
            "a new Service",
            service("web", "10.96.0.1").tcp(80).into(),
            true,
        ),
        (
            "the same",
            service("web", "10.96.0.1").tcp(80).into(),
            false,
        ),
        ("all were told", Change::Synced(Kind::Service), false),
        ("a Node", Change::Node(node(&["192.0.2.10"])), true),
        ("the same", Change::Node(node(&["192.0.2.10"])), false),
        ("a ServiceCIDR", cidr(), true),
        ("the same", cidr(), false),
        (
            "it is gone",
            Change::Deleted(Kind::ServiceCidr, ObjectName::cluster("kubernetes")),
            true,
        ),
        (
            "what never was is gone",
            deleted(Kind::Service, "api"),
            false,
        ),
    ];
    let mut cluster = cluster();
    for (what, change, expected) in steps {
        cluster.tell(change);
        assert_eq!(cluster.0.has_changed(), expected, "{what}");
        cluster.take_dirty();
    }
}

#[test]
fn a_model_is_complete_when_services_and_slices_were_told() {
    let complete = |kinds: &[Kind]| {
        let mut cluster = cluster();
        for kind in kinds {
            cluster.tell(Change::Synced(*kind));
        }
        cluster.0.is_complete()
    };
    assert!(!complete(&[]));
    assert!(!complete(&[Kind::Service, Kind::Node, Kind::ServiceCidr]));
    assert!(!complete(&[Kind::EndpointSlice, Kind::EndpointSlice]));
    assert!(complete(&[Kind::EndpointSlice, Kind::Service]));
}
