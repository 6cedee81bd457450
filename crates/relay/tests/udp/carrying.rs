//! Datagrams there and back.

use std::collections::BTreeMap;
use std::net::UdpSocket;

use fairlead_core::address::Family;
use fairlead_relay::handle::{Listener, Op, Source};
use fairlead_relay::settings::Settings;

use crate::harness::eventually;
use crate::world::{
    SERVICES, address, at, client, endpoint, endpoint_at, listener, name, upstream, world,
};

crate::tests![
    answers_come_from_where_the_client_asked,
    clients_take_turns_and_each_keeps_its_endpoint,
    a_client_of_two_services_has_a_session_with_each,
    datagrams_of_any_length_are_carried,
    a_client_is_remembered_where_affinity_says_so,
    an_endpoint_sees_the_client_where_it_may,
    what_was_sent_to_the_listener_itself_is_not_carried,
    what_was_carried_is_counted,
];

fn answers_come_from_where_the_client_asked() {
    world(Settings::default(), |world| {
        let families = [
            (Family::V4, "127.0.1.1:5353", "192.0.2.1:0"),
            (Family::V6, "[fd00:e::1]:5353", "[fd00:2::1]:0"),
        ];
        for ((family, there, here), services) in families.into_iter().zip(SERVICES) {
            let endpoint = endpoint_at(at(there), 1);
            let (upstream, listener) = (upstream([&endpoint]), listener(family, 0));
            world.apply(&[
                Op::SetUpstream(name(family, 0), upstream),
                Op::Listen(address(family, 0), listener),
            ]);
            let clients = [client(here), client(here), client(here)];
            for round in 0..3 {
                for client in &clients {
                    let answer = client.ask(&[round], at(services[0]));
                    assert_eq!(answer.from, at(services[0]));
                    assert_eq!((answer.name, answer.bytes), (1, vec![round]));
                }
            }
        }
    });
}

fn clients_take_turns_and_each_keeps_its_endpoint() {
    world(Settings::default(), |world| {
        let endpoints = [1, 2, 3].map(endpoint);
        let to = world.serve(0, &endpoints);
        let clients: Vec<_> = (0..9).map(|_| client("192.0.2.1:0")).collect();
        let mut counts: BTreeMap<u8, usize> = BTreeMap::new();
        for client in &clients {
            let first = client.whom(to);
            *counts.entry(first).or_default() += 1;
            assert_eq!([client.whom(to), client.whom(to)], [first, first]);
        }
        assert_eq!(counts, BTreeMap::from([(1, 3), (2, 3), (3, 3)]));
        assert_eq!(world.sessions(0), 9);
    });
}

fn a_client_of_two_services_has_a_session_with_each() {
    world(Settings::default(), |world| {
        let endpoints = [1, 2].map(endpoint);
        let first = world.serve(0, [&endpoints[0]]);
        let second = world.serve(1, [&endpoints[1]]);
        let client = client("192.0.2.1:5000");
        for _ in 0..3 {
            for (to, name) in [(first, 1), (second, 2)] {
                let answer = client.ask(b"hello", to);
                assert_eq!((answer.from, answer.name), (to, name));
            }
        }
        assert_eq!([world.sessions(0), world.sessions(1)], [1, 1]);
    });
}

fn datagrams_of_any_length_are_carried() {
    world(Settings::default(), |world| {
        let endpoint = endpoint(1);
        let to = world.serve(0, [&endpoint]);
        let client = client("192.0.2.1:0");
        for length in [0_u32, 1, 1472, 1473, 9000, 60_000, 0] {
            let bytes: Vec<u8> = (0..length).map(|place| (place % 251) as u8).collect();
            assert!(client.ask(&bytes, to).bytes == bytes, "{length}");
        }
    });
}

fn a_client_is_remembered_where_affinity_says_so() {
    world(Settings::default(), |world| {
        let endpoints = [1, 2, 3].map(endpoint);
        let mut upstream = upstream(&endpoints);
        upstream.affinity_seconds = Some(60);
        let to = world.serve_as(0, upstream);
        let first = client("192.0.2.1:0").whom(to);
        for _ in 0..5 {
            assert_eq!(client("192.0.2.1:0").whom(to), first);
        }
        assert_ne!(client("192.0.2.2:0").whom(to), first);
    });
}

fn an_endpoint_sees_the_client_where_it_may() {
    world(Settings::default(), |world| {
        let endpoints = [1, 2].map(endpoint);
        let mut upstream = upstream(&endpoints);
        upstream.here = [endpoints[0].target()].into();
        let listener = Listener {
            source: Source::Client,
            ..listener(Family::V4, 0)
        };
        world.apply(&[
            Op::SetUpstream(name(Family::V4, 0), upstream),
            Op::Listen(address(Family::V4, 0), listener),
        ]);
        // The client's socket is on this host too, so its port is in use.
        for _ in 0..4 {
            let client = client("192.0.2.1:0");
            let answer = client.ask(b"hello", at(SERVICES[0][0]));
            let sees_client = answer.client.ip() == client.0.local_addr().unwrap().ip();
            assert_eq!(sees_client, answer.name == 1, "{answer:?}");
        }
    });
}

fn what_was_sent_to_the_listener_itself_is_not_carried() {
    world(Settings::default(), |world| {
        let endpoint = endpoint(1);
        let to = world.serve(0, [&endpoint]);
        let direct = address(Family::V4, 0).socket();
        let guesser = UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..10 {
            guesser.send_to(b"hello", direct).unwrap();
        }
        let client = client("192.0.2.1:0");
        assert_eq!(client.whom(to), 1, "the listener is as it was");
        assert_eq!(world.counts(0).sums.sessions, 1);
    });
    let settings = Settings {
        takes_direct: true,
        ..Settings::default()
    };
    world(settings, |world| {
        let endpoint = endpoint(1);
        world.serve(0, [&endpoint]);
        let direct = address(Family::V4, 0).socket();
        let client = client("127.0.0.1:0");
        for _ in 0..3 {
            assert_eq!(client.ask(b"hello", direct).from, direct);
        }
    });
}

fn what_was_carried_is_counted() {
    world(Settings::default(), |world| {
        let endpoint = endpoint(1);
        let to = world.serve(0, [&endpoint]);
        let clients = [client("192.0.2.1:0"), client("192.0.2.2:0")];
        let mut answered = 0;
        for client in &clients {
            for _ in 0..2 {
                let answer = client.ask(b"12345", to);
                answered += format!("1 {} 12345", answer.client).len() as u64;
            }
        }
        eventually("it is counted", || {
            world.counts(0).sums.bytes_to_clients == answered
        });
        let counts = world.counts(0);
        assert_eq!(counts.sums.bytes_from_clients, 20);
        assert_eq!((counts.sums.sessions, counts.now.sessions), (2, 2));
        assert_eq!((counts.sums.connections, counts.now.connections), (0, 0));
        assert_eq!(counts.sums.refused, [0; 4]);
    });
}
