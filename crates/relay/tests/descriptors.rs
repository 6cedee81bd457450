//! When the process has no descriptors left. They are the process's, so this is one of its own.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, Write};
use std::iter;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{self, Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

use fairlead_core::address::{Family, Protocol};
use fairlead_kernel::netns::{self, Netns};
use fairlead_relay::handle::{ListenerAddress, Op, Relay};
use fairlead_relay::settings::Settings;
use fairlead_relay::{Drained, SocketRelay};
use libtest_mimic::{Arguments, Trial};
use socket2::{Domain, Socket, Type};

#[path = "harness/upstreams.rs"]
mod upstreams;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // All have the same descriptors.
    arguments.test_threads = Some(1);
    // Before there is a second thread, which begins where this one is.
    Netns::anonymous()
        .and_then(|netns| netns.enter())
        .or_else(|_| netns::become_root_in_private())
        .expect(netns::USER_NAMESPACE_HINT);
    run("ip link set lo up");
    run(&format!("prlimit --pid {} --nofile=300:300", process::id()));
    let trials = TESTS.map(|(name, test)| {
        Trial::test(name, move || {
            test();
            Ok(())
        })
    });
    libtest_mimic::run(&arguments, trials.into()).exit_code()
}

const TESTS: [(&str, fn()); 4] = [
    (
        "without_descriptors_nobody_is_served_and_nothing_spins",
        without_descriptors_nobody_is_served_and_nothing_spins,
    ),
    (
        "who_waits_at_a_listener_that_is_closed_is_carried",
        who_waits_at_a_listener_that_is_closed_is_carried,
    ),
    (
        "draining_waits_for_who_waits_to_be_accepted",
        draining_waits_for_who_waits_to_be_accepted,
    ),
    (
        "who_waits_at_a_relay_that_goes_is_reset",
        who_waits_at_a_relay_that_goes_is_reset,
    ),
];

fn without_descriptors_nobody_is_served_and_nothing_spins() {
    let endpoint = endpoint();
    let mut relay = open();
    let to = listen(&mut relay, endpoint.local_addr().unwrap());
    // Half of the limit, two for each.
    assert_eq!(relay.handle().counts().max_connections, 75);

    let (first, second) = (client(), client());
    let stat = File::open("/proc/self/stat").unwrap();
    let mut eaten = eat();
    first.connect(&to.into()).unwrap();
    let before = ticks(&stat);
    thread::sleep(Duration::from_secs(1));
    let spent = ticks(&stat) - before;
    assert!(
        spent < 20,
        "{spent} hundredths of a second spent on waiting"
    );

    // One for what is accepted, none to call the endpoint with.
    eaten.pop();
    let heard = (&first).read(&mut [0]).map_err(|error| error.kind());
    assert_eq!(heard, Err(ErrorKind::ConnectionReset));
    let now = relay.handle().counts();
    let now = now.upstreams.values().next().unwrap();
    assert_eq!((now.sums.dial_failures, now.now.set_aside), (0, 0));

    drop(eaten);
    second.connect(&to.into()).unwrap();
    assert_served(&[second], &endpoint);
}

fn who_waits_at_a_listener_that_is_closed_is_carried() {
    let endpoint = endpoint();
    let mut relay = open();
    let to = listen(&mut relay, endpoint.local_addr().unwrap());
    let clients = wait_at(to);
    assert_eq!(relay.apply(&[Op::Close(ADDRESS)]), []);
    assert_served(&clients, &endpoint);
}

fn draining_waits_for_who_waits_to_be_accepted() {
    let endpoint = endpoint();
    let mut relay = open();
    let to = listen(&mut relay, endpoint.local_addr().unwrap());
    let clients = wait_at(to);
    let handle = relay.handle();
    let drain = thread::spawn(move || handle.drain(Duration::from_secs(10)));
    assert_served(&clients, &endpoint);
    drop(clients);
    let Drained { reset, .. } = drain.join().unwrap();
    assert_eq!(reset, 0);
}

fn who_waits_at_a_relay_that_goes_is_reset() {
    let endpoint = endpoint();
    let mut relay = open();
    let to = listen(&mut relay, endpoint.local_addr().unwrap());
    let clients = wait_at(to);
    drop(relay);
    for mut client in &clients {
        // One that is merely closed is taken for an empty answer.
        let heard = client.read(&mut [0]).map_err(|error| error.kind());
        assert_eq!(heard, Err(ErrorKind::ConnectionReset));
    }
}

const CLIENTS: usize = 30;

/// Clients that are connected, but not accepted: there were no descriptors for it a moment ago.
fn wait_at(listener: SocketAddr) -> Vec<Socket> {
    let clients: Vec<Socket> = iter::repeat_with(client).take(CLIENTS).collect();
    let eaten = eat();
    for client in &clients {
        client.connect(&listener.into()).unwrap();
    }
    drop(eaten);
    clients
}

/// Each client hears something from an endpoint, and both close then.
fn assert_served(clients: &[Socket], endpoint: &TcpListener) {
    endpoint.set_nonblocking(true).unwrap();
    let begin = Instant::now();
    let mut served = 0;
    while served < clients.len() {
        assert!(begin.elapsed() < Duration::from_secs(10), "{served} served");
        match endpoint.accept() {
            Ok((mut stream, _)) => stream.write_all(b"x").unwrap(),
            Err(_) => {
                thread::sleep(Duration::from_millis(1));
                continue;
            }
        }
        served += 1;
    }
    for mut client in clients {
        assert_eq!(client.read(&mut [0]).map_err(|error| error.kind()), Ok(1));
    }
}

fn open() -> SocketRelay {
    SocketRelay::open(Settings {
        takes_direct: true,
        threads: 1,
        ..Settings::default()
    })
    .unwrap()
}

fn run(command: &str) {
    let output = Command::new("sh").args(["-ec", command]).output().unwrap();
    assert!(output.status.success(), "{command}: {output:?}");
}

fn client() -> Socket {
    let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let timeout = Some(Duration::from_secs(10));
    client.set_read_timeout(timeout).unwrap();
    client
}

/// An endpoint that is connected to when the kernel says so: nobody accepts.
fn endpoint() -> TcpListener {
    let address = SocketAddr::from((Ipv4Addr::new(127, 0, 1, 1), 80));
    TcpListener::bind(address).unwrap()
}

/// All descriptors that are left.
fn eat() -> Vec<File> {
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

/// The CPU time of this process in hundredths of a second (proc_pid_stat(5)).
fn ticks(mut stat: &File) -> u64 {
    let mut line = String::new();
    stat.rewind().unwrap();
    stat.read_to_string(&mut line).unwrap();
    let mut fields = line.split_whitespace().skip(13);
    let mut next = || fields.next().unwrap().parse::<u64>().unwrap();
    next() + next()
}

const ADDRESS: ListenerAddress = ListenerAddress {
    family: Family::V4,
    protocol: Protocol::Tcp,
    port: 11000,
};

fn listen(relay: &mut SocketRelay, endpoint: SocketAddr) -> SocketAddr {
    let name = upstreams::name(0, Protocol::Tcp, Family::V4);
    let listener = upstreams::listener(name.clone());
    let upstream = upstreams::upstream([endpoint]);
    let ops = [
        Op::SetUpstream(name, upstream),
        Op::Listen(ADDRESS, listener),
    ];
    assert_eq!(relay.apply(&ops), []);
    ADDRESS.socket()
}
