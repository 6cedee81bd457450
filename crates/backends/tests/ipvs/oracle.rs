//! What `ipvsadm -Sn` says, against what kube-proxy's ipvs mode is documented to say.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use fairlead_core::address::{Family, Protocol};
use fairlead_core::model::{Destination, DestinationKind, Model, ServicePort};
use fairlead_core::route::Routes;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::node::{Fakes, HOST, Node};
use crate::universe::change;

/// The lines of virtual servers by what they are at, and what the device holds.
#[derive(Debug, Default)]
struct Expected {
    servers: BTreeMap<(SocketAddr, Protocol), Vec<String>>,
    held: BTreeSet<IpAddr>,
}

impl Expected {
    fn of(model: &Model) -> Expected {
        let mut expected = Expected::default();
        // Who has an address comes before who has a port of the node.
        for at_node in [true, false] {
            for service in model.services() {
                for (family, routes) in model.routes(service) {
                    let mut ports = model.ports(service).iter();
                    let port = ports.find(|port| port.name == routes.name && port.family == family);
                    expected.add(port.unwrap(), &routes, at_node);
                }
            }
        }
        expected
    }

    fn add(&mut self, port: &ServicePort, routes: &Routes, at_node: bool) {
        for route in &routes.routes {
            let lines = |at| lines(at, port, routes, route.kind);
            match route.destination {
                Destination::NodePort(family, protocol, number) if at_node => {
                    for ip in node_ips(family) {
                        let at = SocketAddr::new(ip, number);
                        self.servers.insert((at, protocol), lines(at));
                    }
                }
                Destination::Address(ip, protocol, number) if !at_node => {
                    let at = SocketAddr::new(ip, number);
                    self.servers.insert((at, protocol), lines(at));
                    if route.kind == DestinationKind::ClusterIp || !host().contains(&ip) {
                        self.held.insert(ip);
                    }
                }
                _ => {}
            }
        }
    }
}

fn host() -> [IpAddr; 3] {
    HOST.map(|ip| ip.parse().unwrap())
}

fn node_ips(family: Family) -> Vec<IpAddr> {
    let is_link_local = |ip: &IpAddr| matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    let ips = host().into_iter().filter(|ip| Family::of(*ip) == family);
    ips.filter(|ip| !is_link_local(ip)).collect()
}

/// A virtual server with its real servers: those of this node with a Local policy, and all if there
/// are none. What comes to a cluster IP with such a policy is dropped then.
fn lines(
    at: SocketAddr,
    port: &ServicePort,
    routes: &Routes,
    kind: DestinationKind,
) -> Vec<String> {
    let is_internal = kind == DestinationKind::ClusterIp;
    let only_local = if is_internal {
        port.internal_local
    } else {
        port.external_local
    };
    let reals = match (only_local, routes.local.is_empty(), is_internal) {
        (true, false, _) => &routes.local[..],
        (true, true, true) => &[],
        _ => &routes.cluster,
    };
    let option = match port.name.protocol {
        Protocol::Tcp => "-t",
        Protocol::Udp => "-u",
        Protocol::Sctp => "--sctp-service",
    };
    let persistence = port
        .affinity_seconds
        .map(|seconds| format!(" -p {seconds}"));
    let server = format!("-A {option} {at} -s rr{}", persistence.unwrap_or_default());
    let real = |real| format!("-a {option} {at} -r {real} -m -w 1");
    [server].into_iter().chain(reals.iter().map(real)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn virtual_servers_and_addresses_are_those_that_the_routes_ask_for(history in vec(change(), 1..60)) {
        let mut node = Node::settled(Fakes::default(), history);
        let expected = Expected::of(&node.model);
        let mut lines: Vec<String> = expected.servers.into_values().flatten().collect();
        lines.sort();
        let saved = node.ipvs().saved();
        let mut found: Vec<&str> = saved.lines().collect();
        found.sort_unstable();
        prop_assert_eq!(found, lines);
        prop_assert_eq!(node.device().addresses.clone(), Some(expected.held));
    }
}
