//! What comes in goes out, and ends as it ended.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use fairlead_core::address::Family;
use fairlead_relay::handle::{Op, Relay};
use fairlead_relay::settings::Settings;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use socket2::SockRef;

use crate::harness::{LONG, eventually, output, sh};
use crate::world::{
    address, assert_reset, connect, echo, endpoint, fill, held, host, listener, name, noise,
    read_all, settings, upstream, world,
};

crate::tests![
    a_byte_is_carried_at_once,
    what_is_said_last_comes_in_one_packet_with_the_end,
    much_is_carried_both_ways_at_once,
    ipv6_is_carried,
    what_a_client_has_said_is_answered,
    what_an_endpoint_has_said_is_answered,
    who_reads_slowly_slows_the_sender,
    many_slow_readers_get_everything,
    a_client_that_vanishes_is_noticed,
    any_chunks_come_out_as_they_went_in,
    nothing_behind_an_urgent_byte_is_lost,
];

fn a_byte_is_carried_at_once() {
    world(settings(), |world| {
        let to = world.serve(11000, &[echo(host(1, 80))]);
        let mut client = connect(to);
        let begin = Instant::now();
        for byte in 0..=255 {
            client.write_all(&[byte]).unwrap();
            let mut answer = [0];
            client.read_exact(&mut answer).unwrap();
            assert_eq!(answer, [byte]);
        }
        // Held back for more to come, each would take 200 ms (`TCP_CORK`, tcp(7)), and all a minute.
        assert!(begin.elapsed() < LONG);
        drop(client);
        eventually("it is over", || world.now(11000).connections == 0);
        let sums = world.sums(11000);
        assert_eq!(sums.connections, 1);
        assert_eq!((sums.bytes_from_clients, sums.bytes_to_clients), (256, 256));
    });
}

fn what_is_said_last_comes_in_one_packet_with_the_end() {
    world(settings(), |world| {
        let endpoint = endpoint(host(1, 80), |mut stream| {
            SockRef::from(&stream).set_tcp_cork(true).unwrap();
            stream.write_all(b"bye").unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            // Until it is over, however that ends.
            let _ = stream.read(&mut [0]);
        });
        let client = connect(world.serve(11000, &[endpoint]));
        assert_eq!(read_all(&client), b"bye");
        // The listener's part of the handshake, and the packet.
        assert_eq!(segments_in(&client), 2);
    });
}

/// How many packets a connection has received (`tcpi_segs_in`, linux/tcp.h).
fn segments_in(stream: &TcpStream) -> usize {
    let own = stream.local_addr().unwrap();
    let output = output(Command::new("ss").args(["-tinH", "src", &own.to_string()]));
    let output = String::from_utf8(output.stdout).unwrap();
    let mut fields = output.split_whitespace();
    let segments = fields.find_map(|field| field.strip_prefix("segs_in:"));
    segments.expect(&output).parse().unwrap()
}

fn much_is_carried_both_ways_at_once() {
    const LENGTH: usize = 32 << 20;
    world(settings(), |world| {
        let (endpoint, connections) = held(host(1, 80));
        let client = connect(world.serve(11000, &[endpoint]));
        let endpoint = connections.recv_timeout(LONG).unwrap();
        let (up, down) = (noise(LENGTH, 1), noise(LENGTH, 2));
        thread::scope(|scope| {
            for (stream, said) in [(&client, &up), (&endpoint, &down)] {
                scope.spawn(move || {
                    (&*stream).write_all(said).unwrap();
                    stream.shutdown(Shutdown::Write).unwrap();
                });
            }
            for (stream, expected) in [(&endpoint, &up), (&client, &down)] {
                scope.spawn(move || assert!(read_all(stream) == **expected));
            }
        });
        eventually("it is over", || world.now(11000).connections == 0);
        assert_eq!(world.sums(11000).bytes_from_clients, LENGTH as u64);
    });
}

