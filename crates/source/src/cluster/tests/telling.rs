//! What is told, after what was heard.

use std::time::{Duration, Instant};

use fairlead_core::api::{Change, Kind, ObjectName};
use serde_json::{Value, json};

use super::super::conversation::{Break, Conversation};
use super::super::patience::Pauses;
use super::super::reflector::{Ask, End};
use super::super::telling::Said;

/// A conversation, and what it said.
struct Ear {
    conversation: Conversation,
    said: Said,
}

impl Ear {
    fn new(kind: Kind) -> Ear {
        let mut conversation = Conversation::new(kind, Pauses::default());
        conversation.ask(Instant::now());
        let said = Said::default();
        Ear { conversation, said }
    }

    /// One whose server refused a streaming list.
    fn paging(kind: Kind) -> Ear {
        let mut ear = Ear::new(kind);
        ear.ends(End::Ignored);
        ear
    }

    fn hears(&mut self, text: &str) -> Result<(), Break> {
        self.conversation.hear(text.as_bytes(), &mut self.said)
    }

    fn event(&mut self, kind: &str, object: &Value) {
        let line = json!({ "type": kind, "object": object });
        self.hears(&format!("{line}\n")).unwrap();
    }

    fn initial_events_end(&mut self, revision: &str) {
        let annotations = json!({ "k8s.io/initial-events-end": "true" });
        let metadata = json!({ "resourceVersion": revision, "annotations": annotations });
        self.event("BOOKMARK", &json!({ "metadata": metadata }));
    }

    /// A whole page; the token of the next, if there is one.
    fn page(&mut self, items: &[Value], revision: &str, token: &str) {
        let metadata = json!({ "resourceVersion": revision, "continue": token });
        let list = json!({ "kind": "ServiceList", "metadata": metadata, "items": items });
        self.hears(&list.to_string()).unwrap();
        let closed = self.conversation.close(Duration::ZERO, &mut self.said);
        assert_eq!(closed.unwrap(), None);
        self.conversation.ask(Instant::now());
    }

    /// The request ends, and the next one is made.
    fn ends(&mut self, end: End) -> Ask {
        self.conversation
            .ended(end, Instant::now(), 0.0, &mut self.said);
        self.conversation.ask(Instant::now())
    }

    /// What was said since the last time, in short.
    fn told(&mut self) -> Vec<String> {
        self.said
            .changes
            .drain(..)
            .map(|change| short(&change))
            .collect()
    }

    fn news(&mut self) -> Vec<String> {
        self.said.news.drain(..).map(|news| news.text).collect()
    }
}

fn short(change: &Change) -> String {
    match change {
        Change::Service(service) => format!("{} {}", service.name, service.cluster_ip),
        Change::EndpointSlice(slice) => format!("{} of {:?}", slice.name, slice.service),
        Change::Node(node) => format!("{} in {:?}", node.name, node.zone),
        Change::ServiceCidr(cidr) => format!("{} {:?}", cidr.name, cidr.cidrs),
        Change::Deleted(kind, name) => format!("{kind} {name} deleted"),
        Change::Synced(kind) => format!("{kind} synced"),
    }
}

fn service(name: &str, ip: &str, revision: u32) -> Value {
    let metadata =
        json!({ "name": name, "namespace": "shop", "resourceVersion": revision.to_string() });
    json!({ "metadata": metadata, "spec": { "clusterIP": ip, "ports": [{ "port": 80 }] } })
}

const EXPIRED: End = End::Refused {
    code: 410,
    retry_after: None,
    event: false,
};

const BROKEN: End = End::Broken {
    lived: Duration::ZERO,
};

#[test]
fn synced_comes_after_the_initial_events_and_once() {
    let mut ear = Ear::new(Kind::Service);
    ear.event("ADDED", &service("web", "10.0.0.1", 1));
    ear.event("ADDED", &service("db", "10.0.0.2", 2));
    assert_eq!(ear.told(), ["shop/web 10.0.0.1", "shop/db 10.0.0.2"]);
    ear.initial_events_end("9");
    assert_eq!(ear.told(), ["Service synced"]);
    ear.event("MODIFIED", &service("web", "10.0.0.3", 10));
    ear.event("DELETED", &service("db", "10.0.0.2", 11));
    ear.event("DELETED", &service("never-heard-of", "10.0.0.9", 12));
    assert_eq!(ear.told(), ["shop/web 10.0.0.3", "Service shop/db deleted"]);
    assert_eq!(ear.ends(BROKEN), Ask::Watch("12".into()));
    ear.ends(EXPIRED);
    ear.event("ADDED", &service("web", "10.0.0.3", 10));
    ear.initial_events_end("20");
    assert_eq!(ear.told(), [""; 0], "nothing is different");
    assert_eq!(ear.news(), [""; 0]);
}

