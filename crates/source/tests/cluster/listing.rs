//! How everything there is is heard for the first time, and again.

use std::time::Duration;

use fairlead_core::api::{Change, Kind};
use fairlead_lab::api_server::{ApiServer, Fault, On, Request, Resource, StreamingLists};

use crate::ear::{Ear, PATIENCE, quick};
use crate::objects::{furnish, service};

fn of(server: &ApiServer, resource: Resource) -> Vec<Request> {
    let all = server.requests().into_iter();
    all.filter(|request| request.path == resource.path())
        .collect()
}

/// Lists and streaming lists of Services, by their distinguishing parameter.
fn asked(server: &ApiServer) -> Vec<&'static str> {
    let requests = of(server, Resource::Services);
    let word = |request: &Request| match request.parameter("sendInitialEvents") {
        Some(_) => "stream",
        None if request.is_watch() => "watch",
        None if request.parameter("continue").is_some() => "next page",
        None if request.parameter("limit").is_some() => "first page",
        None => "whole",
    };
    requests.iter().map(word).collect()
}

/// What a server is asked that refuses streaming lists and has four pages.
const FOUR_PAGES: [&str; 6] = [
    "stream",
    "first page",
    "next page",
    "next page",
    "next page",
    "watch",
];

fn paged(pages: usize) -> ApiServer {
    let builder = ApiServer::builder().streaming_lists(StreamingLists::Refused);
    builder.page_limit(pages).start().unwrap()
}

#[test]
fn streaming_lists_are_all_that_is_asked_for() {
    let server = ApiServer::start().unwrap();
    furnish(&server);
    let mut ear = Ear::to(&server);
    ear.until_equal(&server);
    ear.until_synced();
    assert_eq!(server.requests().len(), 4, "{:#?}", server.requests());
    assert_eq!(asked(&server), ["stream"]);
    assert_eq!(ear.warnings(), [""; 0]);
    for kind in Kind::ALL {
        assert_eq!(ear.count(&Change::Synced(kind)), 1);
    }
    // Every Service was told before it was said that they are complete.
    let synced = ear
        .told
        .iter()
        .position(|told| *told == Change::Synced(Kind::Service));
    let late = ear.told[synced.unwrap()..].iter();
    assert_eq!(
        late.filter(|told| matches!(told, Change::Service(_)))
            .count(),
        0
    );
}

#[test]
fn nothing_there_is_heard_of_as_well() {
    let server = ApiServer::start().unwrap();
    let mut ear = Ear::to(&server);
    ear.until_synced();
    assert_eq!(ear.told.len(), 4);
}

#[test]
fn a_server_that_refuses_streaming_lists_is_asked_for_pages() {
    let server = paged(3);
    furnish(&server);
    let mut ear = Ear::to(&server);
    ear.until_equal(&server);
    ear.until_synced();
    assert!(server.wait_for_watch(Resource::Services, PATIENCE));
    assert_eq!(asked(&server), FOUR_PAGES);
    assert_eq!(ear.warnings(), [""; 0]);
    // It is remembered.
    server.forget_requests();
    server.fail_once(On::watch(Resource::Services), Fault::FailWatch(410));
    let watched = server.wait_until(PATIENCE, |server| asked(server).contains(&"watch"));
    assert!(watched, "{:?}", asked(&server));
    assert_eq!(asked(&server)[0], "first page");
}

#[test]
fn a_server_that_knows_nothing_of_streaming_lists_is_found_out() {
    for bookmarks in [Duration::from_millis(20), Duration::from_hours(1)] {
        let builder = ApiServer::builder().streaming_lists(StreamingLists::Unknown);
        let server = builder.bookmarks_every(bookmarks).start().unwrap();
        furnish(&server);
        let mut patience = quick();
        patience.list = Duration::from_millis(300);
        let mut ear = Ear::with(server.kubeconfig(), patience);
        ear.until_equal(&server);
        ear.until_synced();
        assert_eq!(
            asked(&server)[..2],
            ["stream", "first page"],
            "{bookmarks:?}"
        );
        assert_eq!(ear.warnings(), [""; 0]);
        server.apply(&service("late", "10.96.0.99")).unwrap();
        ear.until_equal(&server);
    }
}

