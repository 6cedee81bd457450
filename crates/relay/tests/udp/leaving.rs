//! Clients, endpoints and listeners that go.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use fairlead_core::address::Family;
use fairlead_relay::counts::Refused;
use fairlead_relay::handle::{Op, Relay};
use fairlead_relay::settings::Settings;

use crate::harness::{eventually, most_failures, nothing_starts, upstreams};
use crate::world::{
    Client, Endpoint, World, address, at, client, endpoint, listener, name, upstream, world,
};

crate::tests![
    a_client_that_is_idle_is_forgotten,
    traffic_in_either_direction_keeps_a_session,
    clients_of_an_endpoint_that_leaves_go_to_another,
    clients_of_an_endpoint_that_refuses_go_to_another,
    an_endpoint_that_refuses_is_left_out_and_tried_again,
    a_service_whose_only_endpoint_is_away_is_back_when_it_is,
    without_endpoints_clients_are_refused,
    a_listener_that_is_closed_forgets_its_clients_and_frees_its_port,
    a_listener_can_lead_to_another_upstream,
];

fn idle_after(udp_idle: Duration) -> Settings {
    Settings {
        udp_idle,
        ..Settings::default()
    }
}

fn a_client_that_is_idle_is_forgotten() {
    let idle = Duration::from_secs(2);
    world(idle_after(idle), |world| {
        let endpoints = [1, 2].map(endpoint);
        let to = world.serve(0, &endpoints);
        let client = client("192.0.2.1:5000");
        let begin = Instant::now();
        let first = client.whom(to);
        eventually("it is forgotten", || world.sessions(0) == 0);
        assert!(begin.elapsed() >= idle);
        assert_ne!(client.whom(to), first, "it is the other's turn");
    });
}

fn traffic_in_either_direction_keeps_a_session() {
    // A busy machine may need a second or two more between two words.
    world(idle_after(Duration::from_secs(4)), |world| {
        let endpoints = [1, 2].map(endpoint);
        let to = world.serve(0, &endpoints);
        // An endpoint that is in the test's own hands, and no more than listened to.
        let silent = client("127.0.1.9:5353");
        let mut other = upstream([]);
        other.cluster = [upstreams::target(at("127.0.1.9:5353"))].into();
        let to_silent = world.serve_as(1, other);
        let (speaks, listens) = (client("192.0.2.1:0"), client("192.0.2.2:0"));
        listens.send(b"subscribe", to_silent);
        let (_, session) = silent.0.recv_from(&mut [0; 9]).unwrap();
        let first = speaks.whom(to);
        for _ in 0..9 {
            thread::sleep(Duration::from_secs(1));
            assert_eq!(speaks.whom(to), first);
            silent.send(b"9 192.0.2.2:1 news", session);
            assert_eq!(listens.hear().unwrap().bytes, b"news");
        }
        assert_eq!([world.sessions(0), world.sessions(1)], [1, 1]);
    });
}

/// Clients enough that each of the endpoints has some, and whom each has.
fn clients(to: SocketAddr, count: usize) -> Vec<(Client, u8)> {
    let all = (0..count).map(|_| client("192.0.2.1:0"));
    all.map(|client| {
        let name = client.whom(to);
        (client, name)
    })
    .collect()
}

fn clients_of_an_endpoint_that_leaves_go_to_another() {
    world(Settings::default(), |world| {
        let endpoints = [1, 2, 3].map(endpoint);
        let to = world.serve(0, &endpoints);
        let clients = clients(to, 9);
        // It is still there and would answer.
        world.apply(&[Op::SetUpstream(
            name(Family::V4, 0),
            upstream(&endpoints[..2]),
        )]);
        for (client, before) in &clients {
            let now = client.whom(to);
            match before {
                3 => assert!(now < 3),
                before => assert_eq!(now, *before, "others stay"),
            }
        }
        assert_eq!(world.sessions(0), 9);
        assert_eq!(world.counts(0).sums.dial_failures, 0);
    });
}

/// Who answers although an endpoint refuses. That one is tried again when it was set aside for long
/// enough, by a datagram that is lost then.
fn whom_at_last(world: &World, client: &Client, to: SocketAddr) -> u8 {
    let (mut answer, mut failures) = (None, None);
    eventually("it is answered", || {
        let now = Some(world.counts(0).sums.dial_failures);
        if std::mem::replace(&mut failures, now) != now {
            client.send(b"who?", to);
        }
        answer = client.hear_within(Duration::from_millis(10)).ok();
        answer.is_some()
    });
    answer.unwrap().name
}

/// Ends one of three endpoints, and says who is left.
fn lose_one(mut endpoints: Vec<Endpoint>) -> Vec<Endpoint> {
    endpoints.pop();
    endpoints
}

