//! A server that refuses, fails or is not there.

use std::time::{Duration, Instant};

use fairlead_core::api::{Change, Kind};
use fairlead_lab::api_server::{ApiServer, Fault, On, Resource, Verb};
use fairlead_source::cluster::{Patience, Pauses};

use crate::ear::{Ear, PATIENCE, quick};
use crate::objects::{furnish, service};

fn error(code: u16, retry_after: Option<u64>) -> Fault {
    Fault::Error { code, retry_after }
}

#[test]
fn a_server_that_fails_is_asked_again() {
    let server = ApiServer::start().unwrap();
    furnish(&server);
    for fault in [
        error(500, None),
        Fault::PlainError {
            code: 502,
            retry_after: None,
        },
        Fault::Reset,
        Fault::Close,
        Fault::Garbage,
        Fault::Html,
    ] {
        server.fail_times(4, On::everything(), fault);
    }
    let mut ear = Ear::to(&server);
    ear.until_equal(&server);
    ear.until_synced();
    ear.until_news("the watch of services failed: ");
}

#[test]
fn retry_after_is_obeyed() {
    let retry_after = Some(1);
    for fault in [
        error(429, retry_after),
        error(503, retry_after),
        // As a proxy in between says it: in the header alone.
        Fault::PlainError {
            code: 429,
            retry_after,
        },
    ] {
        let server = ApiServer::start().unwrap();
        furnish(&server);
        server.fail_once(On::resource(Resource::Services), fault.clone());
        let mut ear = Ear::to(&server);
        ear.until_equal(&server);
        let times = asked_for_services(&server);
        assert!(times[1] - times[0] >= Duration::from_secs(1), "{fault:?}");
        ear.until_news("the server is too busy to watch services");
        ear.until_news("services are watched again after ");
    }
}

#[test]
fn a_server_that_keeps_failing_is_not_stormed() {
    let faults = [error(500, None), Fault::Reset, Fault::EndWatch];
    let patience = Patience {
        pauses: Pauses::default(),
        ..quick()
    };
    let listeners = faults.map(|fault| {
        let server = ApiServer::start().unwrap();
        furnish(&server);
        server.fail(On::everything(), fault.clone());
        let ear = Ear::with(server.kubeconfig(), patience);
        (server, ear, fault)
    });
    for (server, _ear, fault) in listeners {
        let asked_thrice =
            server.wait_until(PATIENCE, |server| asked_for_services(server).len() >= 3);
        let times = asked_for_services(&server);
        assert!(asked_thrice, "{fault:?}: {times:?}");
        assert!(
            times[1] - times[0] >= Duration::from_millis(800),
            "{fault:?}: {times:?}"
        );
        assert!(
            times[2] - times[1] >= Duration::from_millis(1600),
            "{fault:?}: {times:?}"
        );
    }
}

/// When a server was asked for Services.
fn asked_for_services(server: &ApiServer) -> Vec<Instant> {
    let services = Resource::Services.path();
    let requests = server.requests().into_iter();
    let asked = requests.filter(|one| one.path == services);
    asked.map(|one| one.at).collect()
}

#[test]
fn a_token_without_rights_is_told_which() {
    let server = ApiServer::builder().authenticate().start().unwrap();
    furnish(&server);
    server.fail(On::resource(Resource::EndpointSlices), Fault::Forbidden);
    let mut ear = Ear::to(&server);
    let news = ear.until_news("may not list endpointslices: ");
    assert!(
        news.text
            .contains("cannot list resource \"endpointslices\""),
        "{}",
        news.text
    );
    assert!(
        news.text
            .ends_with("grant list and watch on endpointslices, see deploy/")
    );
    ear.until("synced otherwise", |ear| ear.is_synced(Kind::Service));
    assert!(!ear.is_synced(Kind::EndpointSlice));
    let status = ear
        .cluster
        .board()
        .all()
        .into_iter()
        .find(|watch| watch.kind == Kind::EndpointSlice);
    assert!(status.unwrap().failure.unwrap().contains("may not list"));
    ear.listen_for(Duration::from_millis(200));
    assert_eq!(ear.warnings().len(), 1, "told once: {ear:?}");
    server.heal().unwrap();
    ear.until_equal(&server);
    ear.until_synced();
    ear.until_news("endpointslices are watched again after ");
    assert!(
        ear.cluster
            .board()
            .all()
            .iter()
            .all(|watch| watch.failure.is_none())
    );
}

#[test]
fn who_may_list_and_not_watch_hears_what_there_is() {
    let server = ApiServer::builder().authenticate().start().unwrap();
    furnish(&server);
    server.fail(On::verb(Verb::Watch), Fault::Forbidden);
    let mut ear = Ear::to(&server);
    ear.until_equal(&server);
    ear.until_synced();
    ear.until_news("may not watch services: ");
}

