//! How changes are heard, and what happens to those that fall into a gap.

use std::time::{Duration, Instant};

use fairlead_core::api::{Change, Kind, ObjectName};
use fairlead_lab::api_server::{ApiServer, Fault, On, Request, Resource};
use serde_json::json;

use crate::ear::{Ear, NODE, PATIENCE};
use crate::objects::{cidr, furnish, node, service, slice};

/// A server, and one who has heard all of it.
fn heard() -> (ApiServer, Ear) {
    let server = ApiServer::start().unwrap();
    furnish(&server);
    let mut ear = Ear::to(&server);
    ear.until_equal(&server);
    ear.until_synced();
    (server, ear)
}

/// What was told of a kind since, in short.
fn told(ear: &Ear, since: usize, kind: Kind) -> Vec<String> {
    let short = |change: &Change| match change {
        Change::Service(service) if kind == Kind::Service => {
            Some(format!("{} {}", service.name, service.cluster_ip))
        }
        Change::EndpointSlice(slice) if kind == Kind::EndpointSlice => {
            Some(format!("{} {}", slice.name, slice.endpoints.len()))
        }
        Change::Deleted(one, name) if *one == kind => Some(format!("{name} deleted")),
        _ => None,
    };
    ear.told[since..].iter().filter_map(short).collect()
}

#[test]
fn services_that_come_change_and_go_are_told_in_order() {
    let server = ApiServer::start().unwrap();
    let mut ear = Ear::to(&server);
    ear.until_synced();
    server.apply(&service("web", "10.96.0.1")).unwrap();
    server.apply(&service("web", "10.96.0.2")).unwrap();
    server.apply(&service("db", "10.96.0.3")).unwrap();
    server.delete(Resource::Services, "shop", "web");
    ear.until("told of the end", |ear| {
        ear.names(Kind::Service) == ["shop/db"] && ear.told.len() >= 8
    });
    let expected = [
        "shop/web 10.96.0.1",
        "shop/web 10.96.0.2",
        "shop/db 10.96.0.3",
        "shop/web deleted",
    ];
    assert_eq!(told(&ear, 0, Kind::Service), expected);
}

#[test]
fn slices_that_come_change_and_go_are_told_in_order() {
    let server = ApiServer::start().unwrap();
    let mut ear = Ear::to(&server);
    ear.until_synced();
    server.apply(&slice("web-1", "web", &["10.1.0.1"])).unwrap();
    server
        .apply(&slice("web-1", "web", &["10.1.0.1", "10.1.0.2"]))
        .unwrap();
    server.apply(&slice("web-2", "web", &[])).unwrap();
    server.delete(Resource::EndpointSlices, "shop", "web-1");
    ear.until("told of the end", |ear| {
        ear.names(Kind::EndpointSlice) == ["shop/web-2"] && ear.told.len() >= 8
    });
    let expected = [
        "shop/web-1 1",
        "shop/web-1 2",
        "shop/web-2 0",
        "shop/web-1 deleted",
    ];
    assert_eq!(told(&ear, 0, Kind::EndpointSlice), expected);
}

#[test]
fn our_node_and_the_ranges_are_followed() {
    let (server, mut ear) = heard();
    server.apply(&node(NODE, "east")).unwrap();
    server.apply(&cidr("more", "10.97.0.0/16")).unwrap();
    server.apply(&cidr("kubernetes", "10.98.0.0/16")).unwrap();
    ear.until_equal(&server);
    server.delete(Resource::Nodes, "", NODE);
    server.delete(Resource::ServiceCidrs, "", "more");
    ear.until_equal(&server);
    let gone = Change::Deleted(Kind::Node, ObjectName::cluster(NODE));
    assert_eq!(ear.count(&gone), 1);
}

#[test]
fn a_watch_goes_on_from_the_last_bookmark() {
    let builder = ApiServer::builder().bookmarks_every(Duration::from_millis(20));
    let server = builder.start().unwrap();
    furnish(&server);
    let mut ear = Ear::to(&server);
    ear.until_synced();
    // Nothing that the watch of nodes would tell, but time passes for it as well.
    let version = server.apply(&service("web", "10.96.0.77")).unwrap();
    let from_there = |request: &Request| {
        request.path == Resource::Nodes.path()
            && request.parameter("resourceVersion") == Some(version.to_string())
    };
    let started = Instant::now();
    while !server.requests().iter().any(from_there) {
        assert!(started.elapsed() < PATIENCE, "{:#?}", server.requests());
        // The first may be of before, or that the watch is one.
        for _ in 0..2 {
            let before = ear.heard(Kind::Node);
            ear.until("told of a bookmark", |ear| ear.heard(Kind::Node) > before);
        }
        server.forget_requests();
        server.fail_once(On::watch(Resource::Nodes), Fault::EndWatch);
        assert!(server.wait_until(PATIENCE, |server| !server.requests().is_empty()));
    }
    let request = server.requests().into_iter().find(from_there).unwrap();
    assert_eq!(
        request.parameter("allowWatchBookmarks").as_deref(),
        Some("true")
    );
    let seconds = request
        .parameter("timeoutSeconds")
        .unwrap()
        .parse::<u64>()
        .unwrap();
    assert!((300..=600).contains(&seconds), "{seconds}");
}

