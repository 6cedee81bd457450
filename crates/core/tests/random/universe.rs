//! A small universe of objects, so that names, addresses and ports collide all the time.

use fairlead_core::address::{Family, Protocol};
use fairlead_core::api::{
    AddressType, Change, Endpoint, EndpointSlice, Ingress, IpMode, Kind, Node, NodeAddressKind,
    ObjectName, Service, ServicePort, ServiceType, SessionAffinity, SlicePort, TrafficPolicy,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use crate::build::{self, ELSEWHERE, HERE, address, name, service_cidr};

/// All Services there can be.
pub(crate) const SERVICES: [&str; 4] = ["ns/web", "ns/api", "ns/db", "other/web"];

/// Anything a source can say.
pub(crate) fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        5 => service().prop_map(Change::Service),
        5 => slice().prop_map(Change::EndpointSlice),
        1 => node().prop_map(Change::Node),
        1 => (select(&["one", "two"][..]), some_of(&["10.96.0.0/16", "10.96.1.0/24", "fd00::/8"]))
            .prop_map(|(name, cidrs)| {
                let cidrs: Vec<&str> = cidrs.iter().map(String::as_str).collect();
                service_cidr(name, &cidrs)
            }),
        2 => select(&SERVICES[..]).prop_map(|text| Change::Deleted(Kind::Service, name(text))),
        2 => slice_name().prop_map(|name| Change::Deleted(Kind::EndpointSlice, name)),
        1 => Just(Change::Deleted(Kind::Node, ObjectName::cluster(HERE))),
        1 => select(&["one", "two"][..])
            .prop_map(|name| Change::Deleted(Kind::ServiceCidr, ObjectName::cluster(name))),
    ]
}

fn service() -> impl Strategy<Value = Service> {
    let identity = (
        select(&SERVICES[..]),
        option::of(0..2_i64),
        prop::bool::weighted(0.1),
        select(
            &[
                ServiceType::ClusterIp,
                ServiceType::NodePort,
                ServiceType::LoadBalancer,
                ServiceType::ExternalName,
            ][..],
        ),
    );
    let families = some_of_values(&Family::BOTH).prop_shuffle();
    let addresses = (
        families,
        vec(cluster_ip(), 2),
        some_of(&["192.0.2.1", "10.96.0.1", "fd00::1", "?"]),
        some_of(&["192.0.2.1", "198.51.100.1", "2001:db8::1"]),
        some_of(&["192.0.2.0/24", "10.0.0.0/8", "0.0.0.0/0", "fd00::/8", "?"]),
    );
    let affinity =
        option::of(select(&[0, 10][..])).prop_map(|timeout_seconds| match timeout_seconds {
            Some(0) => SessionAffinity::None,
            timeout_seconds => SessionAffinity::ClientIp { timeout_seconds },
        });
    let rest = (
        policy(),
        policy(),
        affinity,
        select(&[0, 30_500][..]),
        vec(service_port(), 0..4),
    );
    (identity, addresses, rest).prop_map(|(identity, addresses, rest)| {
        let (text, created, other_proxy, kind) = identity;
        let (ip_families, cluster_ips, external_ips, ingress, source_ranges) = addresses;
        let (external_policy, internal_policy, affinity, health_check_node_port, ports) = rest;
        Service {
            name: name(text),
            created,
            other_proxy,
            scheduler: None,
            kind,
            cluster_ip: cluster_ips[0].clone(),
            cluster_ips,
            ip_families,
            external_ips,
            ingress: ingress.into_iter().map(vip).collect(),
            source_ranges,
            external_policy,
            internal_policy,
            affinity,
            health_check_node_port,
            ports,
        }
    })
}

fn cluster_ip() -> impl Strategy<Value = String> {
    select(
        &[
            "10.96.0.1",
            "10.96.0.001",
            "10.96.0.2",
            "fd00::1",
            "fd00::2",
            "None",
            "?",
        ][..],
    )
    .prop_map(str::to_owned)
}

fn vip(ip: String) -> Ingress {
    let mode = IpMode::Vip;
    Ingress { ip, mode }
}

fn policy() -> impl Strategy<Value = TrafficPolicy> {
    select(&[TrafficPolicy::Cluster, TrafficPolicy::Local][..])
}

fn protocol() -> impl Strategy<Value = Protocol> {
    select(&[Protocol::Tcp, Protocol::Udp][..])
}

fn service_port() -> impl Strategy<Value = ServicePort> {
    let name = select(&["", "http"][..]);
    let port = select(&[80, 81, 0][..]);
    let node_port = select(&[0, 30_080, 30_081, 99_999][..]);
    (name, protocol(), port, node_port).prop_map(|(name, protocol, port, node_port)| ServicePort {
        name: name.into(),
        protocol,
        port,
        node_port,
    })
}

fn slice_name() -> impl Strategy<Value = ObjectName> {
    select(&["ns/1", "ns/2", "ns/3", "other/1"][..]).prop_map(name)
}

