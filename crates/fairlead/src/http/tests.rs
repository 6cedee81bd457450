//! The health server, and what all servers have in common, asked over the loopback device.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::any;
use fairlead_core::address::Family;

use super::client::{Loopback, ask, request};
use super::hard_fail::{Alarm, HardFailure, Server};
use super::health::Probe;
use super::listen::{Patience, anywhere, in_family};
use super::{bind, health};
use crate::health::Health;

type Counted = Arc<Mutex<Vec<(Probe, u16)>>>;

fn health_server(connections: usize) -> (Loopback, Health, Counted) {
    let health = Health::new(Duration::from_mins(1));
    health.started(&Family::BOTH);
    health.node_eligible(true);
    let counted = Counted::default();
    let seen = Arc::clone(&counted);
    let on_probe: super::OnProbe = Arc::new(move |probe, code| {
        seen.lock().expect("no panic").push((probe, code));
    });
    let server = Loopback::serve(health::router(&health, &on_probe), connections);
    (server, health, counted)
}

#[test]
fn healthz_and_livez_answer_as_kube_proxy_does() {
    let (server, health, counted) = health_server(8);
    let healthz = server.get("/healthz");
    assert_eq!(healthz.status, 200);
    assert!(healthz.has("Content-Type: application/json"), "{healthz:?}");
    assert!(
        healthz.has("X-Content-Type-Options: nosniff"),
        "{healthz:?}"
    );
    assert!(
        healthz
            .body
            .contains(r#""nodeEligible":true,"healthy":true,"status":{"IPv4":"#)
    );
    health.node_eligible(false);
    assert_eq!(server.get("/healthz").status, 503);
    assert_eq!(server.get("/livez").status, 200);
    assert_eq!(server.ask("POST", "/livez", &[], "").status, 200);
    health.waiting_since(Instant::now().checked_sub(Duration::from_hours(1)));
    assert_eq!(server.get("/livez").status, 503);
    let expected = [
        (Probe::Healthz, 200),
        (Probe::Healthz, 503),
        (Probe::Livez, 200),
        (Probe::Livez, 200),
        (Probe::Livez, 503),
    ];
    assert_eq!(*counted.lock().expect("no panic"), expected);
}

#[test]
fn ready_follows_the_first_sync_and_failures_are_seen() {
    let (server, health, counted) = health_server(8);
    assert_eq!(server.get("/readyz").status, 503);
    health.failed("could not apply: no such device".to_owned());
    let failed = server.get("/readyz");
    assert_eq!(failed.status, 503);
    assert!(failed.body.contains("lastFailure"), "{failed:?}");
    // Whoever reaches the node may ask this.
    assert!(!failed.body.contains("no such device"), "{failed:?}");
    health.synced(&[]);
    let ready = server.get("/readyz");
    assert_eq!(ready.status, 200);
    assert!(!ready.body.contains("lastFailure"), "{ready:?}");
    assert!(counted.lock().expect("no panic").is_empty());
}

#[test]
fn other_pages_are_not_there() {
    let (server, ..) = health_server(8);
    for path in ["/", "/metrics", "/healthz/"] {
        let missing = server.get(path);
        assert_eq!(missing.status, 404, "{path}");
        assert_eq!(missing.body, "404 page not found\n");
        assert!(missing.has("Content-Type: text/plain; charset=utf-8"));
    }
}

#[test]
fn idle_connections_keep_nobody_out() {
    let (server, ..) = health_server(4);
    let mut idle = Vec::new();
    for _ in 0..100 {
        let mut stream = TcpStream::connect(server.address).expect("a connection");
        // It has begun to ask, and does not go on.
        stream.write_all(b"GET /healthz HT").expect("to begin");
        idle.push(stream);
    }
    assert_eq!(server.get("/healthz").status, 200);
    // All but the last few had to give way.
    for stream in &mut idle[..90] {
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .expect("a timeout");
        // What was not read when it was closed makes it a reset.
        assert!(
            !matches!(stream.read(&mut [0; 16]), Ok(1..)),
            "it was answered"
        );
    }
}

#[test]
fn a_client_that_reads_nothing_holds_up_nobody() {
    let (server, ..) = health_server(8);
    let mut deaf = TcpStream::connect(server.address).expect("a connection");
    deaf.set_write_timeout(Some(Duration::from_millis(200)))
        .expect("a timeout");
    // Until the answers that nobody reads fill all buffers.
    while deaf
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: here\r\n\r\n")
        .is_ok()
    {}
    assert_eq!(server.get("/healthz").status, 200);
}

/// A server with a body that fills all buffers, and no patience but for this.
fn impatient(patience: Patience) -> Loopback {
    let big = Router::new().route("/", any(async || vec![b'x'; 64 << 20]));
    Loopback::serve_with(big, 8, patience)
}

/// Reads until the server has closed the connection, and says how much there was.
fn drain(stream: &mut TcpStream) -> usize {
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("a timeout");
    let (mut buffer, mut total) = (vec![0; 1 << 20], 0);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return total,
            Ok(count) => total += count,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return total,
            Err(error) => panic!("it was not closed: {error}"),
        }
    }
}

