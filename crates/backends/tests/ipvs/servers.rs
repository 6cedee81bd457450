//! Which virtual servers, real servers and addresses a Service has.

use fairlead_core::address::Protocol;
use fairlead_core::api::{Change, Kind};
use fairlead_core::settings::{NodePortAddresses, Settings};
use fairlead_kernel::link::DeviceOp;

use crate::any::never;
use crate::build::{service, slice};
use crate::node::{Fakes, HOST, Node, set, settings};

fn saved(changes: impl IntoIterator<Item = Change>) -> String {
    Node::settled(Fakes::default(), changes).ipvs().saved()
}

/// The cluster of kube-proxy's documented example.
fn example() -> [Change; 7] {
    let edge = service("edge", "10.96.0.20")
        .port("tls", Protocol::Tcp, 443)
        .node_port(30443)
        .balanced("198.51.100.7")
        .external("198.51.100.99")
        .external_local()
        .health_check(32000)
        .ranges(&["203.0.113.0/24", "192.0.2.0/24"])
        .sticky(None);
    [
        service("web", "10.96.0.10")
            .port("http", Protocol::Tcp, 80)
            .into(),
        edge.into(),
        service("idle", "10.96.0.30")
            .port("", Protocol::Udp, 53)
            .node_port(30053)
            .into(),
        service("node", "10.96.0.40")
            .port("agent", Protocol::Tcp, 9100)
            .internal_local()
            .into(),
        slice("web-a", "web")
            .port("http", Protocol::Tcp, 8080)
            .endpoints(&["10.1.0.5 here", "10.1.1.6", "10.1.2.7"])
            .into(),
        slice("edge-a", "edge")
            .port("tls", Protocol::Tcp, 8443)
            .endpoints(&["10.1.0.8 here", "10.1.1.9"])
            .into(),
        slice("node-a", "node")
            .port("agent", Protocol::Tcp, 9100)
            .endpoints(&["10.1.1.11"])
            .into(),
    ]
}

#[test]
fn the_example_has_kube_proxys_virtual_servers_and_addresses() {
    let mut node = Node::settled(Fakes::default(), example());
    let expected = "\
-A -t 10.96.0.10:80 -s rr
-a -t 10.96.0.10:80 -r 10.1.0.5:8080 -m -w 1
-a -t 10.96.0.10:80 -r 10.1.1.6:8080 -m -w 1
-a -t 10.96.0.10:80 -r 10.1.2.7:8080 -m -w 1
-A -t 10.96.0.20:443 -s rr -p 10800
-a -t 10.96.0.20:443 -r 10.1.0.8:8443 -m -w 1
-a -t 10.96.0.20:443 -r 10.1.1.9:8443 -m -w 1
-A -u 10.96.0.30:53 -s rr
-A -t 10.96.0.40:9100 -s rr
-A -t 192.0.2.10:30443 -s rr -p 10800
-a -t 192.0.2.10:30443 -r 10.1.0.8:8443 -m -w 1
-A -u 192.0.2.10:30053 -s rr
-A -t 198.51.100.7:443 -s rr -p 10800
-a -t 198.51.100.7:443 -r 10.1.0.8:8443 -m -w 1
-A -t 198.51.100.99:443 -s rr -p 10800
-a -t 198.51.100.99:443 -r 10.1.0.8:8443 -m -w 1
";
    assert_eq!(node.ipvs().saved(), expected);
    let addresses = set(&[
        "10.96.0.10",
        "10.96.0.20",
        "10.96.0.30",
        "10.96.0.40",
        "198.51.100.7",
        "198.51.100.99",
    ]);
    assert_eq!(node.device().addresses, Some(addresses));
}

#[test]
fn what_comes_from_outside_decides_where_one_server_has_to_serve_all() {
    let local = |texts: &[&str]| {
        let service = service("web", "10.96.0.1")
            .tcp(80)
            .node_port(30080)
            .external_local();
        let slice = slice("web-a", "web").tcp(8080).endpoints(texts);
        saved([service.into(), slice.into()])
    };
    let here = local(&["10.1.0.5 here", "10.1.1.6"]);
    assert!(
        here.contains("-a -t 192.0.2.10:30080 -r 10.1.0.5:8080"),
        "{here}"
    );
    assert!(
        !here.contains("-a -t 192.0.2.10:30080 -r 10.1.1.6:8080"),
        "{here}"
    );
    // Rules drop what comes from outside: all others may go anywhere.
    let elsewhere = local(&["10.1.1.6"]);
    assert!(
        elsewhere.contains("-a -t 192.0.2.10:30080 -r 10.1.1.6:8080"),
        "{elsewhere}"
    );
}

#[test]
fn the_hosts_own_addresses_are_not_the_devices() {
    let own = service("web", "10.96.0.1")
        .tcp(80)
        .external(HOST[0])
        .external("198.51.100.1");
    let mut node = Node::settled(Fakes::default(), [own.into()]);
    assert_eq!(node.held(), ["10.96.0.1", "198.51.100.1"]);
    assert!(node.ipvs().saved().contains("-A -t 192.0.2.10:80 -s rr"));
    // It becomes the host's, and goes again.
    node.host.push("198.51.100.1".parse().unwrap());
    node.settle();
    assert_eq!(node.held(), ["10.96.0.1"]);
    node.host.pop();
    node.settle();
    assert_eq!(node.held(), ["10.96.0.1", "198.51.100.1"]);
}

