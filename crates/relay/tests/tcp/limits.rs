//! How many connections there may be, and who gets them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use fairlead_relay::counts::Refused;
use fairlead_relay::settings::Settings;

use crate::harness::{LONG, eventually};
use crate::world::{ask, connect, echo, held, host, named, settings, world};

crate::tests![
    a_service_that_floods_leaves_room_for_others,
    a_service_that_floods_leaves_others_their_turn,
    there_are_no_more_connections_than_there_may_be,
];

fn a_service_that_floods_leaves_room_for_others() {
    let settings = Settings {
        max_connections: 100,
        ..settings()
    };
    world(settings, |world| {
        let (endpoint, connections) = held(host(1, 80));
        let flooded = world.serve(11000, &[endpoint]);
        let quiet = world.serve(11001, &[named(host(2, 80), 2)]);
        let clients: Vec<TcpStream> = (0..200)
            .filter_map(|_| TcpStream::connect(flooded).ok())
            .collect();
        let refused = || world.sums(11000).refused[Refused::Share.rank()];
        eventually("all are told", || {
            world.sums(11000).connections + refused() == 200
        });
        assert_eq!(world.now(11000).connections, 80);
        for _ in 0..100 {
            assert_eq!(ask(quiet).unwrap(), 2);
        }
        drop((clients, connections));
        eventually("all are over", || world.now(11000).connections == 0);
        connect(flooded);
    });
}

fn a_service_that_floods_leaves_others_their_turn() {
    let settings = Settings {
        threads: 1,
        max_connections: 100,
        ..settings()
    };
    world(settings, |world| {
        let mut client = connect(world.serve(11000, &[echo(host(1, 80))]));
        let flooded = world.serve(11001, &[]);
        let (begin, is_over) = (Instant::now(), AtomicBool::new(false));
        thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    while !is_over.load(Relaxed) && begin.elapsed() < 2 * LONG {
                        let _ = TcpStream::connect(flooded);
                    }
                });
            }
            while begin.elapsed() < Duration::from_secs(3) {
                client.write_all(b"x").unwrap();
                client.read_exact(&mut [0]).unwrap();
                thread::sleep(Duration::from_millis(1));
            }
            is_over.store(true, Relaxed);
        });
        // Each has a place until its turn. Since others have theirs after a few are accepted, there
        // always were places.
        let sums = world.sums(11001);
        assert_eq!(sums.refused[Refused::Share.rank()], 0, "{sums:?}");
        assert!(sums.refused[Refused::NoEndpoint.rank()] > 0, "{sums:?}");
    });
}

fn there_are_no_more_connections_than_there_may_be() {
    let settings = Settings {
        max_connections: 10,
        ..settings()
    };
    world(settings, |world| {
        let (endpoint, connections) = held(host(1, 80));
        let ports = 11000..11008;
        let clients: Vec<TcpStream> = ports
            .clone()
            .flat_map(|port| {
                let to = world.serve(port, &[endpoint]);
                // One that is reset may hear of it before it has been told that it is connected.
                (0..3).filter_map(move |_| TcpStream::connect(to).ok())
            })
            .collect();
        let considered = |port| {
            let sums = world.sums(port);
            sums.connections + sums.refused.iter().sum::<u64>()
        };
        eventually("all are told", || {
            ports.clone().map(considered).sum::<u64>() == 24
        });
        let open: usize = ports.map(|port| world.now(port).connections).sum();
        assert!((8..=10).contains(&open), "{open}");
        assert_eq!(connections.iter().take(open).count(), open);
        assert!(connections.try_recv().is_err());
        drop(clients);
    });
}