fn ipv6_is_carried() {
    world(settings(), |world| {
        let endpoint = echo("[::1]:80".parse().unwrap());
        let (mut name, mut address) = (name(11000), address(11000));
        (name.family, address.family) = (Family::V6, Family::V6);
        let mut listener = listener(11000);
        listener.upstream = name.clone();
        let refusals = world.relay.apply(&[
            Op::SetUpstream(name, upstream(&[endpoint])),
            Op::Listen(address, listener),
        ]);
        assert_eq!(refusals, []);
        let mut client = connect(address.socket());
        client.write_all(b"hello").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_all(&client), b"hello");
        // The port of the other family is somebody else's.
        let other: SocketAddr = ([127, 0, 0, 1], 11000).into();
        assert!(TcpStream::connect(other).is_err());
    });
}

fn what_a_client_has_said_is_answered() {
    world(settings(), |world| {
        let (endpoint, connections) = held(host(1, 80));
        let mut client = connect(world.serve(11000, &[endpoint]));
        client.write_all(b"question").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut endpoint = connections.recv_timeout(LONG).unwrap();
        assert_eq!(read_all(&endpoint), b"question");
        endpoint.write_all(b"answer").unwrap();
        drop(endpoint);
        assert_eq!(read_all(&client), b"answer");
    });
}

fn what_an_endpoint_has_said_is_answered() {
    world(settings(), |world| {
        let (endpoint, connections) = held(host(1, 80));
        let mut client = connect(world.serve(11000, &[endpoint]));
        let mut endpoint = connections.recv_timeout(LONG).unwrap();
        endpoint.write_all(b"greeting").unwrap();
        endpoint.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_all(&client), b"greeting");
        client.write_all(b"thanks").unwrap();
        drop(client);
        assert_eq!(read_all(&endpoint), b"thanks");
        eventually("it is over", || world.now(11000).connections == 0);
    });
}

fn who_reads_slowly_slows_the_sender() {
    // What the four sockets hold at most by themselves (net.ipv4.tcp_rmem, tcp_wmem).
    const BUFFERS: usize = 96 << 20;
    world(settings(), |world| {
        let (address, connections) = held(host(1, 80));
        let client = connect(world.serve(11000, &[address]));
        let mut endpoint = connections.recv_timeout(LONG).unwrap();
        let written = fill(&client);
        assert!(written < BUFFERS, "{written}");
        client.shutdown(Shutdown::Write).unwrap();
        let mut read = Vec::new();
        endpoint.read_to_end(&mut read).unwrap();
        assert_eq!(read.len(), written);
        assert!(read.iter().all(|byte| *byte == 7));
    });
}

/// More of them than there are pipes.
fn many_slow_readers_get_everything() {
    const CLIENTS: usize = 400;
    world(settings(), |world| {
        let (address, connections) = held(host(1, 80));
        let to = world.serve(11000, &[address]);
        let length = 3 << 20;
        let said = noise(length, 3);
        let pairs: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let client = connect(to);
                SockRef::from(&client)
                    .set_send_buffer_size(1 << 20)
                    .unwrap();
                (client, connections.recv_timeout(LONG).unwrap())
            })
            .collect();
        thread::scope(|scope| {
            for (client, endpoint) in &pairs {
                let said = &said;
                scope.spawn(move || {
                    (&*client).write_all(said).unwrap();
                    client.shutdown(Shutdown::Write).unwrap();
                });
                scope.spawn(move || {
                    thread::sleep(Duration::from_millis(500));
                    assert!(read_all(endpoint) == *said);
                });
            }
        });
    });
}

