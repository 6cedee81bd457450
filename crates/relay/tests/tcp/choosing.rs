//! Which endpoint a connection gets, and what happens when it does not answer.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::{Duration, Instant};

use fairlead_relay::counts::{Refused, Sums};
use fairlead_relay::handle::{Op, Relay};
use fairlead_relay::settings::Settings;

use crate::harness::{LONG, eventually, most_failures, sh};
use crate::world::{
    World, ask, connect, held, host, name, named, reset, settings, upstream, world,
};

crate::tests![
    endpoints_take_turns,
    an_endpoint_that_refuses_is_passed_over,
    a_black_hole_costs_the_first_step_alone,
    an_endpoint_that_dies_disturbs_its_own_connections_alone,
    who_leaves_while_an_endpoint_is_dialled_is_dialled_for_no_more,
    who_has_said_all_while_an_endpoint_is_dialled_is_answered,
    without_an_answer_the_client_is_reset,
    without_endpoints_the_client_is_reset,
];

/// Endpoints 1, 2 and so on, each with its number for a name.
fn three() -> Vec<SocketAddr> {
    (1..=3).map(|n| named(host(n, 80), n)).collect()
}

/// Who answers one client after another.
fn answers(to: SocketAddr, clients: usize) -> Vec<u8> {
    (0..clients).map(|_| ask(to).unwrap()).collect()
}

fn endpoints_take_turns() {
    world(settings(), |world| {
        let to = world.serve(11000, &three());
        let answers = answers(to, 9);
        for turn in answers.windows(4) {
            assert_eq!(turn[0], turn[3], "{answers:?}");
            assert_ne!(turn[0], turn[1], "{answers:?}");
        }
    });
}

fn an_endpoint_that_refuses_is_passed_over() {
    world(settings(), |world| {
        let mut endpoints = three();
        endpoints.push(host(4, 80));
        let to = world.serve(11000, &endpoints);
        let begin = Instant::now();
        let answers = answers(to, 12);
        assert!(
            answers.iter().all(|who| (1..=3).contains(who)),
            "{answers:?}"
        );
        assert_eq!(world.counts(11000).sums.connections, 12);
        assert_one_is_set_aside(world, begin);
    });
}

/// One endpoint is set aside since it failed for the first time, which was after `begin`. Whoever came
/// to it was carried to another one.
fn assert_one_is_set_aside(world: &World, begin: Instant) {
    let counts = world.counts(11000);
    let may_have_failed = 1..=most_failures(begin);
    assert!(
        may_have_failed.contains(&counts.sums.dial_failures),
        "{counts:?}"
    );
    assert_eq!(counts.sums.dial_failures, counts.sums.dial_retries);
    assert_eq!(counts.now.set_aside, 1);
}

fn black_hole(endpoint: SocketAddr) {
    sh(&format!(
        "nft 'add table t; add chain t in {{ type filter hook input priority 0; }}; \
         add rule t in ip daddr {} drop'",
        endpoint.ip()
    ));
}

fn a_black_hole_costs_the_first_step_alone() {
    // Whoever had to wait for the second step would not be answered in time.
    let step = Duration::from_secs(1);
    let settings = Settings {
        dial_timeouts: [step, 3 * LONG].into(),
        ..settings()
    };
    world(settings, |world| {
        let mut endpoints = three();
        black_hole(host(4, 80));
        endpoints.push(host(4, 80));
        let to = world.serve(11000, &endpoints);
        let begin = Instant::now();
        answers(to, 30);
        assert!(begin.elapsed() >= step);
        assert_one_is_set_aside(world, begin);
    });
}

