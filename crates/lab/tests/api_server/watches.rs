//! Watches, bookmarks and streaming lists.

use std::time::Duration;

use fairlead_lab::api_server::{ApiServer, Resource, StreamingLists};
use serde_json::{Value, json};

use crate::client::{Answer, PATIENCE, get};
use crate::{service, with_services};

const STREAMING: &str = "/api/v1/services?watch=1&allowWatchBookmarks=true&sendInitialEvents=true\
    &resourceVersionMatch=NotOlderThan";

fn server(services: usize) -> ApiServer {
    with_services(ApiServer::start().unwrap(), services)
}

fn watch(server: &ApiServer, query: &str) -> Answer {
    get(server, &format!("/api/v1/services?watch=true&{query}"))
}

fn pair(kind: &str, name: &str) -> (String, String) {
    (kind.to_owned(), name.to_owned())
}

#[test]
fn a_watch_says_what_happens_after_its_version() {
    let server = server(1);
    let version = server.version();
    server.apply(&service("a", &json!({}))).unwrap();
    let mut watch = watch(&server, &format!("resourceVersion={version}"));
    assert_eq!(watch.header("content-type"), Some("application/json"));
    let (kind, object) = watch.event();
    assert_eq!(
        (kind.as_str(), &object["kind"]),
        ("ADDED", &json!("Service"))
    );
    assert_eq!(
        object["metadata"]["resourceVersion"],
        (version + 1).to_string()
    );
    server.apply(&service("s0", &json!({"a": "b"}))).unwrap();
    assert_eq!(watch.change(), pair("MODIFIED", "s0"));
    server.delete(Resource::Services, "shop", "s0");
    let (kind, object) = watch.event();
    assert_eq!(kind, "DELETED");
    assert_eq!(
        object["metadata"]["resourceVersion"],
        server.version().to_string()
    );
    assert_eq!(object["metadata"]["labels"], json!({"a": "b"}));
}

#[test]
fn a_watch_without_a_version_begins_with_what_is_there() {
    let server = server(2);
    for query in ["", "resourceVersion=0"] {
        let mut watch = watch(&server, query);
        assert_eq!(watch.change(), pair("ADDED", "s0"), "{query}");
        assert_eq!(watch.change(), pair("ADDED", "s1"), "{query}");
    }
}

#[test]
fn what_begins_or_ceases_to_be_selected_is_added_or_deleted() {
    let server = server(0);
    let mut watch = watch(&server, "labelSelector=%21hidden");
    for labels in [json!({"hidden": ""}), json!({}), json!({"hidden": "yes"})] {
        server.apply(&service("a", &labels)).unwrap();
    }
    assert_eq!(watch.change(), pair("ADDED", "a"));
    let (kind, object) = watch.event();
    assert_eq!(kind, "DELETED");
    assert_eq!(object["metadata"]["labels"], json!({}));
    assert_eq!(
        object["metadata"]["resourceVersion"],
        server.version().to_string()
    );
}

#[test]
fn a_watch_is_of_one_namespace_and_one_resource() {
    let server = server(0);
    let mut watch = get(&server, "/api/v1/namespaces/bank/services?watch=1");
    server
        .apply(&json!({"kind": "Node", "metadata": {"name": "n"}}))
        .unwrap();
    server.apply(&service("a", &json!({}))).unwrap();
    let mut mine = service("mine", &json!({}));
    mine["metadata"]["namespace"] = "bank".into();
    server.apply(&mine).unwrap();
    assert_eq!(watch.change(), pair("ADDED", "mine"));
    let watches = server.watches();
    assert_eq!(watches.len(), 1);
    assert_eq!(watches[0].namespace.as_deref(), Some("bank"));
    drop(watch);
    assert!(server.wait_until(PATIENCE, |server| server.watches().is_empty()));
}

