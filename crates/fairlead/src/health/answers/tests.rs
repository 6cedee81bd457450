//! The answers, to the byte.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use fairlead_core::address::Family;
use fairlead_core::api::{Kind, ObjectName};
use fairlead_core::report::Excluded;

use super::*;
use crate::health::state::{Failure, Freshness};

const PATIENCE: Duration = Duration::from_mins(1);

/// Two families that began at `START`, and a time from which to measure.
fn started() -> (State, Instant) {
    let mut state = State::new(PATIENCE);
    state.started(&Family::BOTH, date(START));
    state.node_eligible(true);
    (state, Instant::now())
}

const START: &str = "2026-01-02T03:04:05.678901234Z";
const LATER: &str = "2026-01-02T03:05:06.5Z";

fn date(text: &str) -> Timestamp {
    text.parse().expect("a date")
}

fn later(at: Instant) -> Moment {
    Moment {
        at,
        date: date(LATER),
    }
}

fn fresh_later(freshness: &mut Freshness) {
    *freshness = Freshness::fresh(date(LATER));
}

fn waits(since: Instant) -> impl FnOnce(&mut Freshness) {
    move |freshness| freshness.waiting_since = Some(since)
}

#[test]
fn a_fresh_process_is_healthy() {
    let (state, now) = started();
    let healthz = healthz(&state, later(now));
    assert!(healthz.ok);
    assert_eq!(
        healthz.body,
        r#"{"lastUpdated":"2026-01-02T03:05:06.5Z","currentTime":"2026-01-02T03:05:06.5Z","nodeEligible":true,"healthy":true,"status":{"IPv4":{"lastUpdated":"2026-01-02T03:04:05.678901234Z","healthy":true},"IPv6":{"lastUpdated":"2026-01-02T03:04:05.678901234Z","healthy":true}}}"#
    );
    let livez = livez(&state, later(now));
    assert!(livez.ok);
    assert_eq!(
        livez.body,
        r#"{"lastUpdated":"2026-01-02T03:05:06.5Z","currentTime":"2026-01-02T03:05:06.5Z","healthy":true,"status":{"IPv4":{"lastUpdated":"2026-01-02T03:04:05.678901234Z","healthy":true},"IPv6":{"lastUpdated":"2026-01-02T03:04:05.678901234Z","healthy":true}}}"#
    );
}

#[test]
fn a_family_that_is_late_is_told_and_makes_the_whole_unhealthy() {
    let (mut state, now) = started();
    state.family(Family::V6, waits(now));
    assert!(healthz(&state, later(now + PATIENCE / 2)).ok);
    let late = later(now + PATIENCE);
    let healthz = healthz(&state, late);
    assert!(!healthz.ok);
    assert_eq!(
        healthz.body,
        r#"{"lastUpdated":"2026-01-02T03:04:05.678901234Z","currentTime":"2026-01-02T03:05:06.5Z","nodeEligible":true,"healthy":false,"status":{"IPv4":{"lastUpdated":"2026-01-02T03:04:05.678901234Z","healthy":true},"IPv6":{"lastUpdated":"2026-01-02T03:04:05.678901234Z","healthy":false}}}"#
    );
    assert!(!livez(&state, late).ok);
    state.family(Family::V6, fresh_later);
    assert!(livez(&state, late).ok);
}

#[test]
fn how_late_is_too_late_can_change() {
    let (mut state, now) = started();
    state.each_family(|freshness| freshness.waiting_since = Some(now));
    let later = later(now + PATIENCE / 2);
    assert!(livez(&state, later).ok);
    state.set_patience(PATIENCE / 2);
    assert!(!livez(&state, later).ok);
}

