//! The endpoint that a client had last.

use std::time::Instant;

use fairlead_core::balance::{Balancer, MOST_CLIENTS};
use fairlead_core::route::Pool;
use fairlead_core::scheduling::Scheduler;

use super::{HOUR, MS, SECOND, balancer, client, connect, pick, set, target, targets};

#[test]
fn a_client_is_remembered_until_long_after_its_last_connection() {
    let mut b = balancer(&[1, 2, 3], Scheduler::Rr, Some(10 * SECOND));
    let start = Instant::now();
    assert_eq!(connect(&mut b, 7, start), 1);
    assert_eq!(connect(&mut b, 8, start), 2);
    assert_eq!(connect(&mut b, 7, start + 9 * SECOND), 1);
    assert_eq!(connect(&mut b, 7, start + 18 * SECOND), 1, "each counts");
    assert_eq!(connect(&mut b, 7, start + 28 * SECOND), 3, "too late");
}

#[test]
fn what_a_client_opens_at_once_goes_to_one_endpoint() {
    let mut b = balancer(&[1, 2, 3], Scheduler::Rr, Some(HOUR));
    let now = Instant::now();
    assert_eq!(
        [pick(&mut b, 7, &[], now), pick(&mut b, 7, &[], now)],
        [1, 1]
    );
}

#[test]
fn a_failed_dial_ends_what_binds_a_client() {
    let mut b = balancer(&[1, 2, 3], Scheduler::Rr, Some(HOUR));
    let now = Instant::now();
    assert_eq!(connect(&mut b, 7, now), 1);
    assert_eq!(connect(&mut b, 8, now), 2);
    b.failed(target(1), client(7), now);
    assert_eq!(pick(&mut b, 7, &[1], now), 3);
    b.connected(target(3), client(7), now);
    b.answered(target(1));
    assert_eq!(connect(&mut b, 7, now), 3, "also when 1 is back");
    assert_eq!(connect(&mut b, 8, now), 2, "others stay");
}

#[test]
fn an_endpoint_that_went_and_came_back_is_not_remembered() {
    let mut b = balancer(&[1, 2, 3], Scheduler::Rr, Some(HOUR));
    let now = Instant::now();
    assert_eq!(connect(&mut b, 7, now), 1);
    set(&mut b, &[2, 3], Scheduler::Rr, Some(HOUR));
    set(&mut b, &[1, 2, 3], Scheduler::Rr, Some(HOUR));
    assert_eq!(connect(&mut b, 7, now), 2);
}

#[test]
fn clients_of_an_endpoint_that_goes_get_another_and_all_others_keep_theirs() {
    let mut b = balancer(&[1, 2, 3], Scheduler::Rr, Some(HOUR));
    let now = Instant::now();
    let first: Vec<u8> = (0..9).map(|who| connect(&mut b, who, now)).collect();
    set(&mut b, &[1, 3], Scheduler::Rr, Some(HOUR));
    let second: Vec<u8> = (0..9).map(|who| connect(&mut b, who, now)).collect();
    for (before, after) in first.iter().zip(&second) {
        match before {
            2 => assert_ne!(*after, 2),
            before => assert_eq!(after, before),
        }
    }
    set(&mut b, &[1, 2, 3, 4], Scheduler::Rr, Some(HOUR));
    let third: Vec<u8> = (0..9).map(|who| connect(&mut b, who, now)).collect();
    assert_eq!(third, second, "those that come take nobody's clients");
}

#[test]
fn a_client_stays_within_the_pool_that_it_asks() {
    let mut b = Balancer::new();
    b.update(&targets(1..=3), &targets(2..=2), Scheduler::Rr, Some(HOUR));
    let now = Instant::now();
    assert_eq!(connect(&mut b, 7, now), 1);
    let local = b.pick(Pool::Local, client(7), &[], now, &mut |_| 0);
    assert_eq!(local, Some(target(2)));
}

#[test]
fn affinity_that_is_taken_away_is_forgotten() {
    let mut b = balancer(&[1, 2], Scheduler::Rr, Some(HOUR));
    let now = Instant::now();
    assert_eq!(connect(&mut b, 7, now), 1);
    set(&mut b, &[1, 2], Scheduler::Rr, None);
    assert_eq!(b.clients(), 0);
    assert_eq!(connect(&mut b, 7, now), 2);
    set(&mut b, &[1, 2], Scheduler::Rr, Some(HOUR));
    assert_eq!(connect(&mut b, 7, now), 1);
}

#[test]
fn clients_are_not_remembered_without_end() {
    let mut b = balancer(&[1, 2], Scheduler::Rr, Some(HOUR));
    let start = Instant::now();
    let at = |who: u32| start + MS * who;
    let most = MOST_CLIENTS as u32;
    for who in 0..most + 10 {
        connect(&mut b, who, at(who));
    }
    assert_eq!(b.clients(), MOST_CLIENTS);
    let (last, next) = (pick(&mut b, most + 9, &[], at(most)), most + 10);
    assert_eq!(
        last,
        connect(&mut b, most + 9, at(most)),
        "young ones are kept"
    );
    for who in next..next + most / 2 {
        connect(&mut b, who, at(who) + HOUR);
    }
    assert_eq!(b.clients(), MOST_CLIENTS / 2, "old ones are swept");
}

#[test]
fn a_client_of_an_endpoint_that_is_set_aside_gets_another_one() {
    let mut b = balancer(&[1, 2], Scheduler::Rr, Some(HOUR));
    let now = Instant::now();
    assert_eq!(connect(&mut b, 7, now), 1);
    b.failed(target(1), client(8), now);
    assert_eq!(connect(&mut b, 7, now), 2);
    assert_eq!(connect(&mut b, 7, now + HOUR / 2), 2, "and keeps it");
}