#[test]
fn bookmarks_say_how_far_the_watch_has_come() {
    let server = ApiServer::builder()
        .bookmarks_every(Duration::from_millis(10))
        .start()
        .unwrap();
    let version = server.version();
    let mut watch = watch(
        &server,
        &format!("allowWatchBookmarks=true&resourceVersion={version}"),
    );
    // Of another resource.
    server
        .apply(&json!({"kind": "Node", "metadata": {"name": "n"}}))
        .unwrap();
    let wanted = json!({"resourceVersion": server.version().to_string()});
    loop {
        let (kind, object) = watch.event();
        assert_eq!(
            (kind.as_str(), &object["kind"]),
            ("BOOKMARK", &json!("Service"))
        );
        if object["metadata"] == wanted {
            break;
        }
    }
}

#[test]
fn a_watch_ends_when_its_time_is_up() {
    let server = server(0);
    let mut watch = watch(&server, "timeoutSeconds=1");
    assert_eq!(watch.line().unwrap(), None);
    assert!(server.wait_until(PATIENCE, |server| server.watches().is_empty()));
}

#[test]
fn a_streaming_list_says_where_it_ends() {
    let server = server(2);
    let version = server.version().to_string();
    let mut watch = get(&server, STREAMING);
    assert_eq!(watch.change(), pair("ADDED", "s0"));
    assert_eq!(watch.change(), pair("ADDED", "s1"));
    let (kind, object) = watch.event();
    assert_eq!(kind, "BOOKMARK");
    let annotations = json!({"k8s.io/initial-events-end": "true"});
    assert_eq!(
        object["metadata"],
        json!({"resourceVersion": version, "annotations": annotations})
    );
    server.apply(&service("s2", &json!({}))).unwrap();
    assert_eq!(watch.change(), pair("ADDED", "s2"));
}

#[test]
fn streaming_lists_may_be_refused_or_unknown() {
    let refusing = ApiServer::builder()
        .streaming_lists(StreamingLists::Refused)
        .start()
        .unwrap();
    let refused = get(&refusing, STREAMING).json();
    assert_eq!(
        (&refused["code"], &refused["reason"]),
        (&json!(422), &json!("Invalid"))
    );
    assert_eq!(
        refused["message"],
        "ListOptions.meta.k8s.io \"\" is invalid: sendInitialEvents: Forbidden: sendInitialEvents \
         is forbidden for watch unless the WatchList feature gate is enabled"
    );
    let old = ApiServer::builder()
        .streaming_lists(StreamingLists::Unknown)
        .bookmarks_every(Duration::from_millis(10));
    let old = with_services(old.start().unwrap(), 1);
    let mut watch = get(&old, STREAMING);
    assert_eq!(watch.change(), pair("ADDED", "s0"));
    let (kind, object) = watch.event();
    assert_eq!(
        (kind.as_str(), object["metadata"].get("annotations")),
        ("BOOKMARK", None)
    );
}

#[test]
fn a_watch_from_what_is_forgotten_is_told() {
    let expired = |status: &Value, version: u64| {
        assert_eq!(
            (&status["code"], &status["reason"]),
            (&json!(410), &json!("Expired"))
        );
        let message = format!("too old resource version: 1000 ({version})");
        assert_eq!(status["message"], message);
    };
    let server = server(1);
    let mut open = watch(&server, "resourceVersion=1000");
    assert_eq!(open.change(), pair("ADDED", "s0"));
    server.compact();
    let mut late = watch(&server, "resourceVersion=1000");
    assert_eq!(late.status, 200);
    let (kind, status) = late.event();
    assert_eq!(kind, "ERROR");
    expired(&status, server.version());
    assert_eq!(late.line().unwrap(), None);
    // To one that is open nothing happens.
    server.apply(&service("a", &json!({}))).unwrap();
    assert_eq!(open.change(), pair("ADDED", "a"));

    let server = with_services(ApiServer::builder().gone_as_http().start().unwrap(), 1);
    server.compact();
    let mut late = watch(&server, "resourceVersion=1000");
    assert_eq!(late.status, 410);
    expired(&late.json(), server.version());
}

#[test]
fn a_large_streaming_list_arrives_whole() {
    let server = server(0);
    server.fill(2000, 1);
    let mut watch = get(&server, STREAMING);
    let mut seen = 0;
    while watch.event().0 == "ADDED" {
        seen += 1;
    }
    assert_eq!(seen, 2000);
}
