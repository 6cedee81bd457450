//! What is written: Events, and the taints of our Node.

use std::time::Duration;

use fairlead_core::api::ObjectName;
use fairlead_lab::api_server::{ApiServer, Fault, On, Resource, Verb};
use fairlead_source::cluster::{Event, EventKind, Regarding};
use serde_json::{Value, json};

use crate::ear::{Ear, NODE, PATIENCE};
use crate::objects::node;

fn starting() -> Event {
    Event {
        kind: EventKind::Normal,
        reason: "Starting",
        action: "StartKubeProxy",
        note: String::new(),
        regarding: Regarding::Node,
    }
}

fn unhealthy(note: &str) -> Event {
    Event {
        kind: EventKind::Warning,
        reason: "FailedToStartServiceHealthcheck",
        action: "Listen",
        note: note.to_owned(),
        regarding: Regarding::Service(ObjectName::new("shop", "web")),
    }
}

fn events(server: &ApiServer) -> Vec<Value> {
    server.objects(Resource::Events)
}

#[test]
fn events_are_those_of_kube_proxy() {
    let server = ApiServer::start().unwrap();
    let ear = Ear::to(&server);
    let recorder = ear.cluster.recorder();
    assert!(recorder.record(starting()));
    assert!(recorder.record(unhealthy(&"é".repeat(1000))));
    assert!(server.wait_until(PATIENCE, |server| events(server).len() == 2));
    let all = events(&server);
    let of = |namespace: &str| {
        all.iter()
            .find(|event| event["metadata"]["namespace"] == namespace)
            .unwrap()
    };
    let (node, service) = (of("default"), of("shop"));
    assert!(
        node["metadata"]["name"]
            .as_str()
            .unwrap()
            .starts_with("node-1.")
    );
    for (field, expected) in [
        ("type", json!("Normal")),
        ("reason", json!("Starting")),
        ("action", json!("StartKubeProxy")),
        ("reportingController", json!("kube-proxy")),
        ("reportingInstance", json!(NODE)),
        (
            "regarding",
            json!({ "kind": "Node", "namespace": "", "name": NODE, "uid": NODE }),
        ),
    ] {
        assert_eq!(node[field], expected, "{field}");
    }
    assert_eq!(service["type"], "Warning");
    assert_eq!(
        service["regarding"],
        json!({ "kind": "Service", "namespace": "shop", "name": "web", "uid": "" })
    );
    assert_eq!(service["note"], "é".repeat(512));
}

#[test]
fn what_repeats_is_counted_on_one_event() {
    let server = ApiServer::start().unwrap();
    let ear = Ear::to(&server);
    let recorder = ear.cluster.recorder();
    for _ in 0..3 {
        recorder.record(unhealthy("port 80 is taken"));
    }
    recorder.record(unhealthy("port 81 is taken"));
    let counted = server.wait_until(PATIENCE, |server| {
        let all = events(server);
        all.len() == 2 && all.iter().any(|event| event["series"]["count"] == 3)
    });
    assert!(counted, "{:#?}", events(&server));
}

#[test]
fn events_survive_failures_and_are_dropped_after_many() {
    let server = ApiServer::start().unwrap();
    let mut ear = Ear::to(&server);
    ear.until_synced();
    let create = || On::verb(Verb::Create).of(Resource::Events);
    let broken = || Fault::Error {
        code: 500,
        retry_after: None,
    };
    server.fail_times(11, create(), broken());
    ear.cluster.recorder().record(starting());
    assert!(server.wait_until(PATIENCE, |server| events(server).len() == 1));
    assert_eq!(ear.warnings(), [""; 0]);
    server.fail(create(), Fault::Forbidden);
    ear.cluster.recorder().record(unhealthy("a"));
    let news = ear.until_news("the event FailedToStartServiceHealthcheck is dropped: ");
    assert!(
        news.text.contains("may not create events.events.k8s.io"),
        "{}",
        news.text
    );
    server.heal().unwrap();
    server.fail_times(12, create(), broken());
    ear.cluster.recorder().record(unhealthy("b"));
    ear.until_news("create was refused with 500");
    ear.cluster.recorder().record(unhealthy("c"));
    assert!(server.wait_until(PATIENCE, |server| events(server).len() == 2));
}