#[test]
fn the_newest_update_of_any_family_is_told() {
    let (mut state, now) = started();
    state.family(Family::V4, waits(now));
    state.family(Family::V6, fresh_later);
    let body = livez(&state, later(now + PATIENCE)).body;
    assert!(
        body.starts_with(r#"{"lastUpdated":"2026-01-02T03:05:06.5Z","#),
        "{body}"
    );
}

#[test]
fn a_node_that_goes_is_unhealthy_and_alive() {
    let (mut state, now) = started();
    state.node_eligible(false);
    let healthz = healthz(&state, later(now));
    assert!(!healthz.ok);
    assert_eq!(
        healthz.body,
        r#"{"lastUpdated":"2026-01-02T03:04:05.678901234Z","currentTime":"2026-01-02T03:05:06.5Z","nodeEligible":false,"healthy":true,"status":{"IPv4":{"lastUpdated":"2026-01-02T03:04:05.678901234Z","healthy":true},"IPv6":{"lastUpdated":"2026-01-02T03:04:05.678901234Z","healthy":true}}}"#
    );
    let livez = livez(&state, later(now));
    assert!(livez.ok);
    assert!(!livez.body.contains("nodeEligible"));
    state.node_eligible(true);
    assert!(super::healthz(&state, later(now)).ok);
}

#[test]
fn before_the_loop_begins_there_is_no_status() {
    let state = State::new(PATIENCE);
    let now = later(Instant::now());
    assert_eq!(
        healthz(&state, now).body,
        r#"{"lastUpdated":"0001-01-01T00:00:00Z","currentTime":"2026-01-02T03:05:06.5Z","nodeEligible":false,"healthy":true}"#
    );
    assert!(livez(&state, now).ok);
}

#[test]
fn ready_says_what_is_missing() {
    let (mut state, now) = started();
    state.awaiting(vec![Kind::Node, Kind::EndpointSlice]);
    let answer = readyz(&state, later(now));
    assert!(!answer.ok);
    assert_eq!(
        answer.body,
        r#"{"ready":false,"currentTime":"2026-01-02T03:05:06.5Z","missing":["Node","EndpointSlices","first sync"],"stale":[],"notServed":0,"sourceProblems":false}"#
    );
    state.awaiting(Vec::new());
    assert!(!readyz(&state, later(now)).ok);
    state.complete(&[]);
    let answer = readyz(&state, later(now));
    assert!(answer.ok);
    assert_eq!(
        answer.body,
        r#"{"ready":true,"currentTime":"2026-01-02T03:05:06.5Z","missing":[],"stale":[],"notServed":0,"sourceProblems":false}"#
    );
}

#[test]
fn what_is_awaited_again_after_the_first_sync_is_not_missed() {
    let (mut state, now) = started();
    state.complete(&[]);
    state.awaiting(vec![Kind::Node]);
    assert!(readyz(&state, later(now)).ok);
}

#[test]
fn ready_dates_the_last_failure_until_it_is_mended() {
    let (mut state, now) = started();
    state.complete(&[]);
    state.failed(Failure {
        at: date(START),
        message: "the kernel said \"no\"".to_owned(),
    });
    state.family(Family::V4, waits(now));
    let answer = readyz(&state, later(now + PATIENCE));
    assert!(!answer.ok);
    assert_eq!(
        answer.body,
        r#"{"ready":false,"currentTime":"2026-01-02T03:05:06.5Z","missing":[],"stale":["IPv4"],"lastFailure":"2026-01-02T03:04:05.678901234Z","notServed":0,"sourceProblems":false}"#
    );
    state.complete(&[]);
    assert!(!readyz(&state, later(now)).body.contains("lastFailure"));
}

#[test]
fn ready_counts_the_services_that_the_kernel_refuses() {
    let (mut state, now) = started();
    state.complete(&[Excluded {
        service: ObjectName::new("shop", "edge"),
        why: "File exists".to_owned(),
    }]);
    let answer = readyz(&state, later(now));
    assert!(answer.ok);
    assert_eq!(
        answer.body,
        r#"{"ready":true,"currentTime":"2026-01-02T03:05:06.5Z","missing":[],"stale":[],"notServed":1,"sourceProblems":false}"#
    );
}

#[test]
fn ready_says_that_something_is_wrong_where_the_objects_come_from() {
    let (mut state, now) = started();
    state.awaiting(vec![Kind::Service]);
    state.source(vec!["may not list services".to_owned()]);
    let answer = readyz(&state, later(now));
    assert!(!answer.ok);
    assert_eq!(
        answer.body,
        r#"{"ready":false,"currentTime":"2026-01-02T03:05:06.5Z","missing":["Services","first sync"],"stale":[],"notServed":0,"sourceProblems":true}"#
    );
}