const SOON: Duration = Duration::from_millis(100);
const NEVER: Duration = Duration::from_hours(1);

#[test]
fn who_does_not_ask_is_sent_away() {
    let server = impatient(Patience {
        request: SOON,
        lifetime: NEVER,
        farewell: NEVER,
    });
    for begun in ["", "GET / HTTP/1.1\r\nHost:"] {
        let mut stream = TcpStream::connect(server.address).expect("a connection");
        stream.write_all(begun.as_bytes()).expect("to begin");
        assert!(drain(&mut stream) < 1000, "{begun:?}");
    }
}

/// How much of a large answer arrives at who waits before reading it.
fn drained(farewell: Duration, wait: Duration) -> usize {
    let server = impatient(Patience {
        request: NEVER,
        lifetime: SOON,
        farewell,
    });
    let mut stream = TcpStream::connect(server.address).expect("a connection");
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
        .expect("to ask");
    std::thread::sleep(wait);
    drain(&mut stream)
}

#[test]
fn who_does_not_read_is_sent_away() {
    assert!(drained(SOON, 10 * SOON) < 64 << 20, "it waited");
}

#[test]
fn an_answer_on_its_way_arrives() {
    // And then the connection is closed.
    assert!(drained(NEVER, 3 * SOON) > 64 << 20);
}

#[test]
fn a_request_that_is_too_long_is_refused() {
    let (server, ..) = health_server(8);
    let mut stream = TcpStream::connect(server.address).expect("a connection");
    let head = format!(
        "GET /healthz HTTP/1.1\r\nX: {}\r\n\r\n",
        "x".repeat(64 * 1024)
    );
    // It need not be read to the end.
    let _ = stream.write_all(head.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/1.1 200"));
    assert_eq!(server.get("/healthz").status, 200);
}

/// A runtime to bind on.
fn on_runtime<T>(act: impl FnOnce() -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let _entered = runtime.enter();
    act()
}

#[test]
fn the_unspecified_address_means_both_families() {
    on_runtime(|| {
        for unspecified in ["0.0.0.0:0", "[::]:0"] {
            let listener = anywhere(unspecified.parse().expect("an address")).expect("a port");
            let port = listener.local_addr().expect("an address").port();
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("IPv4");
            if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
                TcpStream::connect((Ipv6Addr::LOCALHOST, port)).expect("IPv6");
            }
        }
    });
}

#[test]
fn each_family_can_have_a_listener_of_its_own() {
    on_runtime(|| {
        let v4 = in_family(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))).expect("a port");
        let port = v4.local_addr().expect("an address").port();
        if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
            in_family(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))).expect("the same port");
        }
        let error = in_family(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))).expect_err("taken");
        assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    });
}

#[test]
fn a_hard_failure_wakes_the_loop_and_says_what_to_do() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = taken.local_addr().expect("an address");
    let (alarm, alarms) = Alarm::new().expect("a pair");
    assert_eq!(alarms.take(), None);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let binding = bind(Server::Metrics, address, Some(&alarm));
    // It tries no second time.
    let bound = runtime.block_on(async {
        tokio::time::timeout(Duration::from_millis(50), binding)
            .await
            .is_ok()
    });
    assert!(!bound);
    let mut woken = [nix::poll::PollFd::new(
        std::os::fd::AsFd::as_fd(&alarms),
        nix::poll::PollFlags::POLLIN,
    )];
    assert_eq!(
        nix::poll::poll(&mut woken, nix::poll::PollTimeout::ZERO),
        Ok(1)
    );
    let failure: HardFailure = alarms.take().expect("a failure");
    assert_eq!(
        failure.to_string(),
        format!(
            "the metrics server cannot listen on {address}: Address already in use (os error 98); \
             free the port, choose another, or do without bindAddressHardFail"
        )
    );
}

#[test]
fn a_connection_may_ask_more_than_once() {
    let (server, ..) = health_server(1);
    let mut stream = TcpStream::connect(server.address).expect("a connection");
    stream
        .write_all(b"GET /livez HTTP/1.1\r\nHost: here\r\n\r\n")
        .expect("to ask");
    let mut first = Vec::new();
    while !first.ends_with(b"}}}") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("an answer");
        first.extend(byte);
    }
    assert!(first.starts_with(b"HTTP/1.1 200 "));
    let second = request(stream, "GET", "/livez", &[], "").expect("an answer");
    assert_eq!(second.status, 200);
    assert_eq!(ask(server.address, "GET", "/livez", &[], "").status, 200);
}
