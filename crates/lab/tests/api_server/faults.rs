//! What goes wrong with requests.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use fairlead_lab::api_server::{ApiServer, Fault, On, Resource, Verb};
use serde_json::{Value, json};

use crate::client::{Client, PATIENCE, get, names};
use crate::with_services;

const SERVICES: &str = "/api/v1/services";

fn server(services: usize) -> ApiServer {
    with_services(ApiServer::start().unwrap(), services)
}

fn failing(fault: Fault) -> ApiServer {
    let server = server(2);
    server.fail_once(On::list(Resource::Services), fault);
    server
}

/// How a list ends that is not answered.
fn failure(server: &ApiServer) -> io::ErrorKind {
    Client::to(server)
        .unwrap()
        .get(SERVICES)
        .err()
        .expect("no answer")
        .kind()
}

fn is_well(server: &ApiServer) -> bool {
    names(&get(server, SERVICES).json()) == ["s0", "s1"]
}

/// Whether nothing comes for a while.
pub(crate) fn is_silent(stream: &mut TcpStream) -> bool {
    stream
        .set_read_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    let read = stream.read(&mut [0; 1]);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

fn asked(server: &ApiServer) -> TcpStream {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream
        .write_all(b"GET /livez HTTP/1.1\r\nHost: lab\r\n\r\n")
        .unwrap();
    stream
}

fn is_answered(mut stream: TcpStream) -> bool {
    let mut head = [0; 15];
    stream.read_exact(&mut head).unwrap();
    &head == b"HTTP/1.1 200 OK"
}

#[test]
fn a_connection_is_reset_or_closed_before_the_answer() {
    let server = failing(Fault::Reset);
    assert_eq!(failure(&server), io::ErrorKind::ConnectionReset);
    assert!(is_well(&server));
    server.fail_times(2, On::list(Resource::Services), Fault::Close);
    assert_eq!(server.faults_left(), Some(2));
    assert_eq!(failure(&server), io::ErrorKind::UnexpectedEof);
    assert_eq!(failure(&server), io::ErrorKind::UnexpectedEof);
    assert!(is_well(&server));
}

#[test]
fn connections_are_refused_while_the_server_is_down() {
    let server = server(2);
    let mut open = get(&server, "/api/v1/nodes?watch=1");
    server.go_down().unwrap();
    let refused = TcpStream::connect(server.address()).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    assert_eq!(
        open.line().unwrap_err().kind(),
        io::ErrorKind::ConnectionReset
    );
    assert!(server.wait_until(PATIENCE, |server| server.watches().is_empty()));
    // Twice is as once, and the port is still the server's.
    server.go_down().unwrap();
    server.go_on().unwrap();
    assert!(is_well(&server));
    server.go_down().unwrap();
    server.heal().unwrap();
    assert!(is_well(&server));
}

#[test]
fn one_request_hangs_until_it_is_healed() {
    let server = server(0);
    server.fail_once(On::path("/livez"), Fault::Hang);
    let mut stream = asked(&server);
    assert!(is_silent(&mut stream));
    assert_eq!(server.requests()[0].status, None);
    assert!(is_answered(asked(&server)));
    server.heal().unwrap();
    assert!(is_answered(stream));
    assert_eq!(server.requests()[0].status, Some(200));
}

#[test]
fn all_hangs_while_the_server_hangs() {
    let server = ApiServer::builder()
        .bookmarks_every(Duration::from_millis(10))
        .start()
        .unwrap();
    let mut before = TcpStream::connect(server.address()).unwrap();
    let watch = b"GET /api/v1/nodes?watch=1&allowWatchBookmarks=1 HTTP/1.1\r\nHost: lab\r\n\r\n";
    before.write_all(watch).unwrap();
    assert!(server.wait_for_watch(Resource::Nodes, PATIENCE));
    server.hang();
    // What was on its way arrives.
    before
        .set_read_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    while before.read(&mut [0; 1000]).is_ok() {}
    let mut stream = asked(&server);
    assert!(is_silent(&mut before) && is_silent(&mut stream));
    server.go_on().unwrap();
    assert!(is_answered(stream));
    assert!(before.read(&mut [0; 1]).is_ok());
}

#[test]
fn errors_come_with_a_status_and_with_the_time_to_wait() {
    let cases = [
        (500, None, "InternalError"),
        (429, Some(7), "TooManyRequests"),
        (503, Some(1), "ServiceUnavailable"),
        (410, None, "Expired"),
        (401, None, "Unauthorized"),
    ];
    for (code, retry_after, reason) in cases {
        let server = failing(Fault::Error { code, retry_after });
        let mut answer = get(&server, SERVICES);
        let wait = retry_after.map(|seconds| seconds.to_string());
        assert_eq!(
            (answer.status, answer.header("retry-after")),
            (code, wait.as_deref())
        );
        let status = answer.json();
        assert_eq!(
            (&status["kind"], &status["reason"]),
            (&json!("Status"), &json!(reason))
        );
        assert_eq!(
            (&status["code"], &status["status"]),
            (&json!(code), &json!("Failure"))
        );
        if let Some(seconds) = retry_after {
            assert_eq!(status["details"]["retryAfterSeconds"], seconds);
        }
        assert_eq!(server.requests()[0].status, Some(code));
        assert!(is_well(&server));
    }
}

#[test]
fn errors_come_without_a_status_too() {
    for (code, retry_after) in [(500, None), (429, Some(1)), (503, Some(2))] {
        let server = failing(Fault::PlainError { code, retry_after });
        let mut answer = get(&server, SERVICES);
        let wait = retry_after.map(|seconds: u64| seconds.to_string());
        assert_eq!(
            (answer.status, answer.header("retry-after")),
            (code, wait.as_deref())
        );
        assert_eq!(
            answer.header("content-type"),
            Some("text/plain; charset=utf-8")
        );
        let body = answer.body().unwrap();
        assert!(serde_json::from_slice::<Value>(&body).is_err());
    }
}

#[test]
fn answers_are_no_json_or_do_not_say_so() {
    let server = failing(Fault::Garbage);
    let mut answer = get(&server, SERVICES);
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, Some("application/json"))
    );
    assert!(serde_json::from_slice::<Value>(&answer.body().unwrap()).is_err());
    let server = failing(Fault::Html);
    let mut answer = get(&server, SERVICES);
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, Some("text/html"))
    );
    assert!(answer.body().unwrap().starts_with(b"<!DOCTYPE html>"));
    let server = failing(Fault::WrongContentType);
    let mut answer = get(&server, SERVICES);
    assert_eq!(
        answer.header("content-type"),
        Some("application/octet-stream")
    );
    assert_eq!(names(&answer.json()), ["s0", "s1"]);
}