#[test]
fn node_ports_follow_the_hosts_addresses() {
    let web = service("web", "10.96.0.1").tcp(80).node_port(30080);
    let mut node = Node::settled(Fakes::default(), [web.into()]);
    let at = |node: &mut Node, ip: &str| node.ipvs().saved().contains(&format!("-A -t {ip}:30080"));
    assert!(at(&mut node, "192.0.2.10") && !at(&mut node, "192.0.2.11"));
    node.host = vec!["192.0.2.11".parse().unwrap()];
    let report = node.sync().unwrap();
    assert!(!report.full && !at(&mut node, "192.0.2.10") && at(&mut node, "192.0.2.11"));
}

#[test]
fn node_ports_are_at_no_link_local_address() {
    let families = [
        fairlead_core::address::Family::V4,
        fairlead_core::address::Family::V6,
    ];
    let web = service("web", "10.96.0.1")
        .families(&families, &["10.96.0.1", "fd00::1"])
        .tcp(80)
        .node_port(30080);
    let saved = saved([web.into()]);
    assert!(saved.contains("-A -t [2001:db8::10]:30080"), "{saved}");
    assert!(!saved.contains("fe80"), "{saved}");
}

#[test]
fn node_ports_are_at_the_addresses_given() {
    let web = service("web", "10.96.0.1").tcp(80).node_port(30080);
    let mut node = Node::new(Fakes::default(), never);
    node.model.set_settings(Settings {
        node_port_addresses: NodePortAddresses {
            networks: vec!["198.51.100.0/24".parse().unwrap()],
            ..NodePortAddresses::default()
        },
        ..settings()
    });
    node.host.push("198.51.100.9".parse().unwrap());
    node.apply([web.into()]);
    node.settle();
    let saved = node.ipvs().saved();
    assert!(saved.contains("-A -t 198.51.100.9:30080"), "{saved}");
    assert!(!saved.contains("192.0.2.10"), "{saved}");
}

#[test]
fn a_service_at_a_nodes_address_comes_before_a_node_port() {
    let port = service("port", "10.96.0.1").tcp(80).node_port(30080);
    let address = service("address", "10.96.0.2").tcp(30080).external(HOST[0]);
    let of = |service: &str, ip: &str| {
        slice(&format!("{service}-a"), service)
            .tcp(8080)
            .endpoints(&[ip])
    };
    let mut node = Node::settled(
        Fakes::default(),
        [
            port.into(),
            of("port", "10.1.0.1").into(),
            of("address", "10.1.0.2").into(),
        ],
    );
    let meets = |node: &mut Node| {
        let saved = node.ipvs().saved();
        let mut lines = saved.lines();
        lines
            .find_map(|line| line.strip_prefix("-a -t 192.0.2.10:30080 -r "))
            .map(|real| real.split(':').next().unwrap().to_owned())
    };
    assert_eq!(meets(&mut node).as_deref(), Some("10.1.0.1"));
    node.change([address.clone().into()]);
    node.settle();
    assert_eq!(meets(&mut node).as_deref(), Some("10.1.0.2"));
    node.change([Change::Deleted(Kind::Service, address.0.name)]);
    node.settle();
    assert_eq!(meets(&mut node).as_deref(), Some("10.1.0.1"));
}

#[test]
fn an_address_stays_until_the_last_port_is_gone() {
    let two = service("web", "10.96.0.1")
        .port("a", Protocol::Tcp, 80)
        .port("b", Protocol::Udp, 80);
    let one = service("web", "10.96.0.1").port("b", Protocol::Udp, 80);
    let mut node = Node::settled(Fakes::default(), [two.into()]);
    node.change([one.clone().into()]);
    assert_eq!(node.held(), ["10.96.0.1"]);
    node.change([Change::Deleted(Kind::Service, one.0.name)]);
    assert_eq!((node.held(), node.ipvs().saved()), (vec![], String::new()));
}

#[test]
fn an_address_that_is_held_is_not_added_again() {
    let web = service("web", "10.96.0.1").tcp(80);
    let mut node = Node::settled(Fakes::default(), [web.clone().into()]);
    let again = DeviceOp::Hold("10.96.0.1".parse().unwrap());
    node.device().refuse.insert(again, 12);
    let report = node.change([web.port("more", Protocol::Tcp, 81).into()]);
    assert_eq!(report.excluded.len(), 0);
    assert_eq!(node.servers(), ["10.96.0.1:80", "10.96.0.1:81"]);
}

#[test]
fn another_protocol_port_and_affinity_at_once_are_another_virtual_server() {
    let slice = |protocol| {
        slice("web-a", "web")
            .port("", protocol, 8080)
            .endpoints(&["10.1.0.1"])
    };
    let before = service("web", "10.96.0.1").tcp(80).node_port(30080);
    let mut node = Node::settled(
        Fakes::default(),
        [before.into(), slice(Protocol::Tcp).into()],
    );
    let after = service("web", "10.96.0.1").port("", Protocol::Udp, 53);
    let after = after.node_port(30053).sticky(Some(60));
    let report = node.change([after.into(), slice(Protocol::Udp).into()]);
    assert!(!report.full && report.ipvs[0].leaving == 0, "{report:?}");
    let expected = "\
-A -u 10.96.0.1:53 -s rr -p 60
-a -u 10.96.0.1:53 -r 10.1.0.1:8080 -m -w 1
-A -u 192.0.2.10:30053 -s rr -p 60
-a -u 192.0.2.10:30053 -r 10.1.0.1:8080 -m -w 1
";
    assert_eq!(node.ipvs().saved(), expected);
    assert_eq!(node.held(), ["10.96.0.1"]);
}