#[test]
fn what_vanished_in_a_gap_is_deleted_after_the_list_and_not_before() {
    let mut ear = Ear::new(Kind::Service);
    for (name, revision) in [("a", 1), ("b", 2), ("c", 3)] {
        ear.event("ADDED", &service(name, "10.0.0.1", revision));
    }
    ear.initial_events_end("3");
    ear.told();
    // Lists that do not complete say nothing about what is missing.
    ear.ends(EXPIRED);
    ear.event("ADDED", &service("b", "10.0.0.2", 8));
    assert_eq!(ear.told(), ["shop/b 10.0.0.2"]);
    ear.ends(BROKEN);
    ear.ends(End::Ignored);
    ear.page(&[service("c", "10.0.0.1", 3)], "9", "next");
    assert_eq!(ear.told(), [""; 0]);
    ear.page(&[service("d", "10.0.0.4", 9)], "9", "");
    let told = ear.told();
    assert_eq!(told[0], "shop/d 10.0.0.4");
    let mut deleted = told[1..].to_vec();
    deleted.sort();
    assert_eq!(
        deleted,
        ["Service shop/a deleted", "Service shop/b deleted"]
    );
}

#[test]
fn pages_are_told_as_they_come_and_a_cut_page_is_asked_for_again() {
    let mut ear = Ear::paging(Kind::Service);
    ear.page(&[service("a", "10.0.0.1", 1)], "9", "next");
    assert_eq!(ear.told(), ["shop/a 10.0.0.1"]);
    let list = json!({ "metadata": {}, "items": [service("b", "10.0.0.2", 2), service("c", "10.0.0.3", 3)] });
    let list = list.to_string();
    let (half, _) = list.split_at(list.len() - 40);
    ear.hears(half).unwrap();
    let cut = ear.conversation.close(Duration::ZERO, &mut ear.said);
    let why = cut.unwrap_err();
    assert_eq!(why.why, "it ended in the middle of a list");
    ear.ends(why.end);
    ear.told();
    ear.page(
        &[service("b", "10.0.0.2", 2), service("c", "10.0.0.3", 3)],
        "9",
        "",
    );
    let told = ear.told();
    assert_eq!(
        told,
        ["shop/b 10.0.0.2", "shop/c 10.0.0.3", "Service synced"]
    );
}

#[test]
fn a_server_that_knows_nothing_of_streaming_lists_loses_nothing() {
    let mut ear = Ear::new(Kind::Service);
    ear.event("ADDED", &service("a", "10.0.0.1", 1));
    let bookmark =
        json!({ "type": "BOOKMARK", "object": { "metadata": { "resourceVersion": "5" } } });
    let heard = ear.hears(&format!("{bookmark}\n")).unwrap_err();
    assert_eq!(heard.end, End::Ignored);
    assert!(matches!(ear.ends(heard.end), Ask::Page(_)));
    ear.page(&[service("b", "10.0.0.2", 2)], "9", "");
    assert_eq!(
        ear.told(),
        [
            "shop/a 10.0.0.1",
            "shop/b 10.0.0.2",
            "Service shop/a deleted",
            "Service synced"
        ]
    );
}

#[test]
fn one_object_that_cannot_be_read_is_named_once_and_the_others_go_on() {
    let mut ear = Ear::new(Kind::Service);
    ear.event("ADDED", &service("web", "10.0.0.1", 1));
    ear.event("ADDED", &service("db", "10.0.0.2", 2));
    ear.initial_events_end("3");
    ear.told();
    let mut broken = service("web", "10.0.0.1", 4);
    broken["spec"]["ports"][0]["port"] = json!("http");
    ear.event("MODIFIED", &broken);
    ear.event("MODIFIED", &broken);
    ear.event("MODIFIED", &service("db", "10.0.0.3", 5));
    assert_eq!(ear.told(), ["shop/db 10.0.0.3"]);
    let news = ear.news();
    assert_eq!(
        news,
        [
            "Service shop/web: spec.ports[0].port: invalid type: string \"http\", expected a whole number of at most 32 bits, such as 8080; it stays as it was until it can be read (mend the object)"
        ]
    );
    // In a list it counts as there, and another problem is told.
    ear.ends(EXPIRED);
    broken["spec"] = Value::Null;
    ear.event("ADDED", &broken);
    ear.initial_events_end("6");
    assert_eq!(ear.told(), ["Service shop/db deleted"]);
    assert_eq!(ear.news().len(), 1);
    ear.event("DELETED", &broken);
    assert_eq!(ear.told(), ["Service shop/web deleted"]);
}

#[test]
fn an_object_without_a_name_may_be_any_so_nothing_is_taken_for_gone() {
    let mut ear = Ear::new(Kind::Service);
    ear.event("ADDED", &service("web", "10.0.0.1", 1));
    ear.initial_events_end("3");
    ear.ends(EXPIRED);
    ear.told();
    ear.event("ADDED", &json!({ "metadata": { "name": 7 }, "spec": {} }));
    ear.initial_events_end("5");
    assert_eq!(ear.told(), [""; 0]);
    assert!(ear.news()[0].starts_with("Service without a name: metadata.name: "));
}

