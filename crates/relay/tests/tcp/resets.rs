//! Connections that are cut off.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::thread;

use crate::harness::{LONG, eventually};
use crate::world::{
    assert_reset, connect, endpoint, fill, held, host, read_all, reset, settings, world,
};

crate::tests![
    a_reset_is_told_to_the_other_side,
    a_reset_is_told_while_nobody_reads,
    a_reset_is_told_after_a_half_close,
    what_an_endpoint_says_before_it_resets_is_heard,
    what_a_client_says_before_it_resets_is_heard,
];

fn a_reset_is_told_to_the_other_side() {
    world(settings(), |world| {
        let (address, connections) = held(host(1, 80));
        let to = world.serve(11000, &[address]);
        let pair = || {
            let before = world.sums(11000).connections;
            let pair = (connect(to), connections.recv_timeout(LONG).unwrap());
            // An endpoint that resets a connection as it comes is dialled again.
            eventually("it is dialled", || world.sums(11000).connections > before);
            pair
        };

        // Nobody has said anything.
        let (client, mut endpoint) = pair();
        reset(client);
        assert_reset(&mut endpoint);
        let (mut client, endpoint) = pair();
        reset(endpoint);
        assert_reset(&mut client);

        // The other side has only been written to.
        let (mut client, mut endpoint) = pair();
        client.write_all(b"more").unwrap();
        endpoint.read_exact(&mut [0; 4]).unwrap();
        reset(endpoint);
        assert_reset(&mut client);
        let (mut client, mut endpoint) = pair();
        endpoint.write_all(b"more").unwrap();
        client.read_exact(&mut [0; 4]).unwrap();
        reset(client);
        assert_reset(&mut endpoint);
        eventually("all are over", || world.now(11000).connections == 0);
    });
}

fn a_reset_is_told_while_nobody_reads() {
    world(settings(), |world| {
        let (address, connections) = held(host(1, 80));
        let to = world.serve(11000, &[address]);
        for _ in 0..4 {
            let client = connect(to);
            let endpoint = connections.recv_timeout(LONG).unwrap();
            fill(&client);
            reset(client);
            eventually("it is over", || world.now(11000).connections == 0);
            drop(endpoint);
        }
    });
}

fn a_reset_is_told_after_a_half_close() {
    world(settings(), |world| {
        let (address, connections) = held(host(1, 80));
        let to = world.serve(11000, &[address]);
        let client = connect(to);
        let mut endpoint = connections.recv_timeout(LONG).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(endpoint.read(&mut [0]).unwrap(), 0);
        reset(client);
        // It has read all that there is, and is reset all the same.
        eventually("it is over", || world.now(11000).connections == 0);
        assert!(endpoint.take_error().unwrap().is_some());
    });
}

/// As an HTTP server does that has seen enough of a request.
fn what_an_endpoint_says_before_it_resets_is_heard() {
    world(settings(), |world| {
        let endpoint = endpoint(host(1, 80), |mut stream| {
            stream.read_exact(&mut [0; 100]).unwrap();
            stream.write_all(&[7; 1000]).unwrap();
        });
        let to = world.serve(11000, &[endpoint]);
        for _ in 0..50 {
            let mut client = connect(to);
            let chunk = vec![1; 64 << 10];
            while client.write_all(&chunk).is_ok() {}
            assert_eq!(read_all(&client), [7; 1000]);
        }
        eventually("all are over", || world.now(11000).connections == 0);
    });
}

fn what_a_client_says_before_it_resets_is_heard() {
    world(settings(), |world| {
        let (address, connections) = held(host(1, 80));
        let to = world.serve(11000, &[address]);
        for _ in 0..100 {
            let mut client = connect(to);
            let endpoint = connections.recv_timeout(LONG).unwrap();
            let chunk = vec![1; 64 << 10];
            thread::scope(|scope| {
                let speaks = scope.spawn(|| while (&endpoint).write_all(&chunk).is_ok() {});
                client.read_exact(&mut vec![0; 1 << 18]).unwrap();
                client.write_all(b"bye").unwrap();
                reset(client);
                speaks.join().unwrap();
            });
            assert_eq!(read_all(&endpoint), b"bye");
        }
        eventually("all are over", || world.now(11000).connections == 0);
    });
}
