//! Clients and endpoints in networks of their own, as pods and hosts are.

use std::io::ErrorKind;
use std::process::{Child, Command};

use fairlead_core::address::Family;
use fairlead_kernel::netns::Netns;
use fairlead_relay::handle::{Listener, Op, Source};
use fairlead_relay::settings::Settings;

use crate::harness::{eventually, sh, start};
use crate::world::{
    SERVICES, World, address, at, client, endpoint_at, listener, name, upstream, world,
};

crate::tests![
    an_endpoint_on_this_node_sees_a_client_from_elsewhere_as_it_is,
    a_client_of_two_services_with_one_endpoint_is_told_apart,
    a_port_that_rules_bring_no_more_is_refused,
];

/// A host that is connected to the one that the relay is on.
struct Host {
    netns: Netns,
    /// Who is in it, for iproute2 to find it.
    inhabitant: Child,
}

impl Host {
    /// One with an address, whose way to everybody leads over `gateway`, an address of this host.
    fn new(device: &str, address: &str, gateway: &str) -> Host {
        let netns = Netns::anonymous().unwrap();
        let inhabitant = netns.run(|| start(Command::new("sleep").arg("60")));
        let inhabitant = inhabitant.unwrap();
        let pid = inhabitant.id();
        sh(&format!(
            "ip link add {device} type veth peer name eth0 netns {pid}
             ip address add {gateway}/24 dev {device}
             ip link set {device} up"
        ));
        let inside = format!(
            "ip link set lo up
             ip address add {address}/24 dev eth0
             ip link set eth0 up
             ip route add default via {gateway}"
        );
        netns.run(|| sh(&inside)).unwrap();
        Host { netns, inhabitant }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.inhabitant.kill();
        let _ = self.inhabitant.wait();
    }
}

/// A pod of this node with an endpoint that both services have, and a host outside.
fn with_pod_and_outside(test: impl FnOnce(&mut World, &Host) + Send) {
    world(Settings::default(), |world| {
        let pod = Host::new("pod", "10.244.1.5", "10.244.1.1");
        let outside = Host::new("outside", "198.51.100.7", "198.51.100.1");
        let endpoint = pod.netns.run(|| endpoint_at(at("10.244.1.5:53"), 1));
        let endpoint = endpoint.unwrap();
        let mut upstream = upstream([&endpoint]);
        upstream.here = [endpoint.target()].into();
        for service in 0..2 {
            let listener = Listener {
                source: Source::Client,
                ..listener(Family::V4, service)
            };
            world.apply(&[
                Op::SetUpstream(name(Family::V4, service), upstream.clone()),
                Op::Listen(address(Family::V4, service), listener),
            ]);
        }
        test(world, &outside);
    });
}

fn an_endpoint_on_this_node_sees_a_client_from_elsewhere_as_it_is() {
    with_pod_and_outside(|_, outside| {
        let to = at(SERVICES[0][0]);
        for port in 5_000..5_010 {
            let from = format!("198.51.100.7:{port}");
            let client = outside.netns.run(|| client(&from)).unwrap();
            for _ in 0..2 {
                let answer = client.ask(b"hello", to);
                assert_eq!((answer.from, answer.client), (to, at(&from)));
            }
        }
    });
}

fn a_client_of_two_services_with_one_endpoint_is_told_apart() {
    with_pod_and_outside(|world, outside| {
        let client = outside.netns.run(|| client("198.51.100.7:5000")).unwrap();
        for _ in 0..3 {
            for (service, is_shown_its_port) in SERVICES[0].into_iter().zip([true, false]) {
                let answer = client.ask(b"hello", at(service));
                assert_eq!(answer.from, at(service));
                assert_eq!(answer.client.ip(), at("198.51.100.7:0").ip());
                assert_eq!(answer.client.port() == 5000, is_shown_its_port);
            }
        }
        assert_eq!([world.sessions(0), world.sessions(1)], [1, 1]);
    });
}

/// The port of this node that rules bring to the first service.
const NODE_PORT: &str = "198.51.100.1:30053";

fn a_port_that_rules_bring_no_more_is_refused() {
    with_pod_and_outside(|world, outside| {
        sh("nft add rule inet portal prerouting \
             ip daddr 198.51.100.1 udp dport 30053 tproxy ip to 127.0.0.1:11000 goto divert");
        let (to, cluster_ip) = (at(NODE_PORT), at(SERVICES[0][0]));
        let client = outside.netns.run(|| client("198.51.100.7:5000")).unwrap();
        for _ in 0..2 {
            assert_eq!(client.ask(b"hello", to).from, to);
        }
        // The rest of the service goes on, and so does the session.
        sh("nft flush chain inet portal prerouting
             nft add rule inet portal prerouting \
             ip daddr 10.96.0.10 udp dport 53 tproxy ip to 127.0.0.1:11000 goto divert");
        assert!(world.sessions(0) > 0);
        client.0.connect(to).unwrap();
        client.0.send(b"hello").unwrap();
        let refused = client.0.recv(&mut [0; 9]).map_err(|error| error.kind());
        assert_eq!(refused, Err(ErrorKind::ConnectionRefused));
        let other = outside.netns.run(|| crate::world::client("198.51.100.7:0"));
        // The pod's answer needs the rule that leads it, which is gone too: it is enough to be carried.
        other.unwrap().send(b"hello", cluster_ip);
        eventually("it is carried", || world.counts(0).sums.sessions == 2);
    });
}