fn an_endpoint_that_dies_disturbs_its_own_connections_alone() {
    let settings = Settings {
        dial_timeouts: [Duration::from_millis(250), 3 * LONG].into(),
        ..settings()
    };
    world(settings, |world| {
        let to = world.serve(11000, &three());
        let handle = world.relay.handle();
        let has_died = move || handle.counts().upstreams[&name(11000)].now.set_aside == 1;
        // Some before, and enough after it.
        let asking = thread::spawn(move || {
            let (mut failed, mut left) = (0, 100);
            while left > 0 && failed <= 1 {
                left -= usize::from(has_died());
                failed += usize::from(ask(to).is_err());
            }
            failed
        });
        eventually("it goes on", || world.sums(11000).connections > 10);
        black_hole(host(2, 80));
        // Its SYN was answered, its name was never heard.
        let failed = asking.join().unwrap();
        assert!(failed <= 1, "{failed}");
    });
}

/// Gives an endpoint that does not answer for now. It is dialled for longer than anybody waits.
fn with_a_black_hole(test: impl FnOnce(&mut World, SocketAddr, Receiver<TcpStream>) + Send) {
    let settings = Settings {
        dial_timeouts: [3 * LONG; 2].into(),
        ..settings()
    };
    world(settings, |world| {
        black_hole(host(1, 80));
        let (endpoint, connections) = held(host(1, 80));
        let to = world.serve(11000, &[endpoint]);
        test(world, to, connections);
    });
}

fn who_leaves_while_an_endpoint_is_dialled_is_dialled_for_no_more() {
    with_a_black_hole(|world, to, connections| {
        let client = connect(to);
        eventually("it is dialled", || world.now(11000).connections == 1);
        reset(client);
        eventually("it is over", || world.now(11000).connections == 0);
        sh("nft flush ruleset");
        let called = connections.recv_timeout(Duration::from_secs(2));
        assert!(called.is_err(), "{called:?}");
        assert_eq!(world.sums(11000), Sums::default());
    });
}

fn who_has_said_all_while_an_endpoint_is_dialled_is_answered() {
    with_a_black_hole(|world, to, connections| {
        let mut client = connect(to);
        client.write_all(b"question").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        eventually("it is dialled", || world.now(11000).connections == 1);
        // For the relay to hear of the end, too.
        thread::sleep(Duration::from_millis(100));
        sh("nft flush ruleset");
        let mut endpoint = connections.recv_timeout(LONG).unwrap();
        let mut question = Vec::new();
        endpoint.read_to_end(&mut question).unwrap();
        assert_eq!(question, b"question");
        endpoint.write_all(b"a").unwrap();
        drop(endpoint);
        assert_eq!(client.read(&mut [0; 2]).unwrap(), 1);
    });
}

fn without_an_answer_the_client_is_reset() {
    world(settings(), |world| {
        let to = world.serve(11000, &[host(1, 80), host(2, 80)]);
        assert_is_reset(to);
        let refused = || world.sums(11000).refused[Refused::NoAnswer.rank()];
        eventually("it is counted", || refused() == 1);
        assert_eq!(world.sums(11000).dial_failures, 4);
        assert_eq!(world.sums(11000).dial_retries, 3);
        // It is tried again although both are set aside.
        named(host(1, 80), 1);
        assert_eq!(ask(to).unwrap(), 1);
    });
}

fn without_endpoints_the_client_is_reset() {
    world(settings(), |world: &mut World| {
        let to = world.serve(11000, &[]);
        assert_is_reset(to);
        let refused = || world.sums(11000).refused[Refused::NoEndpoint.rank()];
        eventually("it is counted", || refused() == 1);
        let endpoints = upstream(&[named(host(1, 80), 1)]);
        let refusals = world
            .relay
            .apply(&[Op::SetUpstream(name(11000), endpoints)]);
        assert_eq!(refusals, []);
        assert_eq!(ask(to).unwrap(), 1);
    });
}

/// A client is reset, and not merely closed, which it would take for an empty answer.
fn assert_is_reset(to: SocketAddr) {
    // It may hear of it before it has been told that it is connected.
    let heard = TcpStream::connect(to).and_then(|mut client| client.read(&mut [0]));
    let error = heard.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
}