#[test]
fn a_server_without_service_cidrs_has_none() {
    let server = ApiServer::start().unwrap();
    furnish(&server);
    server.delete(Resource::ServiceCidrs, "", "kubernetes");
    server.fail(On::resource(Resource::ServiceCidrs), error(404, None));
    let mut ear = Ear::to(&server);
    ear.until_synced();
    ear.until_equal(&server);
    ear.until_news("the server has no servicecidrs");
    assert_eq!(ear.warnings(), [""; 0]);
    ear.listen_for(Duration::from_millis(200));
    let asked = server
        .requests()
        .into_iter()
        .filter(|request| request.path == Resource::ServiceCidrs.path());
    assert_eq!(asked.count(), 1, "it is asked rarely");
}

#[test]
fn what_was_told_stays_while_the_server_is_away() {
    let server = ApiServer::start().unwrap();
    furnish(&server);
    let mut ear = Ear::to(&server);
    ear.until_equal(&server);
    ear.until_synced();
    let told = ear.told.len();
    server.go_down().unwrap();
    let news = ear.until_news("cannot be reached");
    assert!(news.text.contains(&server.url()), "{}", news.text);
    assert!(news.text.contains("Connection refused"), "{}", news.text);
    ear.until("disconnected", |ear| {
        ear.cluster
            .board()
            .all()
            .iter()
            .all(|watch| !watch.connected)
    });
    ear.listen_for(Duration::from_millis(200));
    assert_eq!(ear.told.len(), told);
    let away = ear
        .warnings()
        .iter()
        .filter(|text| text.contains("cannot be reached"))
        .count();
    assert_eq!(away, 1, "told once: {ear:?}");
    server.apply(&service("web", "10.96.3.3")).unwrap();
    server.go_on().unwrap();
    ear.until_equal(&server);
    ear.until_news("answers again after ");
    ear.until("connected", |ear| {
        ear.cluster
            .board()
            .all()
            .iter()
            .all(|watch| watch.connected)
    });
    // It went on from where it was: what did not change was not told again.
    assert_eq!(ear.told.len(), told + 1);
    assert_eq!(ear.count(&Change::Synced(Kind::Service)), 1);
}

#[test]
fn every_answer_is_counted() {
    let server = ApiServer::start().unwrap();
    server.fail_once(On::resource(Resource::Services), error(500, None));
    server.fail_once(On::resource(Resource::Nodes), Fault::Reset);
    let mut ear = Ear::to(&server);
    ear.until_synced();
    let mut answered: Vec<_> = ear
        .answered
        .lock()
        .unwrap()
        .iter()
        .map(|answer| {
            assert_eq!(answer.host, server.address().to_string());
            assert_eq!(answer.method, "GET");
            assert!(answer.took < PATIENCE);
            format!("{} {}", answer.resource, answer.code)
        })
        .collect();
    answered.sort();
    assert_eq!(
        answered,
        [
            "endpointslices 200",
            "nodes 200",
            "nodes <error>",
            "servicecidrs 200",
            "services 200",
            "services 500",
        ]
    );
    let agents = server
        .requests()
        .into_iter()
        .map(|request| request.user_agent);
    for agent in agents {
        assert!(
            agent.starts_with("fairlead/") && agent.contains(" (linux/"),
            "{agent}"
        );
    }
}

#[test]
fn what_is_heard_waits_for_who_does_not_listen() {
    let server = ApiServer::start().unwrap();
    server.fill(3000, 1);
    let mut ear = Ear::with(server.kubeconfig(), quick());
    // Far more than may wait. What does not fit stays with the server, so that nothing more is
    // heard after a while.
    let mut heard = None;
    while heard.is_none() || heard != ear.heard(Kind::Service) {
        heard = ear.heard(Kind::Service);
        std::thread::sleep(Duration::from_millis(500));
    }
    let watches = ear.cluster.board().all();
    let services = watches.iter().find(|watch| watch.kind == Kind::Service);
    assert!(!services.unwrap().synced, "{watches:#?}");
    ear.until_synced();
    assert_eq!(ear.names(Kind::Service).len(), 3000);
    assert_eq!(ear.names(Kind::EndpointSlice).len(), 3000);
    assert_eq!(ear.told.len(), 6004);
}

#[test]
fn it_ends_with_whatever_is_under_way() {
    let server = ApiServer::start().unwrap();
    server.fill(2000, 1);
    // Waiting for its listener, for an answer, in a pause.
    let ear = Ear::to(&server);
    std::thread::sleep(Duration::from_millis(100));
    drop(ear);
    server.hang();
    let ear = Ear::to(&server);
    std::thread::sleep(Duration::from_millis(50));
    drop(ear);
    server.go_down().unwrap();
    drop(Ear::to(&server));
    server.go_on().unwrap();
    let gone = server.wait_until(PATIENCE, |server| server.watches().is_empty());
    assert!(gone, "{:?}", server.watches());
}