fn slice() -> impl Strategy<Value = EndpointSlice> {
    let service = option::weighted(0.9, select(&["web", "api", "db", ""][..]));
    let ports = (
        option::weighted(0.9, select(&["", "http"][..])),
        protocol(),
        select(&[None, Some(8080), Some(8081)][..]),
    );
    (
        slice_name(),
        service,
        prop::bool::weighted(0.1),
        select(
            &[
                AddressType::Ipv4,
                AddressType::Ipv4,
                AddressType::Ipv6,
                AddressType::Fqdn,
            ][..],
        ),
        vec(endpoint(), 0..4),
        vec(ports, 0..3),
        option::of(0..9_i128),
    )
        .prop_map(
            |(name, service, headless, address_type, endpoints, ports, triggered)| EndpointSlice {
                name,
                service: service.map(str::to_owned),
                headless,
                address_type,
                endpoints,
                ports: ports
                    .into_iter()
                    .map(|(name, protocol, port)| SlicePort {
                        name: name.map(str::to_owned),
                        protocol,
                        port,
                    })
                    .collect(),
                triggered,
            },
        )
}

fn endpoint() -> impl Strategy<Value = Endpoint> {
    (
        some_of(&[
            "10.1.0.1",
            "10.1.0.2",
            "10.1.0.10",
            "fd01::1",
            "fd01::2",
            "?",
        ])
        .prop_shuffle(),
        option::of(any::<bool>()),
        option::of(any::<bool>()),
        option::of(any::<bool>()),
        option::of(select(&[HERE, ELSEWHERE][..])),
        some_of(&["a", "b"]),
        some_of(&[HERE, ELSEWHERE]),
    )
        .prop_map(
            |(addresses, ready, serving, terminating, node, zone_hints, node_hints)| Endpoint {
                addresses,
                ready,
                serving,
                terminating,
                node_name: node.map(Into::into),
                zone_hints,
                node_hints,
            },
        )
}

fn node() -> impl Strategy<Value = Node> {
    (
        select(&[HERE, HERE, ELSEWHERE][..]),
        option::of(select(&["a", "b"][..])),
        some_of(&["192.0.2.10", "192.0.2.11", "2001:db8::10"]),
        some_of(&["10.1.0.0/24", "fd01::/64"]),
        any::<bool>(),
    )
        .prop_map(|(name, zone, addresses, pod_cidrs, deleting)| Node {
            name: name.to_owned(),
            zone: zone.map(str::to_owned),
            addresses: addresses
                .iter()
                .map(|ip| address(NodeAddressKind::InternalIp, ip))
                .collect(),
            pod_cidrs,
            deleting,
            ..Node::default()
        })
}

fn some_of(texts: &[&'static str]) -> impl Strategy<Value = Vec<String>> + use<> {
    some_of_values(texts).prop_map(|texts| texts.into_iter().map(str::to_owned).collect())
}

fn some_of_values<T: Copy + std::fmt::Debug + 'static>(
    values: &[T],
) -> impl Strategy<Value = Vec<T>> + use<T> {
    subsequence(values.to_vec(), 0..=values.len())
}

/// Text that could nearly be an address, or anything else.
pub(crate) fn scribble() -> impl Strategy<Value = String> {
    prop_oneof![
        "[0-9]{1,4}(\\.[0-9]{1,4}){3}(/[0-9]{1,4})?",
        "[0-9a-f:]{0,24}(/[0-9]{1,3})?",
        "::ffff:([0-9]{1,3}\\.){3}[0-9]{1,3}(/[0-9]{1,3})?",
        any::<String>(),
    ]
}

/// One object of each kind, made of these texts and numbers.
pub(crate) fn scribbled(texts: &[String], numbers: &[i32], legacy: bool) -> Vec<Change> {
    let cluster_ip = if legacy { &texts[0] } else { "10.96.0.1" };
    let service = build::service("web", cluster_ip)
        .families(
            if legacy { &[] } else { &Family::BOTH },
            &[&texts[1], &texts[2]],
        )
        .port(&texts[3], Protocol::Tcp, 80)
        .port(&texts[3], Protocol::Udp, numbers[0])
        .node_port(numbers[1])
        .external(&texts[4])
        .balanced(&texts[5])
        .ranges(&[&texts[6], &texts[7]])
        .external_local()
        .health_check(numbers[2])
        .sticky(Some(numbers[3]));
    let mut slice = build::slice("web-1", "web")
        .port(&texts[3], Protocol::Tcp, numbers[4])
        .port(&texts[3], Protocol::Tcp, 8080);
    slice.0.endpoints = vec![Endpoint {
        addresses: vec![texts[8].clone()],
        zone_hints: vec![texts[9].clone()],
        ..Endpoint::default()
    }];
    let node = Node {
        zone: Some(texts[9].clone()),
        pod_cidrs: vec![texts[10].clone()],
        ..build::node(&[&texts[11]])
    };
    vec![
        service.into(),
        slice.into(),
        Change::Node(node),
        service_cidr(&texts[9], &[&texts[10], &texts[6]]),
    ]
}
