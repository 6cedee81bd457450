//! Listeners that come, go, change and cannot be.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use fairlead_core::address::{Family, Protocol};
use fairlead_relay::Drained;
use fairlead_relay::fake::FakeRelay;
use fairlead_relay::handle::{ListenerAddress, Op, Refusal, Relay};

use crate::harness::{LONG, eventually, nothing_starts};
use crate::world::{
    address, ask, assert_reset, connect, echo, held, host, listener, name, named, settings,
    upstream, world,
};

crate::tests![
    a_port_in_use_is_refused_and_the_rest_works,
    who_else_has_a_port_is_found_out_without_a_trace,
    a_port_is_free_as_soon_as_it_is_closed,
    who_connects_before_a_listener_is_closed_is_carried,
    connections_outlive_their_listener_and_endpoint,
    a_listener_may_lead_elsewhere,
    what_cannot_be_is_refused_as_by_the_fake,
    draining_waits_for_what_ends_and_resets_the_rest,
    a_relay_that_goes_resets_its_connections,
];

fn a_port_in_use_is_refused_and_the_rest_works() {
    world(settings(), |world| {
        let taken = TcpListener::bind(address(11000).socket()).unwrap();
        let endpoint = named(host(1, 80), 1);
        let listen = |port| Op::Listen(address(port), listener(11001));
        let refusals = world.relay.apply(&[
            Op::SetUpstream(name(11001), upstream(&[endpoint])),
            listen(11000),
            listen(11001),
        ]);
        let errno = libc::EADDRINUSE;
        assert_eq!(refusals, [Refusal { op: 1, errno }]);
        assert_eq!(ask(address(11001).socket()).unwrap(), 1);
        assert_eq!(world.relay.observe().listeners.len(), 1);
        let alone = nothing_starts();
        drop(taken);
        assert_eq!(world.relay.apply(&[listen(11000)]), []);
        drop(alone);
        assert_eq!(ask(address(11000).socket()).unwrap(), 1);
    });
}

fn who_else_has_a_port_is_found_out_without_a_trace() {
    world(settings(), |world| {
        world.serve(11000, &[named(host(1, 80), 1)]);
        let kinds = [
            (Family::V4, Protocol::Tcp),
            (Family::V4, Protocol::Udp),
            (Family::V6, Protocol::Tcp),
            (Family::V6, Protocol::Udp),
        ];
        let at = |(family, protocol), port| ListenerAddress {
            family,
            protocol,
            port,
        };
        let all = kinds.map(|kind| (11000..=11999).map(move |port| at(kind, port)));
        let all: Vec<_> = all.into_iter().flatten().collect();
        assert_eq!(world.relay.in_use(&all), BTreeSet::new());
        // On this address or on all, of this family or of both.
        let tcp = TcpListener::bind("127.0.0.1:11001").unwrap();
        let tcp_of_both = TcpListener::bind("[::]:11002").unwrap();
        let udp = UdpSocket::bind("0.0.0.0:11003").unwrap();
        let taken = [
            at(kinds[0], 11001),
            at(kinds[0], 11002),
            at(kinds[2], 11002),
            at(kinds[1], 11003),
        ];
        assert_eq!(world.relay.in_use(&all), BTreeSet::from(taken));
        let alone = nothing_starts();
        drop((tcp, tcp_of_both, udp));
        assert_eq!(world.relay.in_use(&all), BTreeSet::new());
        drop(alone);
        assert_eq!(ask(address(11000).socket()).unwrap(), 1);
    });
}

fn a_port_is_free_as_soon_as_it_is_closed() {
    world(settings(), |world| {
        let to = world.serve(11000, &[named(host(1, 80), 1)]);
        for _ in 0..50 {
            assert_eq!(ask(to).unwrap(), 1);
            let refusals = world.relay.apply(&[
                Op::Close(address(11000)),
                Op::Listen(address(11000), listener(11000)),
            ]);
            assert_eq!(refusals, []);
        }
        assert_eq!(world.relay.apply(&[Op::Close(address(11000))]), []);
        assert!(TcpStream::connect(to).is_err());
        // Nobody else is kept from it, either.
        TcpListener::bind(to).unwrap();
    });
}

fn who_connects_before_a_listener_is_closed_is_carried() {
    world(settings(), |world| {
        let endpoint = named(host(1, 80), 1);
        for _ in 0..20 {
            let to = world.serve(11000, &[endpoint]);
            let crowd = || (0..25).map(|_| connect(to)).collect::<Vec<_>>();
            let clients: Vec<TcpStream> = thread::scope(|scope| {
                let crowds = [(); 4].map(|()| scope.spawn(crowd));
                crowds.map(|crowd| crowd.join().unwrap())
            })
            .into_iter()
            .flatten()
            .collect();
            assert_eq!(world.relay.apply(&[Op::Close(address(11000))]), []);
            for mut client in clients {
                let mut name = [0];
                client.read_exact(&mut name).unwrap();
                assert_eq!(name, [1]);
            }
        }
    });
}