#[test]
fn when_all_objects_are_broken_a_few_are_named() {
    let mut ear = Ear::new(Kind::EndpointSlice);
    for number in 0..100 {
        let metadata = json!({ "name": format!("slice-{number}"), "namespace": "shop" });
        ear.event("ADDED", &json!({ "metadata": metadata }));
    }
    let news = ear.news();
    assert_eq!(news.len(), 21);
    assert!(
        news[19].contains("slice-19: missing field `addressType`"),
        "{}",
        news[19]
    );
    assert!(news[20].starts_with("more objects of kind EndpointSlice"));
}

#[test]
fn a_server_without_service_cidrs_has_none() {
    let mut ear = Ear::new(Kind::ServiceCidr);
    let unserved = End::Refused {
        code: 404,
        retry_after: None,
        event: false,
    };
    ear.ends(unserved);
    ear.ends(unserved);
    assert_eq!(ear.told(), ["ServiceCIDR synced"]);
    // Upgraded.
    ear.event(
        "ADDED",
        &json!({ "metadata": { "name": "kubernetes" }, "spec": { "cidrs": ["10.0.0.0/16"] } }),
    );
    ear.initial_events_end("5");
    assert_eq!(ear.told(), ["kubernetes [\"10.0.0.0/16\"]"]);
    // Only that kind may be missing.
    let mut ear = Ear::new(Kind::Service);
    ear.ends(unserved);
    assert_eq!(ear.told(), [""; 0]);
}

#[test]
fn what_is_not_an_event_leads_to_a_list() {
    let mut ear = Ear::new(Kind::Service);
    ear.initial_events_end("5");
    let heard = ear.hears("<html>\n").unwrap_err();
    assert!(
        heard.why.starts_with("it sent what is not an event: "),
        "{}",
        heard.why
    );
    assert_eq!(ear.ends(heard.end), Ask::Stream);
}

#[test]
fn a_line_that_breaks_off_is_not_an_event() {
    let mut ear = Ear::new(Kind::Service);
    ear.initial_events_end("5");
    let line = json!({ "type": "ADDED", "object": service("web", "10.0.0.1", 6) }).to_string();
    for end in 1..line.len() {
        ear.hears(&line[..end]).unwrap();
        let cut = ear
            .conversation
            .close(Duration::ZERO, &mut ear.said)
            .unwrap_err();
        assert_eq!(cut.end, BROKEN);
        assert_eq!(ear.ends(cut.end), Ask::Watch("5".into()));
    }
    assert_eq!(ear.told(), ["Service synced"]);
}

#[test]
fn nodes_and_slices_are_told_in_full() {
    let mut ear = Ear::new(Kind::Node);
    let labels = json!({ "topology.kubernetes.io/zone": "west" });
    ear.event(
        "ADDED",
        &json!({ "metadata": { "name": "node-1", "labels": labels } }),
    );
    let gone = json!({ "metadata": { "name": "node-1" } });
    ear.event("DELETED", &gone);
    assert_eq!(
        ear.told(),
        ["node-1 in Some(\"west\")", "Node node-1 deleted"]
    );
    let mut ear = Ear::new(Kind::EndpointSlice);
    let labels = json!({ "kubernetes.io/service-name": "web" });
    let metadata = json!({ "name": "web-1", "namespace": "shop", "labels": labels });
    let slice =
        json!({ "metadata": metadata, "addressType": "IPv4", "endpoints": [], "ports": [] });
    ear.event("ADDED", &slice);
    ear.event("DELETED", &slice);
    let name = ObjectName::new("shop", "web-1");
    assert_eq!(
        ear.said.changes.last(),
        Some(&Change::Deleted(Kind::EndpointSlice, name))
    );
    assert_eq!(ear.told()[0], "shop/web-1 of Some(\"web\")");
}

#[test]
fn what_is_not_a_list_takes_nothing_away() {
    let mut ear = Ear::paging(Kind::Service);
    ear.page(&[service("a", "10.0.0.1", 1)], "9", "");
    ear.told();
    let metadata = json!({ "resourceVersion": "10" });
    for (answer, why) in [
        ("{}".to_owned(), "the server sent something else"),
        ("<html></html>".to_owned(), "the server sent something else"),
        (
            json!({ "kind": "ServiceList", "metadata": {}, "items": [] }).to_string(),
            "the server sent something else",
        ),
        (
            json!({ "kind": "NodeList", "metadata": metadata, "items": [] }).to_string(),
            "the server sent something else",
        ),
        (String::new(), "it ended in the middle of a list"),
    ] {
        assert!(matches!(ear.ends(EXPIRED), Ask::Page(_)));
        ear.hears(&answer).unwrap();
        let close = ear.conversation.close(Duration::ZERO, &mut ear.said);
        assert_eq!(close.unwrap_err().why, why, "{answer}");
        assert_eq!(ear.told(), [""; 0]);
    }
}
