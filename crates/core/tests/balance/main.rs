//! Which endpoint a connection goes to.
//!
//! For a longer look: `PROPTEST_CASES=20000 cargo test -p fairlead-core --test balance --release`.

mod affinity;
mod aside;
mod random;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use fairlead_core::balance::Balancer;
use fairlead_core::route::{Pool, Target};
use fairlead_core::scheduling::Scheduler;

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_hours(1);

fn target(number: u8) -> Target {
    Target {
        address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, number)),
        port: 80,
    }
}

fn client(number: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(0x0a80_0000 + number))
}

fn targets(numbers: impl IntoIterator<Item = u8>) -> Vec<Target> {
    numbers.into_iter().map(target).collect()
}

/// A balancer whose pools are the same.
fn balancer(numbers: &[u8], scheduler: Scheduler, affinity: Option<Duration>) -> Balancer {
    let mut balancer = Balancer::new();
    set(&mut balancer, numbers, scheduler, affinity);
    balancer
}

fn set(b: &mut Balancer, numbers: &[u8], scheduler: Scheduler, affinity: Option<Duration>) {
    let all = targets(numbers.iter().copied());
    b.update(&all, &all, scheduler, affinity);
}

/// The number of the endpoint that is picked for a client.
fn pick(b: &mut Balancer, who: u32, tried: &[u8], now: Instant) -> u8 {
    let tried = targets(tried.iter().copied());
    let picked = b.pick(Pool::Cluster, client(who), &tried, now, &mut |_| 0);
    number(picked.unwrap())
}

/// A connection that comes about, and to which endpoint.
fn connect(b: &mut Balancer, who: u32, now: Instant) -> u8 {
    let number = pick(b, who, &[], now);
    b.connected(target(number), client(who), now);
    number
}

fn number(target: Target) -> u8 {
    match target.address {
        IpAddr::V4(ip) => ip.octets()[3],
        IpAddr::V6(_) => 0,
    }
}

fn open(b: &Balancer, number: u8) -> u32 {
    let mut all = b.conditions();
    let found = all.find(|condition| condition.target == target(number));
    found.unwrap().open
}

#[test]
fn endpoints_take_turns() {
    let mut b = balancer(&[1, 2, 3], Scheduler::Rr, None);
    let now = Instant::now();
    let order: Vec<u8> = (0..7).map(|who| connect(&mut b, who, now)).collect();
    assert_eq!(order, [1, 2, 3, 1, 2, 3, 1]);
}

#[test]
fn who_begins_is_drawn() {
    let mut b = balancer(&[1, 2, 3], Scheduler::Rr, None);
    let now = Instant::now();
    let mut picked = || b.pick(Pool::Cluster, client(1), &[], now, &mut |count| count - 1);
    assert_eq!([picked(), picked()], [Some(target(3)), Some(target(1))]);
}

#[test]
fn an_empty_pool_has_nobody() {
    let mut b = balancer(&[], Scheduler::Rr, None);
    let now = Instant::now();
    for scheduler in Scheduler::IN_USERSPACE {
        b.update(&[], &[target(1)], scheduler, None);
        assert_eq!(b.pick(Pool::Cluster, client(1), &[], now, &mut |_| 0), None);
        let local = b.pick(Pool::Local, client(1), &[], now, &mut |_| 0);
        assert_eq!(local, Some(target(1)));
    }
}

#[test]
fn each_pool_has_turns_of_its_own() {
    let mut b = Balancer::new();
    b.update(&targets(1..=3), &targets(2..=3), Scheduler::Rr, None);
    let now = Instant::now();
    let mut picked = |pool| number(b.pick(pool, client(1), &[], now, &mut |_| 0).unwrap());
    let order = [
        picked(Pool::Cluster),
        picked(Pool::Local),
        picked(Pool::Cluster),
        picked(Pool::Local),
        picked(Pool::Local),
        picked(Pool::Cluster),
    ];
    assert_eq!(order, [1, 2, 2, 3, 2, 3]);
}