fn connections_outlive_their_listener_and_endpoint() {
    world(settings(), |world| {
        let to = world.serve(11000, &[echo(host(1, 80))]);
        let mut client = connect(to);
        let mut say = |word: &[u8]| {
            let mut answer = vec![0; word.len()];
            client.write_all(word).unwrap();
            client.read_exact(&mut answer).unwrap();
            assert_eq!(answer, word);
        };
        say(b"before");
        let others = upstream(&[named(host(2, 80), 2)]);
        let set = [Op::SetUpstream(name(11000), others)];
        assert_eq!(world.relay.apply(&set), []);
        assert_eq!(ask(to).unwrap(), 2);
        say(b"without its endpoint");
        let gone = [Op::Close(address(11000)), Op::RemoveUpstream(name(11000))];
        assert_eq!(world.relay.apply(&gone), []);
        assert!(TcpStream::connect(to).is_err());
        say(b"without its listener");
    });
}

fn a_listener_may_lead_elsewhere() {
    world(settings(), |world| {
        let to = world.serve(11000, &[named(host(1, 80), 1)]);
        world.serve(11001, &[named(host(2, 80), 2)]);
        assert_eq!(ask(to).unwrap(), 1);
        let lead = [Op::Listen(address(11000), listener(11001))];
        assert_eq!(world.relay.apply(&lead), []);
        assert_eq!(ask(to).unwrap(), 2);
        let gone = [Op::RemoveUpstream(name(11000))];
        assert_eq!(world.relay.apply(&gone), []);
    });
}

fn what_cannot_be_is_refused_as_by_the_fake() {
    world(settings(), |world| {
        let mut sctp = address(11002);
        sctp.protocol = fairlead_core::address::Protocol::Sctp;
        let mut other_family = address(11003);
        other_family.family = fairlead_core::address::Family::V6;
        let ops = [
            Op::Listen(address(11000), listener(11000)),
            Op::SetUpstream(name(11000), upstream(&[])),
            Op::Listen(address(11000), listener(11000)),
            Op::RemoveUpstream(name(11000)),
            Op::RemoveUpstream(name(11001)),
            Op::Listen(sctp, listener(11000)),
            Op::Listen(other_family, listener(11000)),
            Op::Listen(address(0), listener(11000)),
            Op::Close(address(11005)),
            Op::Close(address(11000)),
            Op::RemoveUpstream(name(11000)),
        ];
        let refusals = world.relay.apply(&ops);
        let expected = [
            (0, libc::ENOENT),
            (3, libc::EBUSY),
            (4, libc::ENOENT),
            (5, libc::EPROTONOSUPPORT),
            (6, libc::EAFNOSUPPORT),
            (7, libc::EINVAL),
            (8, libc::ENOENT),
        ];
        assert_eq!(refusals, expected.map(|(op, errno)| Refusal { op, errno }));
        let mut fake = FakeRelay::new();
        assert_eq!(fake.apply(&ops), refusals);
        assert_eq!(fake.observe(), world.relay.observe());
    });
}

fn draining_waits_for_what_ends_and_resets_the_rest() {
    world(settings(), |world| {
        let (endpoint, connections) = held(host(1, 80));
        let to = world.serve(11000, &[endpoint]);
        let pairs: Vec<_> = (0..3)
            .map(|_| (connect(to), connections.recv_timeout(LONG).unwrap()))
            .collect();
        let mut pairs = pairs.into_iter();
        let (first, (mut second, _endpoint), (mut third, _other)) = (
            pairs.next().unwrap(),
            pairs.next().unwrap(),
            pairs.next().unwrap(),
        );
        let handle = world.relay.handle();
        eventually("all are open", || world.now(11000).connections == 3);
        let begin = Instant::now();
        let drain = thread::spawn(move || handle.drain(Duration::from_secs(4)));
        eventually("it listens no more", || {
            world.relay.observe().listeners.is_empty()
        });
        assert!(TcpStream::connect(to).is_err());
        // Who ends before those are counted that are open is not told of.
        thread::sleep(Duration::from_millis(500));
        drop(first);
        second.write_all(b"still carried").unwrap();
        assert_eq!(drain.join().unwrap(), Drained { ended: 1, reset: 2 });
        assert!(begin.elapsed() < LONG);
        assert_reset(&mut second);
        assert_reset(&mut third);
        let errno = libc::ESHUTDOWN;
        let listen = [Op::Listen(address(11000), listener(11000))];
        assert_eq!(world.relay.apply(&listen), [Refusal { op: 0, errno }]);
    });
}

fn a_relay_that_goes_resets_its_connections() {
    let mut pair = None;
    world(settings(), |world| {
        let (endpoint, connections) = held(host(1, 80));
        let client = connect(world.serve(11000, &[endpoint]));
        pair = Some((client, connections.recv_timeout(LONG).unwrap()));
    });
    let (mut client, mut endpoint) = pair.unwrap();
    assert_reset(&mut client);
    assert_reset(&mut endpoint);
}
