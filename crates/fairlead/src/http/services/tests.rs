//! The health check node ports, over the loopback device.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use fairlead_core::address::Family;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::*;
use crate::health::services::Wanted;
use crate::http::client::{Heard, Running, ask, request};

/// How long something may take, on a machine that has more to do.
const PATIENCE: Duration = Duration::from_secs(20);

/// Running servers, the channel by which they are told, and the failures that they tell.
struct Rig {
    updates: UnboundedSender<Update>,
    failures: Receiver<ServiceHealthFailure>,
    health: Health,
    _running: Running,
}

impl Rig {
    fn start() -> Rig {
        let health = Health::new(Duration::from_mins(1));
        health.started(&[Family::V4]);
        let ((updates, receiver), (fail, failures)) = (unbounded_channel(), channel());
        let theirs = health.clone();
        let running = Running::start(move || {
            let on_failure = move |failure| fail.send(failure).expect("the test is there");
            ServiceServers::new(theirs, Box::new(on_failure)).follow(receiver)
        });
        Rig {
            updates,
            failures,
            health,
            _running: running,
        }
    }

    /// Says what a Service wants, on the loopback addresses given.
    fn tell(&self, addresses: &[Ipv4Addr], services: &[(&str, Option<(u16, usize)>)]) {
        let told = |(name, wanted): &(&str, Option<(u16, usize)>)| {
            let whose = ServiceFamily {
                service: ObjectName::new("shop", name),
                family: Family::V4,
            };
            (
                whose,
                wanted.map(|(port, endpoints)| Wanted { port, endpoints }),
            )
        };
        let addresses = addresses.iter().map(|ip| IpAddr::from(*ip)).collect();
        let update = Update {
            addresses: [(Family::V4, addresses)].into(),
            services: services.iter().map(told).collect(),
        };
        self.updates.send(update).expect("the servers are there");
    }
}

const HERE: &[Ipv4Addr] = &[Ipv4Addr::LOCALHOST];

/// A port that nobody has now.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}

fn get(port: u16) -> Heard {
    ask(
        (Ipv4Addr::LOCALHOST, port).into(),
        "GET",
        "/any?thing",
        &[],
        "",
    )
}

fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is() {
        assert!(started.elapsed() < PATIENCE, "still not so: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Whether a Service answers there.
fn says(port: u16, service: &str) -> bool {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port));
    // It may be closed before it answers.
    let heard = stream.and_then(|stream| request(stream, "GET", "/", &[], ""));
    heard.is_ok_and(|heard| heard.body.contains(&format!("\"{service}\"")))
}