fn clients_of_an_endpoint_that_refuses_go_to_another() {
    world(Settings::default(), |world| {
        let endpoints: Vec<_> = [1, 2, 3].map(endpoint).into();
        let mut upstream = upstream(&endpoints);
        upstream.affinity_seconds = Some(60);
        let to = world.serve_as(0, upstream);
        let clients: Vec<_> = (1..=9)
            .map(|last| client(&format!("192.0.2.{last}:0")))
            .map(|client| (client.whom(to), client))
            .collect();
        let _left = lose_one(endpoints);
        let begin = Instant::now();
        for (before, client) in &clients {
            if *before == 3 {
                // This one is lost, and the refusal tells why.
                client.send(b"who?", to);
            }
        }
        eventually("it is refused", || world.counts(0).sums.dial_failures == 3);
        for (before, client) in &clients {
            let now = whom_at_last(world, client, to);
            assert!(if *before == 3 {
                now < 3
            } else {
                now == *before
            });
        }
        assert_eq!(world.sessions(0), 9);
        let counts = world.counts(0);
        assert_eq!(counts.now.set_aside, 1);
        let trials = most_failures(begin) - 1;
        assert!(counts.sums.dial_failures <= 3 + trials, "{counts:?}");
    });
}

fn an_endpoint_that_refuses_is_left_out_and_tried_again() {
    world(Settings::default(), |world| {
        let endpoints: Vec<_> = [1, 2, 3].map(endpoint).into();
        let to = world.serve(0, &endpoints);
        let left = lose_one(endpoints);
        let begin = Instant::now();
        // Each of these is somebody new. One of the first three meets the one that is away.
        for _ in 0..3 {
            client("192.0.2.1:0").send(b"who?", to);
        }
        eventually("it is refused", || world.counts(0).now.set_aside == 1);
        for _ in 0..10 {
            assert!(whom_at_last(world, &client("192.0.2.1:0"), to) < 3);
        }
        let failures = world.counts(0).sums.dial_failures;
        assert!(failures <= most_failures(begin), "{failures}");
        let _all = (left, endpoint(3));
        eventually("it is tried again", || {
            thread::sleep(Duration::from_millis(50));
            client("192.0.2.1:0").whom(to) == 3
        });
        eventually("it is not set aside any more", || {
            world.counts(0).now.set_aside == 0
        });
    });
}

fn a_service_whose_only_endpoint_is_away_is_back_when_it_is() {
    world(Settings::default(), |world| {
        let only = endpoint(1);
        let to = world.serve(0, [&only]);
        let client = client("192.0.2.1:0");
        assert_eq!(client.whom(to), 1);
        drop(only);
        let failures = || world.counts(0).sums.dial_failures;
        for _ in 0..5 {
            let before = failures();
            client.send(b"who?", to);
            eventually("it is refused", || failures() > before);
        }
        let _only = endpoint(1);
        assert_eq!(client.whom(to), 1);
    });
}

fn without_endpoints_clients_are_refused() {
    world(Settings::default(), |world| {
        let to = world.serve(0, []);
        client("192.0.2.1:0").send(b"who?", to);
        let refused = |world: &World| world.counts(0).sums.refused[Refused::NoEndpoint.rank()];
        eventually("it is refused", || refused(world) == 1);
        assert_eq!(world.sessions(0), 0);
        let endpoint = endpoint(1);
        world.serve(0, [&endpoint]);
        assert_eq!(client("192.0.2.1:0").whom(to), 1);
    });
}

fn a_listener_that_is_closed_forgets_its_clients_and_frees_its_port() {
    world(Settings::default(), |world| {
        let endpoint = endpoint(1);
        let alone = nothing_starts();
        for round in 1..=20 {
            let to = world.serve(0, [&endpoint]);
            clients(to, 3);
            assert_eq!(world.counts(0).sums.sessions, 3 * round);
            world.apply(&[Op::Close(address(Family::V4, 0))]);
        }
        eventually("clients are forgotten", || world.sessions(0) == 0);
        world.apply(&[Op::RemoveUpstream(name(Family::V4, 0))]);
        let taken = std::net::UdpSocket::bind(address(Family::V4, 0).socket()).unwrap();
        world.apply(&[Op::SetUpstream(name(Family::V4, 0), upstream([&endpoint]))]);
        let listen = Op::Listen(address(Family::V4, 0), listener(Family::V4, 0));
        let refusals = world.relay.apply(std::slice::from_ref(&listen));
        let errno = refusals.first().map(|refusal| refusal.errno);
        assert_eq!(errno, Some(libc::EADDRINUSE));
        drop(taken);
        world.apply(&[listen]);
        drop(alone);
    });
}

fn a_listener_can_lead_to_another_upstream() {
    world(Settings::default(), |world| {
        let endpoints = [1, 2].map(endpoint);
        let to = world.serve(0, [&endpoints[0]]);
        world.serve(1, [&endpoints[1]]);
        let client = client("192.0.2.1:0");
        assert_eq!(client.whom(to), 1);
        world.apply(&[Op::Listen(address(Family::V4, 0), listener(Family::V4, 1))]);
        assert_eq!(client.whom(to), 2);
        assert_eq!([world.sessions(0), world.sessions(1)], [0, 1]);
    });
}
