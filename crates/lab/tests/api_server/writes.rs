//! What clients write.

use fairlead_lab::api_server::{ApiServer, Resource};
use serde_json::{Value, json};

use crate::client::{get, send};
use crate::service;

const JSON: &str = "application/json";
const NODE: &str = "/api/v1/nodes/n";
const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/default/events";

fn with_node() -> ApiServer {
    let server = ApiServer::start().unwrap();
    let taints =
        json!([{"key": "a", "effect": "NoSchedule"}, {"key": "b", "effect": "NoSchedule"}]);
    let node = json!({"kind": "Node", "metadata": {"name": "n"}, "spec": {"taints": taints}});
    server.apply(&node).unwrap();
    server
}

fn patch(server: &ApiServer, kind: &str, change: &Value) -> Value {
    let kind = format!("application/{kind}+json");
    send(server, "PATCH", NODE, &kind, change).json()
}

fn taints(node: &Value) -> Vec<&str> {
    let taints = node["spec"]["taints"].as_array().unwrap().iter();
    taints.map(|taint| taint["key"].as_str().unwrap()).collect()
}

#[test]
fn a_taint_can_be_taken_away_in_three_ways() {
    let without = json!({"spec": {"taints": [{"key": "b", "effect": "NoSchedule"}]}});
    let remove = json!([
        {"op": "test", "path": "/spec/taints/0/key", "value": "a"},
        {"op": "remove", "path": "/spec/taints/0"},
    ]);
    for (kind, change) in [
        ("merge-patch", &without),
        ("strategic-merge-patch", &without),
        ("json-patch", &remove),
    ] {
        let server = with_node();
        assert_eq!(taints(&patch(&server, kind, change)), ["b"], "{kind}");
        assert_eq!(
            taints(&server.object(Resource::Nodes, "", "n").unwrap()),
            ["b"],
            "{kind}"
        );
    }
}

#[test]
fn a_patch_that_does_not_fit_is_refused() {
    let server = with_node();
    let wrong = json!([{"op": "test", "path": "/spec/taints/0/key", "value": "b"}]);
    let refused = patch(&server, "json-patch", &wrong);
    assert_eq!(
        (&refused["code"], &refused["reason"]),
        (&json!(422), &json!("Invalid"))
    );
    let old = json!({"metadata": {"resourceVersion": "1"}, "spec": {"podCIDR": "10.0.0.0/24"}});
    let refused = patch(&server, "merge-patch", &old);
    assert_eq!(
        (&refused["code"], &refused["reason"]),
        (&json!(409), &json!("Conflict"))
    );
    assert_eq!(
        refused["message"],
        "Operation cannot be fulfilled on nodes \"n\": the object has been modified; please apply \
         your changes to the latest version and try again"
    );
    let refused = patch(&server, "unheard-of", &json!({}));
    assert_eq!(refused["reason"], "UnsupportedMediaType");
    // The status is a part of the object.
    let path = "/api/v1/nodes/n/status";
    let change = json!({"status": {"phase": "Running"}});
    let node = send(
        &server,
        "PATCH",
        path,
        "application/merge-patch+json",
        &change,
    )
    .json();
    assert_eq!(node["status"], change["status"]);
}

#[test]
fn a_patch_that_changes_nothing_is_no_event() {
    let server = with_node();
    let version = server.version();
    patch(&server, "merge-patch", &json!({"spec": {"podCIDR": null}}));
    assert_eq!(server.version(), version);
}

#[test]
fn objects_are_made_written_and_deleted() {
    let server = ApiServer::start().unwrap();
    let all = "/api/v1/namespaces/shop/services";
    let mut made = send(&server, "POST", all, JSON, &service("a", &json!({})));
    assert_eq!(made.status, 201);
    let mut object = made.json();
    assert_eq!(
        object["metadata"]["resourceVersion"],
        server.version().to_string()
    );
    let again = send(&server, "POST", all, JSON, &service("a", &json!({}))).json();
    assert_eq!(
        (&again["code"], &again["reason"]),
        (&json!(409), &json!("AlreadyExists"))
    );
    let one = "/api/v1/namespaces/shop/services/a";
    object["spec"]["clusterIP"] = "10.96.0.2".into();
    assert_eq!(send(&server, "PUT", one, JSON, &object).status, 200);
    let stale = send(&server, "PUT", one, JSON, &object).json();
    assert_eq!(stale["reason"], "Conflict");
    assert_eq!(get(&server, one).json()["spec"]["clusterIP"], "10.96.0.2");
    assert_eq!(send(&server, "DELETE", one, JSON, &json!({})).status, 200);
    assert_eq!(send(&server, "DELETE", one, JSON, &json!({})).status, 404);
    assert_eq!(
        send(&server, "DELETE", all, JSON, &json!({})).json()["reason"],
        "MethodNotAllowed"
    );
    let elsewhere = "/api/v1/namespaces/bank/services";
    let refused = send(&server, "POST", elsewhere, JSON, &service("a", &json!({}))).json();
    assert_eq!(refused["reason"], "BadRequest");
}

#[test]
fn events_are_taken_if_they_are_whole() {
    let server = ApiServer::start().unwrap();
    let event = json!({
        "metadata": {"generateName": "n."},
        "eventTime": "2026-01-02T03:04:05.000000Z",
        "reportingController": "kube-proxy",
        "reportingInstance": "kube-proxy-n",
        "action": "StartKubeProxy",
        "reason": "Starting",
        "type": "Normal",
        "regarding": {"kind": "Node", "name": "n", "uid": "n"},
    });
    assert_eq!(send(&server, "POST", EVENTS, JSON, &event).status, 201);
    let mut partial = event;
    partial["action"] = Value::Null;
    let refused = send(&server, "POST", EVENTS, JSON, &partial).json();
    assert_eq!(
        (&refused["code"], &refused["reason"]),
        (&json!(422), &json!("Invalid"))
    );
    assert_eq!(refused["details"]["causes"][0]["field"], "action");
    let posted = server.objects(Resource::Events);
    assert_eq!(posted.len(), 1);
    assert_eq!(posted[0]["reason"], "Starting");
    let name = posted[0]["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with("n.") && name.len() > 2, "{name}");
    let series = json!({"series": {"count": 2, "lastObservedTime": "2026-01-02T03:05:05.000000Z"}});
    let path = format!("{EVENTS}/{name}");
    let patched = send(
        &server,
        "PATCH",
        &path,
        "application/strategic-merge-patch+json",
        &series,
    );
    assert_eq!(patched.status, 200);
    assert_eq!(
        server.objects(Resource::Events)[0]["series"],
        series["series"]
    );
}

#[test]
fn what_is_no_object_is_not_stored() {
    let server = ApiServer::start().unwrap();
    for object in [
        json!({"kind": "Pod", "metadata": {"name": "a"}}),
        json!({"kind": "Service", "metadata": {}}),
        json!([]),
    ] {
        assert!(server.apply(&object).is_err(), "{object}");
    }
    assert!(!server.delete(Resource::Nodes, "", "n"));
}

#[test]
fn objects_can_be_as_large_as_real_ones() {
    let server = ApiServer::builder().managed_fields().start().unwrap();
    server.apply(&service("a", &json!({"app": "web"}))).unwrap();
    let object = server.object(Resource::Services, "shop", "a").unwrap();
    let managed = &object["metadata"]["managedFields"][0];
    assert_eq!(
        managed["fieldsV1"]["f:metadata"]["f:labels"]["f:app"],
        json!({})
    );
}