fn is_open(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[test]
fn answers_as_kube_proxy_does() {
    let (rig, port) = (Rig::start(), free_port());
    rig.tell(HERE, &[("edge", Some((port, 1)))]);
    eventually("open", || is_open(port));
    let heard = get(port);
    assert_eq!(heard.status, 200);
    assert_eq!(
        heard.body,
        "{\n\t\"service\": {\n\t\t\"namespace\": \"shop\",\n\t\t\"name\": \"edge\"\n\t},\n\
         \t\"localEndpoints\": 1,\n\t\"serviceProxyHealthy\": true\n}"
    );
    for header in [
        "Content-Type: application/json",
        "X-Content-Type-Options: nosniff",
        "X-Load-Balancing-Endpoint-Weight: 1",
    ] {
        assert!(heard.has(header), "{header}: {heard:?}");
    }
    let posted = ask((Ipv4Addr::LOCALHOST, port).into(), "POST", "/", &[], "x");
    assert_eq!(posted.status, 200);
}

#[test]
fn follows_the_endpoints_and_the_health_of_the_proxy() {
    let (rig, port) = (Rig::start(), free_port());
    rig.tell(HERE, &[("edge", Some((port, 0)))]);
    eventually("open", || is_open(port));
    let none = get(port);
    assert_eq!(none.status, 503);
    assert!(none.has("X-Load-Balancing-Endpoint-Weight: 0"));
    rig.tell(HERE, &[("edge", Some((port, 18)))]);
    eventually("18 endpoints", || get(port).status == 200);
    rig.health
        .waiting_since(Instant::now().checked_sub(Duration::from_hours(1)));
    let stale = get(port);
    assert_eq!(stale.status, 503);
    assert!(
        stale.has("X-Load-Balancing-Endpoint-Weight: 18"),
        "{stale:?}"
    );
    assert!(
        stale
            .body
            .contains("\"localEndpoints\": 18,\n\t\"serviceProxyHealthy\": false")
    );
    rig.health.synced(&[]);
    assert_eq!(get(port).status, 200);
    // Whether the Node goes is not asked.
    rig.health.node_eligible(false);
    assert_eq!(get(port).status, 200);
}

#[test]
fn opens_moves_and_closes() {
    let (rig, first, second) = (Rig::start(), free_port(), free_port());
    rig.tell(
        HERE,
        &[("edge", Some((first, 1))), ("other", Some((second, 2)))],
    );
    eventually("both open", || is_open(first) && is_open(second));
    // They exchange their ports.
    rig.tell(
        HERE,
        &[("edge", Some((second, 1))), ("other", Some((first, 2)))],
    );
    eventually("exchanged", || says(first, "other") && says(second, "edge"));
    rig.tell(HERE, &[("edge", None)]);
    eventually("closed", || !is_open(second));
    assert!(is_open(first));
    assert!(rig.failures.try_recv().is_err());
}

#[test]
fn a_service_that_is_gone_has_no_endpoints_on_old_connections() {
    let (rig, port) = (Rig::start(), free_port());
    rig.tell(HERE, &[("edge", Some((port, 1)))]);
    eventually("open", || is_open(port));
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("a connection");
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
        .expect("to ask");
    let mut first = Vec::new();
    while !first.ends_with(b"\n}") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("an answer");
        first.extend(byte);
    }
    assert!(first.starts_with(b"HTTP/1.1 200 "));
    rig.tell(HERE, &[("edge", None)]);
    eventually("closed", || !is_open(port));
    assert_eq!(
        request(stream, "GET", "/", &[], "")
            .expect("an answer")
            .status,
        503
    );
}

#[test]
fn what_cannot_be_had_is_told_once_and_tried_again() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let rig = Rig::start();
    rig.tell(HERE, &[("edge", Some((port, 1)))]);
    let failure = rig.failures.recv_timeout(PATIENCE).expect("a failure");
    assert_eq!(
        failure.to_string(),
        format!(
            "failed to start healthcheck \"shop/edge\" on port {port}: listen on 127.0.0.1:{port}: \
             Address already in use (os error 98)"
        )
    );
    rig.tell(HERE, &[]);
    drop(taken);
    // With the next sync; without one a few seconds later.
    rig.tell(HERE, &[]);
    eventually("answers", || is_open(port) && get(port).status == 200);
    assert!(rig.failures.try_recv().is_err(), "it was told twice");
}

#[test]
fn without_a_sync_it_is_tried_again_too() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let rig = Rig::start();
    rig.tell(HERE, &[("edge", Some((port, 1)))]);
    rig.failures.recv_timeout(PATIENCE).expect("a failure");
    drop(taken);
    eventually("answers", || is_open(port) && get(port).status == 200);
}

#[test]
fn listens_on_the_given_addresses_alone() {
    let (rig, port) = (Rig::start(), free_port());
    let (one, two, three) = ([127, 0, 0, 2], [127, 0, 0, 3], [127, 0, 0, 4]);
    let open = |ip: [u8; 4]| TcpStream::connect((Ipv4Addr::from(ip), port)).is_ok();
    rig.tell(&[one.into(), two.into()], &[("edge", Some((port, 1)))]);
    eventually("both open", || open(one) && open(two));
    assert!(!open(three) && !is_open(port));
    rig.tell(&[three.into()], &[]);
    eventually("moved", || open(three));
    assert!(!open(one) && !open(two));
    rig.tell(&[], &[]);
    eventually("nowhere", || !open(three));
    assert!(rig.failures.try_recv().is_err());
}

#[test]
fn all_addresses_or_none() {
    let (rig, port) = (Rig::start(), free_port());
    let (free, taken) = ([127, 0, 0, 2], [127, 0, 0, 3]);
    let _taken = TcpListener::bind((Ipv4Addr::from(taken), port)).expect("a port");
    rig.tell(&[free.into(), taken.into()], &[("edge", Some((port, 1)))]);
    rig.failures.recv_timeout(PATIENCE).expect("a failure");
    assert!(TcpStream::connect((Ipv4Addr::from(free), port)).is_err());
}