#[test]
fn what_is_written_waits_for_as_long_as_the_server_asks() {
    let busy = Fault::Error {
        code: 429,
        retry_after: Some(1),
    };
    let server = ApiServer::start().unwrap();
    let taint = json!([{ "key": "ours", "effect": "NoSchedule" }]);
    server.apply(&tainted(&taint)).unwrap();
    let mut ear = Ear::to(&server);
    ear.until_synced();
    server.fail_once(On::verb(Verb::Create).of(Resource::Events), busy.clone());
    server.fail_once(On::verb(Verb::Patch).of(Resource::Nodes), busy);
    ear.cluster.recorder().record(starting());
    ear.cluster.remove_taint("ours");
    assert!(server.wait_until(PATIENCE, |server| events(server).len() == 1));
    ear.until_news("the taint ours is removed");
    for method in ["POST", "PATCH"] {
        let requests = server.requests().into_iter();
        let times: Vec<_> = requests
            .filter(|one| one.method == method)
            .map(|one| one.at)
            .collect();
        assert_eq!(times.len(), 2, "{method}");
        assert!(times[1] - times[0] >= Duration::from_secs(1), "{method}");
    }
}

#[test]
fn a_series_that_is_gone_begins_anew() {
    let server = ApiServer::start().unwrap();
    let mut ear = Ear::to(&server);
    let recorder = ear.cluster.recorder();
    recorder.record(unhealthy("port 80 is taken"));
    assert!(server.wait_until(PATIENCE, |server| events(server).len() == 1));
    let first = events(&server)[0]["metadata"]["name"].clone();
    server.delete(Resource::Events, "shop", first.as_str().unwrap());
    // Of the repetition it is learned that the event is gone. It is not lost for that.
    recorder.record(unhealthy("port 80 is taken"));
    assert!(server.wait_until(PATIENCE, |server| events(server).len() == 1));
    assert_ne!(events(&server)[0]["metadata"]["name"], first);
    recorder.record(unhealthy("port 80 is taken"));
    let counted = |server: &ApiServer| events(server)[0]["series"]["count"] == 2;
    assert!(
        server.wait_until(PATIENCE, counted),
        "{:#?}",
        events(&server)
    );
    ear.listen();
    assert_eq!(ear.warnings(), [""; 0]);
}

#[test]
fn recording_never_waits_and_says_when_it_is_too_much() {
    let server = ApiServer::start().unwrap();
    server.hang();
    let ear = Ear::to(&server);
    let recorder = ear.cluster.recorder();
    let taken = (0..1000).filter(|number| recorder.record(unhealthy(&number.to_string())));
    let taken = taken.count();
    assert!((64..=66).contains(&taken), "{taken}");
}

fn tainted(taints: &Value) -> Value {
    let mut node = node(NODE, "west");
    node["spec"]["taints"] = taints.clone();
    node
}

fn taints(server: &ApiServer) -> Value {
    server.object(Resource::Nodes, "", NODE).unwrap()["spec"]["taints"].clone()
}

#[test]
fn a_taint_is_removed_and_no_other() {
    let server = ApiServer::start().unwrap();
    let other = json!({ "key": "gpu", "value": "yes", "effect": "NoSchedule" });
    let ours = json!({ "key": "example.com/no-proxy", "effect": "NoSchedule" });
    server.apply(&tainted(&json!([other, ours]))).unwrap();
    let mut ear = Ear::to(&server);
    server.fail_once(
        On::verb(Verb::Patch),
        Fault::Error {
            code: 409,
            retry_after: None,
        },
    );
    server.fail_once(On::verb(Verb::Get).of(Resource::Nodes), Fault::Reset);
    ear.cluster.remove_taint("example.com/no-proxy");
    ear.until_news("the taint example.com/no-proxy is removed from node node-1");
    assert_eq!(taints(&server), json!([other]));
    // Once more: there is nothing to do, and nothing is done.
    server.forget_requests();
    ear.cluster.remove_taint("example.com/no-proxy");
    server.wait_until(PATIENCE, |server| !server.requests().is_empty());
    ear.listen_for(Duration::from_millis(100));
    assert!(
        server
            .requests()
            .iter()
            .all(|request| request.method == "GET")
    );
}

#[test]
fn a_taint_that_may_not_be_removed_is_told() {
    let server = ApiServer::start().unwrap();
    server
        .apply(&tainted(
            &json!([{ "key": "ours", "effect": "NoSchedule" }]),
        ))
        .unwrap();
    server.fail(On::verb(Verb::Patch), Fault::Forbidden);
    let mut ear = Ear::to(&server);
    ear.cluster.remove_taint("ours");
    let news = ear.until_news("the taint ours stays on node node-1: may not patch nodes: ");
    assert!(
        news.text.contains("grant get and patch on nodes"),
        "{}",
        news.text
    );
}

#[test]
fn a_node_that_comes_late_loses_its_taint_as_well() {
    let server = ApiServer::start().unwrap();
    let mut ear = Ear::to(&server);
    ear.cluster.remove_taint("ours");
    ear.until_news("there is no such node");
    server
        .apply(&tainted(
            &json!([{ "key": "ours", "effect": "NoSchedule" }]),
        ))
        .unwrap();
    ear.until_news("the taint ours is removed");
    assert_eq!(taints(&server), json!([]));
}
