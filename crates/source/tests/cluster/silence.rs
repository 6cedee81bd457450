//! Servers that say nothing: those with nothing to say, and those that hang.

use std::time::{Duration, Instant};

use fairlead_core::api::{Change, Kind};
use fairlead_lab::api_server::{ApiServer, Fault, On, Resource};
use fairlead_source::cluster::Patience;

use crate::ear::{Ear, NODE, PATIENCE, quick};
use crate::objects::{furnish, node, service};

/// One who soon asks a silent server whether it is there, and gives it time to answer.
fn wary() -> Patience {
    Patience {
        silence: Duration::from_millis(250),
        ..quick()
    }
}

/// One who does not wait long for an answer either.
fn hasty() -> Patience {
    Patience {
        answer: Duration::from_secs(1),
        check: Duration::from_secs(1),
        ..wary()
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
    let mut ear = Ear::with(server.kubeconfig(), wary());
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
    assert!(requests[2].at - requests[0].at >= wary().silence * 2);
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
        let mut ear = Ear::with(server.kubeconfig(), wary());
        ear.until_synced();
        server.forget_requests();
        let asked = server.wait_until(PATIENCE, |server| server.requests().len() >= 3);
        assert!(asked);
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
    ear.until_news("did not answer within 1s (and no watch says anything)");
    assert!(hung.elapsed() >= hasty().check);
    ear.until("disconnected", |ear| {
        ear.cluster
            .board()
            .all()
            .iter()
            .all(|watch| !watch.connected)
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
    ear.until_news("did not answer within 1s");
    server.heal().unwrap();
    ear.until_equal(&server);
}

#[test]
fn a_watch_that_alone_falls_silent_is_the_servers_to_end() {
    // The others go on, and so it is not the connection's fault.
    let server = quiet();
    let mut ear = Ear::with(server.kubeconfig(), wary());
    ear.until_synced();
    server.forget_requests();
    server.fail_once(On::watch(Resource::Nodes), Fault::SilenceWatch);
    server.apply(&service("web", "10.96.3.3")).unwrap();
    ear.until_equal(&server);
    let asked = server.wait_until(PATIENCE, |server| !server.requests().is_empty());
    assert!(asked);
    assert_eq!(server.requests()[0].path, "/version");
    assert_eq!(server.watches().len(), 4);
    assert_eq!(ear.warnings(), [""; 0]);
}

#[test]
fn a_watch_whose_bookmarks_cease_is_asked_for_anew() {
    let builder = ApiServer::builder().bookmarks_every(Duration::from_millis(20));
    let server = builder.start().unwrap();
    furnish(&server);
    let patience = Patience {
        bookmarks: Duration::from_secs(1),
        ..quick()
    };
    let mut ear = Ear::with(server.kubeconfig(), patience);
    ear.until_equal(&server);
    ear.until_synced();
    // The first thing after the list is a bookmark.
    let listed = ear.heard(Kind::Node);
    ear.until("told of a bookmark", |ear| ear.heard(Kind::Node) > listed);
    server.fail_once(On::watch(Resource::Nodes), Fault::SilenceWatch);
    let silenced = server.wait_until(PATIENCE, |server| server.faults_left() == Some(0));
    assert!(silenced);
    server.apply(&node(NODE, "east")).unwrap();
    ear.until_equal(&server);
    // What this one request met says nothing about the server.
    assert_eq!(ear.count(&Change::Synced(Kind::Node)), 1);
}

#[test]
fn the_kernel_probes_each_connection_within_seconds() {
    let server = quiet();
    let mut ear = Ear::with(server.kubeconfig(), quick());
    ear.until_synced();
    let port = server.address().port();
    ear.until("probed", |_| probes(port).len() == 4);
    for due in probes(port) {
        assert!(due <= Duration::from_secs(15), "{due:?}");
    }
}

/// When the keepalive timers of the connections to this port are due: `proc(5)`, `net/tcp`.
fn probes(port: u16) -> Vec<Duration> {
    const ESTABLISHED: &str = "01";
    const KEEPALIVE: &str = "02";
    let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
    let due = |line: &str| {
        let mut fields = line.split_whitespace().skip(2);
        let (remote, state) = (fields.next()?, fields.next()?);
        let (timer, ticks) = fields.nth(1)?.split_once(':')?;
        let to = u16::from_str_radix(remote.split_once(':')?.1, 16).ok()?;
        let ticks = u64::from_str_radix(ticks, 16).ok()?;
        // In ticks of USER_HZ, which is 100 on every architecture there is a proxy for.
        let wanted = to == port && state == ESTABLISHED && timer == KEEPALIVE;
        wanted.then(|| Duration::from_millis(ticks * 10))
    };
    table.lines().skip(1).filter_map(due).collect()
}
