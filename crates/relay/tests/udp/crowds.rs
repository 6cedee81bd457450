//! More clients than there are places for.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use fairlead_relay::settings::Settings;

use crate::harness::{eventually, nothing_starts};
use crate::world::{Client, World, client, endpoint, world, world_with};

crate::tests![
    when_there_are_too_many_who_is_idle_the_longest_goes,
    a_flood_of_one_service_leaves_the_clients_of_another_alone,
    half_of_the_ports_are_left_to_the_rest_of_the_node,
    where_others_have_all_ports_clients_share_what_is_left,
    fifty_thousand_clients_are_all_answered_in_bounded_memory,
];

fn limited(max_connections: usize) -> Settings {
    Settings {
        max_connections,
        ..Settings::default()
    }
}

fn when_there_are_too_many_who_is_idle_the_longest_goes() {
    world(limited(10), |world| {
        let endpoints = [1, 2, 3].map(endpoint);
        let to = world.serve(0, &endpoints);
        // Four fifths of the places are for one service.
        let clients: Vec<_> = (0..8).map(|_| client("192.0.2.1:0")).collect();
        let before: Vec<u8> = clients.iter().map(|client| client.whom(to)).collect();
        assert_eq!(world.sessions(0), 8);
        // The first is not the one that is idle the longest any more: that is the second.
        clients[0].whom(to);
        client("192.0.2.1:0").whom(to);
        assert_eq!(world.sessions(0), 8);
        assert_eq!(world.counts(0).sums.sessions, 9);
        for place in (2..8).chain([0]) {
            assert_eq!(clients[place].whom(to), before[place]);
        }
        assert_eq!(world.counts(0).sums.sessions, 9, "all were still there");
        clients[1].whom(to);
        assert_eq!(world.counts(0).sums.sessions, 10, "this one was not");
        assert_eq!(world.sessions(0), 8);
    });
}

fn a_flood_of_one_service_leaves_the_clients_of_another_alone() {
    world(limited(500), |world| {
        let endpoints = [1, 2, 3].map(endpoint);
        let quiet = world.serve(0, &endpoints);
        let flooded = world.serve(1, &endpoints);
        let clients: Vec<_> = (0..50).map(|_| client("192.0.2.1:0")).collect();
        let before: Vec<u8> = clients.iter().map(|client| client.whom(quiet)).collect();
        // Some are lost where more come than may wait.
        eventually("enough have come", || {
            for number in 0..5_000 {
                client(&format!("192.0.2.{}:0", 2 + number % 200)).send(b"flood", flooded);
            }
            world.counts(1).sums.sessions >= 4_000
        });
        assert!(world.sessions(1) <= 400);
        for (client, before) in clients.iter().zip(before) {
            assert_eq!(client.whom(quiet), before);
        }
        for _ in 0..20 {
            client("192.0.2.1:0").whom(quiet);
        }
        assert_eq!(world.counts(0).sums.sessions, 70, "none was lost");
        assert_eq!(world.counts(0).sums.refused, [0; 4]);
    });
}

const TWO_HUNDRED_PORTS: &str = "sysctl -q net.ipv4.ip_local_port_range='40000 40199'";

fn half_of_the_ports_are_left_to_the_rest_of_the_node() {
    world_with(TWO_HUNDRED_PORTS, Settings::default(), |world| {
        let endpoint = endpoint(1);
        let to = world.serve(0, [&endpoint]);
        let _alone = nothing_starts();
        for port in 5_000..5_300 {
            client(&format!("192.0.2.1:{port}")).whom(to);
        }
        assert_eq!(world.sessions(0), 80, "four fifths of a half");
        let others: Vec<_> = (0..100).map(|_| UdpSocket::bind("0.0.0.0:0")).collect();
        assert!(others.iter().all(Result::is_ok));
    });
}

fn where_others_have_all_ports_clients_share_what_is_left() {
    world_with(TWO_HUNDRED_PORTS, Settings::default(), |world| {
        let endpoint = endpoint(1);
        let to = world.serve(0, [&endpoint]);
        let _alone = nothing_starts();
        let mut others: Vec<_> = (0..)
            .map_while(|_| UdpSocket::bind("0.0.0.0:0").ok())
            .collect();
        assert_eq!(others.len(), 200);
        others.truncate(190);
        for port in 5_000..5_050 {
            client(&format!("192.0.2.1:{port}")).whom(to);
        }
        assert_eq!(world.sessions(0), 10);
    });
}

/// Clients that are there at the same time.
const CROWD: usize = 500;

fn fifty_thousand_clients_are_all_answered_in_bounded_memory() {
    let idle = Settings {
        udp_idle: Duration::from_secs(10),
        ..Settings::default()
    };
    world(idle, |world| {
        let endpoints = [1, 2, 3].map(endpoint);
        let to = world.serve(0, &endpoints);
        let descriptors = descriptors();
        let first = client("192.0.2.1:6000");
        first.whom(to);
        let mut memory = 0;
        for crowd in 0..100 {
            meet(crowd, to);
            if crowd == 49 {
                memory = resident();
            }
        }
        let counts = world.counts(0);
        assert!(counts.sums.sessions >= 50_000, "{counts:?}");
        assert!(counts.now.sessions < 20_000, "{counts:?}");
        let grown = resident().saturating_sub(memory);
        assert!(
            grown < 8 << 20,
            "{grown} bytes more for as many clients again"
        );
        first.whom(to);
        nobody_is_left(world, descriptors);
    });
}

/// Has a crowd of new clients ask, and all of them be answered. A datagram may be lost, as anywhere.
fn meet(crowd: usize, to: SocketAddr) {
    let clients: Vec<Client> = (0..CROWD)
        .map(|number| {
            let (address, port) = (1 + crowd % 200, 20_000 + (crowd / 200) * CROWD + number);
            client(&format!("192.0.2.{address}:{port}"))
        })
        .collect();
    for client in &clients {
        client.send(b"hello", to);
    }
    for client in &clients {
        let answered = client.hear_or_ask_again(b"hello", to);
        assert_eq!((answered.from, &*answered.bytes), (to, &b"hello"[..]));
    }
}

fn nobody_is_left(world: &World, descriptors: usize) {
    eventually("all are forgotten", || world.sessions(0) == 0);
    // Other tests may still be at it.
    eventually("their descriptors are closed", || {
        self::descriptors() < descriptors + 10
    });
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// How many bytes of this process are in memory.
fn resident() -> usize {
    let all = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = all.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}