#[test]
fn a_change_of_endpoints_does_not_begin_the_order_anew() {
    let mut b = balancer(&[1, 3, 5], Scheduler::Rr, None);
    let now = Instant::now();
    assert_eq!(connect(&mut b, 1, now), 1);
    set(&mut b, &[1, 2, 3, 5], Scheduler::Rr, None);
    assert_eq!(connect(&mut b, 1, now), 3);
    set(&mut b, &[1, 2, 3], Scheduler::Rr, None);
    assert_eq!(connect(&mut b, 1, now), 1, "5 would have been next");
}

#[test]
fn least_connections_has_the_endpoint_with_the_fewest() {
    let mut b = balancer(&[1, 2, 3], Scheduler::Lc, None);
    let now = Instant::now();
    let order: Vec<u8> = (0..4).map(|who| connect(&mut b, who, now)).collect();
    assert_eq!(order, [1, 2, 3, 1], "ties in their order");
    b.ended(target(3));
    assert_eq!(connect(&mut b, 4, now), 3);
    assert_eq!([open(&b, 1), open(&b, 2), open(&b, 3)], [2, 1, 1]);
    assert_eq!(connect(&mut b, 5, now), 2, "the tie's next is behind 3");
}

#[test]
fn of_two_drawn_the_one_with_fewer_connections_is_taken() {
    let mut b = balancer(&[1, 2, 3, 4], Scheduler::P2c, None);
    let now = Instant::now();
    b.connected(target(2), client(1), now);
    let mut picked = |draws: [u32; 2]| {
        let mut draws = draws.into_iter();
        let mut chance = |_| draws.next().unwrap();
        number(
            b.pick(Pool::Cluster, client(1), &[], now, &mut chance)
                .unwrap(),
        )
    };
    assert_eq!(picked([1, 0]), 3, "2 has one, 3 none");
    assert_eq!(picked([1, 1]), 4);
    assert_eq!(picked([0, 2]), 1, "a tie is the first's");
}

#[test]
fn two_choices_spread_connections() {
    let numbers: Vec<u8> = (1..=10).collect();
    let mut b = balancer(&numbers, Scheduler::P2c, None);
    let (now, mut seed) = (Instant::now(), 1_u64);
    let mut chance = |count: u32| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) as u32 % count
    };
    for who in 0..1000 {
        let picked = b.pick(Pool::Cluster, client(who), &[], now, &mut chance);
        b.connected(picked.unwrap(), client(who), now);
    }
    let counts: Vec<u32> = b.conditions().map(|condition| condition.open).collect();
    assert!(
        counts.iter().all(|count| (95..=105).contains(count)),
        "{counts:?}"
    );
}

#[test]
fn who_was_tried_is_not_picked_again_while_there_are_others() {
    let mut b = balancer(&[1, 2, 3], Scheduler::Rr, Some(HOUR));
    let now = Instant::now();
    connect(&mut b, 7, now);
    assert_eq!(pick(&mut b, 7, &[1], now), 2);
    assert_eq!(pick(&mut b, 7, &[1, 2], now), 3);
}

#[test]
fn connections_outlive_their_endpoint_and_count_when_it_comes_back() {
    let mut b = balancer(&[1, 2], Scheduler::Lc, None);
    let now = Instant::now();
    let served: BTreeMap<u32, u8> = (0..4).map(|who| (who, connect(&mut b, who, now))).collect();
    assert_eq!(served.values().filter(|number| **number == 1).count(), 2);
    set(&mut b, &[2], Scheduler::Lc, None);
    b.ended(target(1));
    assert_eq!(b.open(), 3);
    set(&mut b, &[1, 2], Scheduler::Lc, None);
    assert_eq!([open(&b, 1), open(&b, 2)], [1, 2]);
    assert_eq!(connect(&mut b, 5, now), 1);
}
