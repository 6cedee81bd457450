//! Endpoints that do not answer.

use std::time::Instant;

use fairlead_core::balance::{LONGEST_ASIDE, SHORTEST_ASIDE, TRIAL};
use fairlead_core::route::Pool;
use fairlead_core::scheduling::Scheduler;

use super::{HOUR, MS, SECOND, balancer, client, connect, number, pick, set, target};

#[test]
fn an_endpoint_that_failed_is_left_out_until_its_time_is_over_and_then_tried_once() {
    for scheduler in Scheduler::IN_USERSPACE {
        let mut b = balancer(&[1, 2, 3], scheduler, None);
        let start = Instant::now();
        b.failed(target(2), client(1), start);
        assert_eq!(b.aside(), 1);
        let just_before = start + SHORTEST_ASIDE.saturating_sub(MS);
        for who in 0..100 {
            assert_ne!(connect(&mut b, who, just_before), 2, "{scheduler}");
        }
        let over = start + SHORTEST_ASIDE;
        let mut seed = 0;
        let mut picked = |now| {
            seed += 1;
            let mut chance = |count| seed % count;
            number(
                b.pick(Pool::Cluster, client(seed), &[], now, &mut chance)
                    .unwrap(),
            )
        };
        let trials = (0..100).filter(|_| picked(over) == 2).count();
        assert_eq!(trials, 1, "{scheduler}");
        assert_ne!(
            picked(over + TRIAL.saturating_sub(MS)),
            2,
            "{scheduler}: the trial still runs"
        );
    }
}

#[test]
fn each_failed_trial_doubles_the_time_aside() {
    let mut b = balancer(&[1, 2], Scheduler::Rr, None);
    let mut now = Instant::now();
    let mut lengths = Vec::new();
    for _ in 0..9 {
        b.failed(target(2), client(1), now);
        let failed = now;
        while pick(&mut b, 1, &[], now) != 2 {
            now += SECOND / 2;
        }
        lengths.push((now - failed).as_secs());
    }
    assert_eq!(lengths, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    assert_eq!(LONGEST_ASIDE, 60 * SECOND);
}

#[test]
fn dials_that_fail_together_count_once() {
    let mut b = balancer(&[1, 2], Scheduler::Rr, None);
    let start = Instant::now();
    for late in 0..100 {
        b.failed(target(2), client(late), start + MS * late);
    }
    let failures: Vec<u64> = b.conditions().map(|condition| condition.failures).collect();
    assert_eq!(failures, [0, 100]);
    let picks = [0, 1].map(|_| pick(&mut b, 1, &[], start + SHORTEST_ASIDE));
    assert!(picks.contains(&2), "{picks:?}");
}

#[test]
fn a_trial_that_succeeds_ends_the_time_aside() {
    let mut b = balancer(&[1, 2], Scheduler::Rr, None);
    let start = Instant::now();
    b.failed(target(2), client(1), start);
    let over = start + SHORTEST_ASIDE;
    while pick(&mut b, 1, &[], over) != 2 {}
    b.connected(target(2), client(1), over);
    assert_eq!(b.aside(), 0);
    b.failed(target(2), client(1), over);
    let picks = [0, 1].map(|_| pick(&mut b, 1, &[], over + SHORTEST_ASIDE));
    assert!(
        picks.contains(&2),
        "the first failure in a row again: {picks:?}"
    );
}

#[test]
fn a_trial_that_nobody_speaks_of_is_followed_by_another() {
    let mut b = balancer(&[1, 2], Scheduler::Rr, None);
    let start = Instant::now();
    b.failed(target(2), client(1), start);
    let over = start + SHORTEST_ASIDE;
    while pick(&mut b, 1, &[], over) != 2 {}
    let picks = [0, 1].map(|_| pick(&mut b, 1, &[], over + TRIAL));
    assert!(picks.contains(&2), "{picks:?}");
}

#[test]
fn endpoints_that_are_all_set_aside_are_picked_all_the_same() {
    for scheduler in Scheduler::IN_USERSPACE {
        let mut b = balancer(&[1, 2, 3], scheduler, Some(HOUR));
        let now = Instant::now();
        for number in 1..=3 {
            b.failed(target(number), client(1), now);
        }
        let first = pick(&mut b, 1, &[], now);
        let second = pick(&mut b, 1, &[first], now);
        let third = pick(&mut b, 1, &[first, second], now);
        let mut all = [first, second, third];
        all.sort_unstable();
        assert_eq!(all, [1, 2, 3], "{scheduler}: nobody twice");
        pick(&mut b, 1, &all, now);
    }
}

#[test]
fn what_failed_before_it_went_is_forgotten_when_it_comes_back() {
    let mut b = balancer(&[1, 2], Scheduler::Rr, None);
    let now = Instant::now();
    b.failed(target(1), client(1), now);
    set(&mut b, &[2], Scheduler::Rr, None);
    b.failed(target(1), client(1), now);
    set(&mut b, &[1, 2], Scheduler::Rr, None);
    assert_eq!(b.aside(), 0);
}
