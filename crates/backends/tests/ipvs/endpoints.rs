//! Which Services have virtual servers, and which endpoints are their real servers.

use fairlead_core::address::{Family, Protocol};
use fairlead_core::api::{IpMode, ServiceType};

use crate::build::{ServiceText, service, slice};
use crate::node::{Fakes, Node};

const FAMILIES: [Family; 2] = Family::BOTH;

fn web() -> ServiceText {
    service("web", "10.96.0.1").tcp(80)
}

fn served(service: ServiceText, endpoints: &[&str]) -> Node {
    let slice = slice("web-a", "web").tcp(8080).endpoints(endpoints);
    Node::settled(Fakes::default(), [service.into(), slice.into()])
}

#[test]
fn policies_and_conditions_decide_as_with_kube_proxy() {
    const BOTH: [&str; 2] = ["10.1.0.1 here", "10.1.1.1 elsewhere"];
    const REMOTE: [&str; 1] = ["10.1.1.1 elsewhere"];
    const SOME_TERMINATE: [&str; 4] = [
        "10.1.0.1 here",
        "10.1.0.2 here terminating",
        "10.1.1.1 elsewhere",
        "10.1.1.2 elsewhere terminating",
    ];
    const ALL_TERMINATE: [&str; 4] = [
        "10.1.0.1 here terminating",
        "10.1.0.2 here dying",
        "10.1.1.1 elsewhere terminating",
        "10.1.1.2 elsewhere dying",
    ];
    let web = || web().balanced("198.51.100.7");
    let (all, here, nobody) = (&["10.1.0.1", "10.1.1.1"][..], &["10.1.0.1"][..], &[][..]);
    for (service, endpoints, inside, outside) in [
        (web(), &BOTH[..], all, all),
        (web(), &REMOTE, &all[1..], &all[1..]),
        (web().internal_local(), &BOTH, here, all),
        (web().internal_local(), &REMOTE, nobody, &all[1..]),
        (web().external_local(), &BOTH, all, here),
        (web(), &SOME_TERMINATE, all, all),
        (web().external_local(), &SOME_TERMINATE, all, here),
        (web(), &ALL_TERMINATE, all, all),
        (web().external_local(), &ALL_TERMINATE, all, here),
    ] {
        let mut node = served(service.clone(), endpoints);
        let what = format!("{:?} with {endpoints:?}", service.0);
        assert_eq!(node.reals("10.96.0.1:80"), inside, "{what}");
        assert_eq!(node.reals("198.51.100.7:80"), outside, "{what}");
    }
}

#[test]
fn only_what_a_service_is_reached_by_has_a_virtual_server() {
    let both = || web().families(&FAMILIES, &["10.96.0.1", "fd00::1"]);
    let cluster = &["10.96.0.1:80"][..];
    for (service, expected) in [
        (web(), cluster),
        (web().kind(ServiceType::ExternalName), &[]),
        (service("web", "None").tcp(80), &[]),
        (web().ingress("198.51.100.7", IpMode::Proxy), cluster),
        (
            web().ingress("198.51.100.7", IpMode::Vip),
            &["10.96.0.1:80", "198.51.100.7:80"],
        ),
        // Addresses of the other family are no addresses of its own.
        (
            web().external("198.51.100.1").external("2001:db8::1"),
            &["10.96.0.1:80", "198.51.100.1:80"],
        ),
        (both(), &["10.96.0.1:80", "[fd00::1]:80"]),
        (
            both().external("198.51.100.1").external("2001:db8::1"),
            &[
                "10.96.0.1:80",
                "198.51.100.1:80",
                "[2001:db8::1]:80",
                "[fd00::1]:80",
            ],
        ),
    ] {
        for endpoints in [&[][..], &["10.1.0.1"]] {
            let mut node = served(service.clone(), endpoints);
            assert_eq!(node.servers(), expected, "{:?}", service.0);
        }
    }
}

#[test]
fn each_family_has_its_own_endpoints() {
    let service = web().families(&FAMILIES, &["10.96.0.1", "fd00::1"]);
    let mut node = served(service, &["10.1.0.1"]);
    let slice = slice("web-b", "web").tcp(8080).endpoints(&["fd01::1"]);
    node.change([slice.into()]);
    assert_eq!(node.reals("10.96.0.1:80"), ["10.1.0.1"]);
    assert_eq!(node.reals("[fd00::1]:80"), ["fd01::1"]);
}

#[test]
fn a_node_port_is_at_every_address_of_its_family_whatever_its_protocol() {
    let host = ["192.0.2.10", "192.0.2.11", "2001:db8::10", "2001:db8::11"];
    for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
        for (families, ips, endpoint) in [
            (&FAMILIES[..1], ["10.96.0.1", "?"], "10.1.0.1"),
            (&FAMILIES[1..], ["fd00::1", "?"], "fd01::1"),
        ] {
            let web = service("web", ips[0]).port("", protocol, 80);
            let web = web.node_port(30080).families(families, &ips[..1]);
            let slice = slice("web-a", "web").port("", protocol, 8080);
            let mut node = Node::settled(Fakes::default(), [web.into()]);
            node.host = host.iter().map(|ip| ip.parse().unwrap()).collect();
            let slices = [slice.clone(), slice.endpoints(&[endpoint])];
            for (slice, expected) in slices.into_iter().zip([&[][..], &[endpoint]]) {
                node.change([slice.into()]);
                let own = host
                    .iter()
                    .filter(|ip| ip.contains(':') == endpoint.contains(':'));
                for ip in own {
                    let at = std::net::SocketAddr::new(ip.parse().unwrap(), 30080);
                    assert_eq!(node.reals(&at.to_string()), expected, "{at} {protocol:?}");
                }
                assert_eq!(node.servers().len(), 3);
            }
        }
    }
}