#[test]
fn a_page_that_breaks_off_is_asked_for_again_and_not_those_before() {
    let server = paged(4);
    furnish(&server);
    server.fail_once(
        On::list(Resource::Services),
        Fault::Slow {
            bytes: 700,
            pause: Duration::from_millis(1),
        },
    );
    server.fail_once(On::list(Resource::Services), Fault::Cut);
    let mut ear = Ear::to(&server);
    ear.until_equal(&server);
    ear.until_synced();
    assert!(server.wait_for_watch(Resource::Services, PATIENCE));
    assert_eq!(asked(&server), FOUR_PAGES);
    assert!(
        ear.news_with("the list of services broke off").is_some(),
        "{ear:?}"
    );
}

#[test]
fn an_expired_token_leads_to_one_whole_list() {
    let server = paged(4);
    furnish(&server);
    server.fail_once(On::list(Resource::Services), Fault::Stall(Duration::ZERO));
    server.fail_once(
        On::list(Resource::Services),
        Fault::Error {
            code: 410,
            retry_after: None,
        },
    );
    let mut ear = Ear::to(&server);
    ear.until_equal(&server);
    ear.until_synced();
    assert!(server.wait_for_watch(Resource::Services, PATIENCE));
    let pages = ["stream", "first page", "next page", "whole", "watch"];
    assert_eq!(asked(&server), pages);
}

#[test]
fn what_is_no_list_takes_nothing_away() {
    let server = paged(100);
    furnish(&server);
    let mut ear = Ear::to(&server);
    ear.until_equal(&server);
    ear.until_synced();
    server.fail_times(3, On::list(Resource::Services), Fault::Html);
    server.fail_once(On::list(Resource::Services), Fault::Garbage);
    server.fail_once(On::watch(Resource::Services), Fault::FailWatch(410));
    server.forget_requests();
    let watched = server.wait_until(PATIENCE, |server| asked(server).contains(&"watch"));
    assert!(watched, "{:?}", asked(&server));
    ear.until_equal(&server);
    let gone = |told: &&Change| matches!(told, Change::Deleted(..));
    assert_eq!(ear.told.iter().filter(gone).count(), 0);
}

#[test]
fn only_what_is_wanted_is_asked_for() {
    let server = ApiServer::start().unwrap();
    furnish(&server);
    let mut other = service("meshed", "10.96.1.1");
    other["metadata"]["labels"]["service.kubernetes.io/service-proxy-name"] = "mesh".into();
    server.apply(&other).unwrap();
    server.apply(&service("headless", "None")).unwrap();
    let mut headless = crate::objects::slice("headless-x", "headless", &["10.1.0.9"]);
    headless["metadata"]["labels"]["service.kubernetes.io/headless"] = "".into();
    server.apply(&headless).unwrap();
    server
        .apply(&crate::objects::node("node-2", "east"))
        .unwrap();
    let mut ear = Ear::to(&server);
    ear.until_synced();
    assert_eq!(ear.names(Kind::Service).len(), 10);
    assert_eq!(ear.names(Kind::EndpointSlice).len(), 10);
    assert_eq!(ear.names(Kind::Node), ["node-1"]);
    // A label that comes is as if the Service went, and the other way round.
    let mut leaves = service("service-0", "10.96.0.1");
    leaves["metadata"]["labels"]["service.kubernetes.io/service-proxy-name"] = "".into();
    server.apply(&leaves).unwrap();
    ear.until("without it", |ear| ear.service("service-0").is_none());
    server.apply(&service("service-0", "10.96.0.1")).unwrap();
    ear.until("with it", |ear| ear.service("service-0").is_some());
}