#[test]
fn one_object_of_a_list_is_misshapen_or_very_long() {
    let list = get(&failing(Fault::Misshapen), SERVICES).json();
    assert_eq!(names(&list), ["s0", "s1"]);
    assert_eq!(list["items"][0]["spec"], 7);
    assert!(list["items"][1]["spec"].is_object());
    let list = get(&failing(Fault::Long(1 << 20)), SERVICES).json();
    let annotations = &list["items"][0]["metadata"]["annotations"];
    assert_eq!(
        annotations["example.com/long"].as_str().unwrap().len(),
        1 << 20
    );
    assert_eq!(list["items"][1]["metadata"].get("annotations"), None);
}

#[test]
fn a_list_is_cut_in_its_middle() {
    let server = server(0);
    server.fill(50, 1);
    server.fail_once(On::list(Resource::Services), Fault::Cut);
    let mut answer = get(&server, SERVICES);
    let first = answer.piece().unwrap().unwrap();
    assert!(first.starts_with(b"{\"kind\":\"ServiceList\""));
    assert!(serde_json::from_slice::<Value>(&first).is_err());
    assert_eq!(
        answer.piece().unwrap_err().kind(),
        io::ErrorKind::ConnectionReset
    );
    assert_eq!(
        get(&server, SERVICES).json()["items"]
            .as_array()
            .unwrap()
            .len(),
        50
    );
}

#[test]
fn an_answer_comes_slowly() {
    let pause = Duration::from_millis(1);
    let server = failing(Fault::Slow { bytes: 100, pause });
    let mut answer = get(&server, SERVICES);
    let mut body = Vec::new();
    let mut pieces = 0;
    while let Some(piece) = answer.piece().unwrap() {
        assert!(piece.len() <= 100);
        body.extend(piece);
        pieces += 1;
    }
    assert!(pieces > 3);
    assert_eq!(names(&serde_json::from_slice(&body).unwrap()), ["s0", "s1"]);
}

#[test]
fn an_answer_comes_late() {
    let server = failing(Fault::Stall(Duration::from_millis(20)));
    assert!(is_well(&server));
    assert_eq!(server.faults_left(), Some(0));
}

#[test]
fn a_fault_goes_on_until_it_is_taken_back() {
    let server = server(2);
    let lists = On::verb(Verb::List);
    let error = Fault::Error {
        code: 500,
        retry_after: None,
    };
    server.fail(lists.clone(), error);
    for _ in 0..3 {
        assert_eq!(get(&server, SERVICES).status, 500);
    }
    assert_eq!(
        (get(&server, "/livez").status, server.faults_left()),
        (200, None)
    );
    server.heal_on(&lists);
    assert!(is_well(&server));
}

#[test]
fn chaos_strikes_until_it_is_calm() {
    let server = server(2);
    server.chaos(3, 1.0);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..60 {
        let answer = Client::to(&server).unwrap().get(SERVICES);
        seen.insert(match answer {
            Err(error) => error.kind().to_string(),
            Ok(answer) => answer.status.to_string(),
        });
    }
    assert!(seen.len() > 5, "{seen:?}");
    server.calm();
    assert!(is_well(&server));
}

#[test]
fn requests_are_remembered() {
    let server = server(0);
    get(&server, "/api/v1/services?limit=5&labelSelector=%21a");
    get(&server, "/nothing");
    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    let first = &requests[0];
    assert_eq!(
        (first.method.as_str(), first.path.as_str()),
        ("GET", SERVICES)
    );
    assert_eq!(first.parameter("labelSelector").as_deref(), Some("!a"));
    assert_eq!(
        (first.user_agent.as_str(), first.status, first.is_watch()),
        ("test", Some(200), false)
    );
    assert_eq!(requests[1].status, Some(404));
    server.forget_requests();
    assert_eq!(server.requests().len(), 0);
}
