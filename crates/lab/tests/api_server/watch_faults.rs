//! What goes wrong in a watch.

use std::io;
use std::time::Duration;

use fairlead_lab::api_server::{ApiServer, Fault, On, Resource};
use serde_json::{Value, json};

use crate::client::{Answer, PATIENCE, get};
use crate::{service, with_services};

/// A server with one Service, and a watch that has seen it.
fn watched() -> (ApiServer, Answer) {
    let server = ApiServer::builder()
        .bookmarks_every(Duration::from_millis(20))
        .start()
        .unwrap();
    let server = with_services(server, 1);
    let watch = watch(&server);
    (server, watch)
}

fn watch(server: &ApiServer) -> Answer {
    let mut watch = get(server, "/api/v1/services?watch=1");
    assert_eq!(watch.change(), ("ADDED".to_owned(), "s0".to_owned()));
    watch
}

fn on() -> On {
    On::watch(Resource::Services)
}

/// That a new watch is as it should be.
fn is_well(server: &ApiServer) {
    watch(server);
}

#[test]
fn an_open_watch_ends() {
    let (server, mut watch) = watched();
    server.fail_once(on(), Fault::EndWatch);
    assert_eq!(watch.line().unwrap(), None);
    is_well(&server);
}

#[test]
fn an_open_watch_is_reset() {
    let (server, mut watch) = watched();
    server.fail_once(on(), Fault::ResetWatch);
    assert_eq!(
        watch.line().unwrap_err().kind(),
        io::ErrorKind::ConnectionReset
    );
    assert_eq!(watch.fragment(), b"");
    is_well(&server);
}

#[test]
fn a_watch_is_cut_in_the_middle_of_an_object() {
    let (server, mut watch) = watched();
    server.fail_once(on(), Fault::Cut);
    assert_eq!(server.faults_left(), Some(1));
    server.apply(&service("s1", &json!({}))).unwrap();
    assert_eq!(
        watch.line().unwrap_err().kind(),
        io::ErrorKind::ConnectionReset
    );
    let half = String::from_utf8_lossy(watch.fragment()).into_owned();
    assert!(
        half.starts_with(r#"{"type":"ADDED","object":{"kind":"Service""#),
        "{half}"
    );
    is_well(&server);
}

#[test]
fn an_open_watch_ends_with_an_error() {
    for (code, reason) in [(410, "Expired"), (500, "InternalError")] {
        let (server, mut watch) = watched();
        server.fail_once(on(), Fault::FailWatch(code));
        let (kind, status) = watch.event();
        assert_eq!(
            (kind.as_str(), &status["kind"]),
            ("ERROR", &json!("Status"))
        );
        assert_eq!(
            (&status["code"], &status["reason"]),
            (&json!(code), &json!(reason))
        );
        assert_eq!(watch.line().unwrap(), None);
        is_well(&server);
    }
}

#[test]
fn an_open_watch_goes_silent() {
    let (server, quiet) = watched();
    server.fail_once(on(), Fault::SilenceWatch);
    assert!(server.wait_until(PATIENCE, |server| server.faults_left() == Some(0)));
    server.apply(&service("s1", &json!({}))).unwrap();
    // It is open, and one that comes after it hears.
    let mut other = watch(&server);
    assert_eq!(other.change().1, "s1");
    assert_eq!(server.watches().len(), 2);
    drop(quiet);
    assert!(server.wait_until(PATIENCE, |server| server.watches().len() == 1));
}

#[test]
fn a_silent_watch_has_no_bookmarks() {
    let (server, _) = watched();
    server.fail(on(), Fault::SilenceWatch);
    let with_bookmarks = |resource: &str| {
        let path = format!("/api/v1/{resource}?watch=1&allowWatchBookmarks=1&resourceVersion=1001");
        get(&server, &path)
    };
    let mut quiet = with_bookmarks("services");
    let mut other = with_bookmarks("nodes");
    for _ in 0..3 {
        assert_eq!(other.event().0, "BOOKMARK");
    }
    // Only the end of the server ends it.
    drop(server);
    assert!(quiet.line().is_err());
    assert_eq!(quiet.fragment(), b"");
}

#[test]
fn a_line_of_a_watch_is_no_json_misshapen_or_very_long() {
    let (server, mut watch) = watched();
    server.fail_once(on(), Fault::Garbage);
    let line = watch.line().unwrap().unwrap();
    assert!(serde_json::from_slice::<Value>(&line).is_err());
    server.fail_once(on(), Fault::Misshapen);
    server.apply(&service("s1", &json!({}))).unwrap();
    let (kind, object) = watch.event();
    assert_eq!((kind.as_str(), &object["spec"]), ("ADDED", &json!(7)));
    server.fail_once(on(), Fault::Long(100_000));
    server.apply(&service("s2", &json!({}))).unwrap();
    let (_, object) = watch.event();
    let long = &object["metadata"]["annotations"]["example.com/long"];
    assert_eq!(long.as_str().unwrap().len(), 100_000);
    server.apply(&service("s3", &json!({}))).unwrap();
    let (_, object) = watch.event();
    assert!(object["spec"].is_object());
}

#[test]
fn a_watch_is_refused_before_it_is_one() {
    let (server, _) = watched();
    server.fail_once(
        on(),
        Fault::Error {
            code: 429,
            retry_after: Some(1),
        },
    );
    let refused = get(&server, "/api/v1/services?watch=1");
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (429, Some("1"))
    );
    is_well(&server);
}

#[test]
fn a_streaming_list_is_cut_too() {
    let server = ApiServer::start().unwrap();
    server.fill(100, 1);
    server.fail_once(on(), Fault::Cut);
    let path = "/api/v1/services?watch=1&allowWatchBookmarks=1&sendInitialEvents=1\
        &resourceVersionMatch=NotOlderThan";
    let mut watch = get(&server, path);
    let broken = loop {
        match watch.line() {
            Ok(Some(_)) => {}
            other => break other,
        }
    };
    assert_eq!(broken.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

#[test]
fn a_watch_can_be_slow() {
    let (server, _) = watched();
    let pause = Duration::from_millis(1);
    server.fail_once(on(), Fault::Slow { bytes: 10, pause });
    let mut slow = get(&server, "/api/v1/services?watch=1");
    assert!(slow.piece().unwrap().unwrap().len() <= 10);
}