fn a_client_that_vanishes_is_noticed() {
    let mut settings = settings();
    settings.keepalive.idle = Duration::from_secs(1);
    settings.keepalive.interval = Duration::from_secs(1);
    settings.keepalive.probes = 2;
    world(Settings { ..settings }, |world| {
        let (address, connections) = held(host(1, 80));
        let client = connect(world.serve(11000, &[address]));
        let mut endpoint = connections.recv_timeout(LONG).unwrap();
        let port = client.local_addr().unwrap().port();
        sh(&format!(
            "nft 'add table t; add chain t in {{ type filter hook input priority 0; }}; \
             add rule t in tcp sport {port} drop; add rule t in tcp dport {port} drop'"
        ));
        assert_reset(&mut endpoint);
        eventually("it is over", || world.now(11000).connections == 0);
    });
}

fn any_chunks_come_out_as_they_went_in() {
    world(settings(), |world| {
        let (address, connections) = held(host(1, 80));
        let to = world.serve(11000, &[address]);
        let chunks = || prop::collection::vec(1..200_000_usize, 0..24);
        let cases = (chunks(), chunks(), any::<bool>(), any::<u64>());
        let config = Config {
            cases: 60,
            failure_persistence: None,
            ..Config::default()
        };
        let carried = TestRunner::new(config).run(&cases, |(writes, reads, small, seed)| {
            let client = connect(to);
            let endpoint = connections.recv_timeout(LONG).unwrap();
            if small {
                SockRef::from(&client)
                    .set_send_buffer_size(4 << 10)
                    .unwrap();
                SockRef::from(&endpoint)
                    .set_recv_buffer_size(64 << 10)
                    .unwrap();
            }
            let said = noise(writes.iter().sum(), seed);
            let (there, back) = exchange(&client, &endpoint, &said, &writes, &reads);
            prop_assert!(there == said);
            prop_assert!(back == said);
            Ok(())
        });
        carried.unwrap();
    });
}

/// splice(2) goes no further than to an urgent byte (tcp(7)), even where nothing follows but the end.
fn nothing_behind_an_urgent_byte_is_lost() {
    world(settings(), |world| {
        let (address, connections) = held(host(1, 80));
        let to = world.serve(11000, &[address]);
        for round in 0..20 {
            let (before, behind) = (noise(4 << 20, round), noise(256 << 10, round));
            let mut client = connect(to);
            let mut endpoint = connections.recv_timeout(LONG).unwrap();
            let mut said = vec![0; before.len() + behind.len()];
            thread::scope(|scope| {
                scope.spawn(|| endpoint.read_exact(&mut said).unwrap());
                client.write_all(&before).unwrap();
                SockRef::from(&client).send_out_of_band(b"!").unwrap();
                for chunk in behind.chunks(64 << 10) {
                    client.write_all(chunk).unwrap();
                }
                if round % 2 == 0 {
                    client.shutdown(Shutdown::Write).unwrap();
                }
            });
            assert!(said == [before, behind].concat());
        }
    });
}

/// The client says something in chunks, the endpoint reads it in chunks and says it back.
fn exchange(
    client: &TcpStream,
    endpoint: &TcpStream,
    said: &[u8],
    writes: &[usize],
    reads: &[usize],
) -> (Vec<u8>, Vec<u8>) {
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut rest = said;
            for length in writes {
                let (chunk, later) = rest.split_at(*length);
                (&*client).write_all(chunk).unwrap();
                rest = later;
            }
            client.shutdown(Shutdown::Write).unwrap();
        });
        let there = scope.spawn(|| {
            let (mut all, mut sizes) = (Vec::new(), reads.iter().cycle());
            loop {
                let mut chunk = vec![0; sizes.next().copied().unwrap_or(1 << 16)];
                let length = (&*endpoint).read(&mut chunk).unwrap();
                if length == 0 {
                    endpoint.shutdown(Shutdown::Write).unwrap();
                    return all;
                }
                (&*endpoint).write_all(&chunk[..length]).unwrap();
                all.extend_from_slice(&chunk[..length]);
            }
        });
        let back = read_all(client);
        (there.join().unwrap(), back)
    })
}
