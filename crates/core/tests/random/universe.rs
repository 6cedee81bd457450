//! A small universe of objects, so that names, addresses and ports collide all the time. What fits
//! together is likelier than what does not, or hardly any Service would be served.

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

/// The Service that most is said of.
const FIRST: &str = SERVICES[0];

/// Anything a source can say.
pub(crate) fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        10 => service().prop_map(Change::Service),
        15 => slice().prop_map(Change::EndpointSlice),
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
        prop_oneof![2 => Just(FIRST), 1 => select(&SERVICES[..])],
        option::of(0..2_i64),
        prop::bool::weighted(0.1),
        select(
            &[
                ServiceType::ClusterIp,
                ServiceType::NodePort,
                ServiceType::NodePort,
                ServiceType::LoadBalancer,
                ServiceType::LoadBalancer,
                ServiceType::ExternalName,
            ][..],
        ),
    );
    let addresses = (
        cluster_ips(),
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
        prop_oneof![1 => vec(service_port(), 0..1), 7 => vec(service_port(), 1..4)],
    );
    (identity, addresses, rest).prop_map(|(identity, addresses, rest)| {
        let (text, created, other_proxy, kind) = identity;
        let ((ip_families, cluster_ips), external_ips, ingress, source_ranges) = addresses;
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

/// Families, and cluster IPs that are of them, or not.
fn cluster_ips() -> impl Strategy<Value = (Vec<Family>, Vec<String>)> {
    let families = some_of_values(&Family::BOTH).prop_shuffle();
    let fitting = || {
        (
            select(&["10.96.0.1", "10.96.0.2"][..]),
            select(&["fd00::1", "fd00::2"][..]),
        )
    };
    let text = str::to_owned;
    prop_oneof![
        3 => fitting().prop_map(move |(v4, _)| (vec![Family::V4], vec![text(v4), text("?")])),
        3 => fitting().prop_map(move |(v4, v6)| (Family::BOTH.to_vec(), vec![text(v4), text(v6)])),
        1 => (families, vec(cluster_ip(), 2)),
    ]
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
    select(&[Protocol::Tcp, Protocol::Tcp, Protocol::Udp][..])
}

fn service_port() -> impl Strategy<Value = ServicePort> {
    let port = select(&[80, 80, 80, 81, 81, 81, 0][..]);
    let node_port = select(&[0, 30_080, 30_081, 99_999][..]);
    (port_name(), protocol(), port, node_port).prop_map(|(name, protocol, port, node_port)| {
        ServicePort {
            name: name.into(),
            protocol,
            port,
            node_port,
        }
    })
}

fn port_name() -> impl Strategy<Value = &'static str> {
    select(&["", "", "http"][..])
}

fn slice_name() -> impl Strategy<Value = ObjectName> {
    prop_oneof![3 => select(&["ns/1", "ns/2", "ns/3"][..]), 1 => Just("other/1")].prop_map(name)
}

fn slice() -> impl Strategy<Value = EndpointSlice> {
    let service = option::weighted(
        0.9,
        prop_oneof![3 => Just("web"), 1 => select(&["web", "api", "db", ""][..])],
    );
    (
        slice_name(),
        service,
        prop::bool::weighted(0.1),
        addressed(),
        slice_ports(),
        option::of(0..9_i128),
    )
        .prop_map(
            |(name, service, headless, (address_type, endpoints), ports, triggered)| {
                EndpointSlice {
                    name,
                    service: service.map(str::to_owned),
                    headless,
                    address_type,
                    endpoints,
                    ports,
                    triggered,
                }
            },
        )
}

/// All that a Service may ask for, or anything.
fn slice_ports() -> impl Strategy<Value = Vec<SlicePort>> {
    let port = |name: Option<&str>, protocol, port| SlicePort {
        name: name.map(str::to_owned),
        protocol,
        port,
    };
    let names = [("", 8080), ("http", 8081)];
    let protocols = [Protocol::Tcp, Protocol::Udp];
    let all = names.map(|(name, number)| protocols.map(|of| port(Some(name), of, Some(number))));
    let any = (
        option::weighted(0.9, port_name()),
        protocol(),
        select(&[None, Some(8080), Some(8081)][..]),
    );
    let any = any.prop_map(move |(name, protocol, number)| port(name, protocol, number));
    prop_oneof![3 => Just(all.concat()), 1 => vec(any, 0..4)]
}

/// Endpoints with addresses of the slice's family, or any.
fn addressed() -> impl Strategy<Value = (AddressType, Vec<Endpoint>)> {
    const V4: [&str; 3] = ["10.1.0.1", "10.1.0.2", "10.1.0.10"];
    const V6: [&str; 2] = ["fd01::1", "fd01::2"];
    let all = [&V4[..], &V6, &["?"]].concat();
    let types = [AddressType::Ipv4, AddressType::Ipv6, AddressType::Fqdn];
    let of = |family, ips: &'static [&'static str]| {
        let one = select(ips).prop_map(|ip| vec![ip.to_owned()]);
        (Just(family), vec(endpoint(one), 1..5))
    };
    let any = some_of(&all).prop_shuffle();
    prop_oneof![
        3 => of(AddressType::Ipv4, &V4),
        2 => of(AddressType::Ipv6, &V6),
        1 => (select(types.to_vec()), vec(endpoint(any), 0..5)),
    ]
}

fn endpoint(addresses: impl Strategy<Value = Vec<String>>) -> impl Strategy<Value = Endpoint> {
    (
        addresses,
        option::weighted(0.5, prop::bool::weighted(0.7)),
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
