//! Servers that say nothing: those with nothing to say, and those that hang.

use std::time::{Duration, Instant};

use fairlead_lab::api_server::{ApiServer, Fault, On, Resource};
use fairlead_source::cluster::Patience;

use crate::ear::{Ear, PATIENCE, quick};
use crate::objects::{furnish, service};

fn hasty() -> Patience {
    Patience {
        answer: Duration::from_millis(300),
        silence: Duration::from_millis(250),
        check: Duration::from_millis(400),
        ..quick()
    }
}

/// A server that says nothing of itself.
fn quiet() -> ApiServer {
    let server = ApiServer::builder()
        .bookmarks_every(Duration::from_hours(1))
        .start()
        .unwrap();
    furnish(&server);
    server
}

#[test]
fn a_server_with_nothing_to_say_is_asked_whether_it_is_there_and_left_alone() {
    let server = quiet();
    let mut ear = Ear::with(server.kubeconfig(), hasty());
    ear.until_synced();
    server.forget_requests();
    let asked = server.wait_until(PATIENCE, |server| server.requests().len() >= 3);
    assert!(asked);
    let requests = server.requests();
    assert!(
        requests.iter().all(|request| request.path == "/version"),
        "{requests:#?}"
    );
    // One for all watches, each time.
    assert!(requests[2].at - requests[0].at >= hasty().silence * 2);
    assert_eq!(ear.warnings(), [""; 0]);
}

#[test]
fn whatever_the_answer_it_is_a_sign_of_life() {
    for fault in [
        Fault::Forbidden,
        Fault::Html,
        Fault::Error {
            code: 500,
            retry_after: None,
        },
    ] {
        let server = quiet();
        server.fail(On::path("/version"), fault.clone());
        let mut ear = Ear::with(server.kubeconfig(), hasty());
        ear.until_synced();
        server.forget_requests();
        server.wait_until(PATIENCE, |server| server.requests().len() >= 3);
        let others = server
            .requests()
            .into_iter()
            .filter(|request| request.path != "/version");
        assert_eq!(others.count(), 0, "{fault:?}");
    }
}

#[test]
fn a_server_that_hangs_is_noticed_and_connected_to_anew() {
    let server = quiet();
    let mut ear = Ear::with(server.kubeconfig(), hasty());
    ear.until_equal(&server);
    ear.until_synced();
    let hung = Instant::now();
    server.hang();
    ear.until_news("did not answer within 400ms (and no watch says anything)");
    assert!(hung.elapsed() >= hasty().check);
    ear.until("disconnected", |ear| {
        ear.cluster.watches().iter().all(|watch| !watch.connected)
    });
    server.apply(&service("web", "10.96.3.3")).unwrap();
    server.go_on().unwrap();
    ear.until_equal(&server);
    ear.until_news("answers again after ");
}

#[test]
fn a_request_that_is_not_answered_is_given_up() {
    let server = quiet();
    server.fail(On::resource(Resource::Services), Fault::Hang);
    let mut ear = Ear::with(server.kubeconfig(), hasty());
    ear.until_news("did not answer within 300ms");
    server.heal().unwrap();
    ear.until_equal(&server);
}

#[test]
fn a_watch_that_alone_falls_silent_is_the_servers_to_end() {
    // The others go on, and so it is not the connection's fault.
    let server = quiet();
    let mut ear = Ear::with(server.kubeconfig(), hasty());
    ear.until_synced();
    server.fail_once(On::watch(Resource::Nodes), Fault::SilenceWatch);
    server.apply(&service("web", "10.96.3.3")).unwrap();
    ear.until_equal(&server);
    assert_eq!(ear.warnings(), [""; 0]);
}
