//! Connections that rules bring, whatever address they were made to.

use std::io::Read;
use std::net::SocketAddr;

use fairlead_core::route::Target;
use fairlead_relay::handle::{Listener, Op, Relay, Source};
use fairlead_relay::settings::Settings;

use crate::harness::{LONG, eventually, sh};
use crate::world::{
    World, address, connect, held, host, listener, name, settings, upstream, world,
};

crate::tests![
    what_rules_bring_is_carried_and_what_they_do_not_is_closed,
    an_endpoint_sees_the_client_where_it_may,
];

/// Brings what is sent to 192.0.2.1 to a port. Connections of the relay's own, which are marked,
/// are left alone; answers to sockets that have a client's address are led to them.
const RULES: &str = "
    ip address add 198.51.100.1/32 dev lo
    ip rule add fwmark 0x1000/0x1000 lookup 4096
    ip route add local default dev lo table 4096
    ip route add 192.0.2.0/24 dev lo
    nft -f - <<END
    table ip t {
        chain out {
            type route hook output priority mangle;
            meta mark 0x4000 return
            ip daddr 192.0.2.1 tcp dport 80 meta mark set 0x1000
        }
        chain pre {
            type filter hook prerouting priority mangle;
            ip daddr 192.0.2.1 tcp dport 80 tproxy to 127.0.0.1:11000 meta mark set 0x1000 accept
        }
    }
END";

fn with_rules(test: impl FnOnce(&mut World, SocketAddr) + Send) {
    let settings = Settings {
        takes_direct: false,
        own_mark: 0x4000,
        ..settings()
    };
    world(settings, |world| {
        sh(RULES);
        test(world, "192.0.2.1:80".parse().unwrap());
    });
}

fn what_rules_bring_is_carried_and_what_they_do_not_is_closed() {
    with_rules(|world, service| {
        let (endpoint, connections) = held(host(1, 80));
        let direct = world.serve(11000, &[endpoint]);
        let _client = connect(service);
        let there = connections.recv_timeout(LONG).unwrap();
        assert!(there.peer_addr().unwrap().ip().is_loopback());
        assert_eq!(connect(direct).read(&mut [0]).unwrap(), 0);
        eventually("it is counted", || world.sums(11000).connections == 1);
    });
}

fn an_endpoint_sees_the_client_where_it_may() {
    with_rules(|world, service| {
        let (endpoint, connections) = held("198.51.100.1:8080".parse().unwrap());
        let mut to = upstream(&[endpoint]);
        to.here = [Target {
            address: endpoint.ip(),
            port: endpoint.port(),
        }]
        .into();
        let lead = Listener {
            source: Source::Client,
            ..listener(11000)
        };
        let refusals = world.relay.apply(&[
            Op::SetUpstream(name(11000), to),
            Op::Listen(address(11000), lead),
        ]);
        assert_eq!(refusals, []);
        let client = connect_from("198.51.100.77:4567".parse().unwrap(), service);
        let there = connections.recv_timeout(LONG).unwrap();
        // The client has its port on this very host, so another one is taken.
        let (seen, own) = (there.peer_addr().unwrap(), client.local_addr().unwrap());
        assert_eq!(seen.ip(), own.ip());
        let again = connect_from("198.51.100.1:4568".parse().unwrap(), service);
        // The endpoint's own address is not shown to it.
        let there = connections.recv_timeout(LONG).unwrap();
        assert_ne!(there.peer_addr().unwrap().port(), 4568);
        drop(again);
    });
}

fn connect_from(source: SocketAddr, to: SocketAddr) -> std::net::TcpStream {
    sh(&format!("ip address replace {}/32 dev lo", source.ip()));
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&source.into()).unwrap();
    socket.connect(&to.into()).unwrap();
    socket.into()
}