#[test]
fn whatever_ends_a_watch_nothing_is_lost_and_nothing_told_twice() {
    let faults = [
        Fault::EndWatch,
        Fault::ResetWatch,
        Fault::Cut,
        Fault::Garbage,
        Fault::FailWatch(410),
        Fault::FailWatch(500),
    ];
    for fault in faults {
        let (server, mut ear) = heard();
        let before = ear.told.len();
        server.fail_once(On::watch(Resource::Services), fault.clone());
        for number in 0..20 {
            let address = format!("10.96.1.{number}");
            server.apply(&service("web", &address)).unwrap();
            std::thread::sleep(Duration::from_millis(1));
        }
        server.apply(&service("service-3", "10.96.9.9")).unwrap();
        server.delete(Resource::Services, "shop", "service-4");
        ear.until_equal(&server);
        assert_eq!(server.faults_left(), Some(0), "{fault:?}");
        let told = told(&ear, before, Kind::Service);
        let mut once = told.clone();
        once.dedup();
        assert_eq!(told, once, "{fault:?}");
        assert!(told.len() <= 22, "{fault:?}: {told:?}");
        assert_eq!(ear.count(&Change::Synced(Kind::Service)), 1);
    }
}

#[test]
fn what_was_deleted_in_a_gap_is_told_after_the_list() {
    for as_http in [false, true] {
        let builder = ApiServer::builder();
        let builder = if as_http {
            builder.gone_as_http()
        } else {
            builder
        };
        let server = builder.start().unwrap();
        furnish(&server);
        let mut ear = Ear::to(&server);
        ear.until_equal(&server);
        ear.until_synced();
        let before = ear.told.len();
        server.go_down().unwrap();
        ear.until_news("cannot be reached");
        server.delete(Resource::Services, "shop", "service-1");
        server.delete(Resource::EndpointSlices, "shop", "service-1-x");
        server.apply(&service("service-2", "10.96.7.7")).unwrap();
        // Deleted and made again: that is a change.
        server.delete(Resource::Services, "shop", "service-3");
        server.apply(&service("service-3", "10.96.0.4")).unwrap();
        server.apply(&service("web", "10.96.8.8")).unwrap();
        server.compact();
        ear.listen();
        assert_eq!(
            ear.names(Kind::Service).len(),
            10,
            "nothing is gone while it is away"
        );
        server.go_on().unwrap();
        ear.until_equal(&server);
        let mut told = told(&ear, before, Kind::Service);
        assert_eq!(told.pop().as_deref(), Some("shop/service-1 deleted"));
        told.sort();
        assert_eq!(
            told,
            [
                "shop/service-2 10.96.7.7",
                "shop/service-3 10.96.0.4",
                "shop/web 10.96.8.8"
            ]
        );
    }
}

#[test]
fn one_object_that_cannot_be_read_is_named_and_the_others_go_on() {
    let (server, mut ear) = heard();
    let mut broken = service("service-1", "10.96.0.2");
    broken["spec"]["ports"] = json!([{ "port": "http" }]);
    server.apply(&broken).unwrap();
    server.apply(&service("service-2", "10.96.5.5")).unwrap();
    ear.until("told of the other", |ear| {
        ear.service("service-2").unwrap().cluster_ip == "10.96.5.5"
    });
    let news = ear.until_news("Service shop/service-1: spec.ports[0].port: ");
    assert!(news.text.contains("it stays as it was"), "{}", news.text);
    assert_eq!(ear.service("service-1").unwrap().ports.len(), 1);
    // Lists do not break at it either, and it is not told again.
    server.fail_once(On::watch(Resource::Services), Fault::FailWatch(410));
    server.apply(&service("service-2", "10.96.6.6")).unwrap();
    ear.until("told of the other again", |ear| {
        ear.service("service-2").unwrap().cluster_ip == "10.96.6.6"
    });
    assert!(ear.service("service-1").is_some());
    let named = |text: &&&str| text.contains("service-1");
    assert_eq!(ear.warnings().iter().filter(named).count(), 1);
    server.apply(&service("service-1", "10.96.4.4")).unwrap();
    ear.until_equal(&server);
}

#[test]
fn objects_with_wild_metadata_are_objects() {
    let (server, mut ear) = heard();
    server.fail_once(On::watch(Resource::Services), Fault::Long(1 << 20));
    server.apply(&service("web", "10.96.2.2")).unwrap();
    ear.until_equal(&server);
    server.fail(On::watch(Resource::EndpointSlices), Fault::Misshapen);
    server.apply(&slice("web-1", "web", &["10.1.0.1"])).unwrap();
    ear.until_news("EndpointSlice ");
    server.heal().unwrap();
    server.apply(&slice("web-1", "web", &["10.1.0.2"])).unwrap();
    ear.until_equal(&server);
}
