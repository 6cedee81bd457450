//! What holds after any history of a balancer.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use fairlead_core::balance::{Balancer, LONGEST_ASIDE, SHORTEST_ASIDE, TRIAL};
use fairlead_core::route::{Pool, Target};
use fairlead_core::scheduling::Scheduler;
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

use super::{client, target};

/// How many endpoints and clients there are.
const FEW: u8 = 6;

#[derive(Debug, Clone)]
enum Event {
    Update {
        cluster: BTreeSet<u8>,
        local: BTreeSet<u8>,
        scheduler: Scheduler,
        affinity: Option<u64>,
    },
    /// A connection: how many of its dials fail before one succeeds, if one does.
    Connection {
        pool: Pool,
        client: u8,
        failures: usize,
        succeeds: bool,
        chance: u32,
    },
    /// One of those that are open ends.
    End(prop::sample::Index),
    Wait(u64),
}

fn event() -> impl Strategy<Value = Event> {
    let scheduler = prop::sample::select(Scheduler::IN_USERSPACE.to_vec());
    // One that gets longer may or may not find those whose time was over.
    let affinity = prop::option::of(Just(5_000_u64));
    let pool = || prop::sample::select(vec![Pool::Cluster, Pool::Local]);
    let update = (
        btree_set(0..FEW, 0..5),
        btree_set(0..FEW, 0..4),
        scheduler,
        affinity,
    )
        .prop_map(|(cluster, local, scheduler, affinity)| Event::Update {
            cluster,
            local,
            scheduler,
            affinity,
        });
    let connection = (pool(), 0..FEW, 0..4_usize, any::<bool>(), any::<u32>()).prop_map(
        |(pool, client, failures, succeeds, chance)| Event::Connection {
            pool,
            client,
            failures,
            succeeds,
            chance,
        },
    );
    prop_oneof![
        1 => update,
        6 => connection,
        3 => any::<prop::sample::Index>().prop_map(Event::End),
        2 => prop_oneof![0..2_000_u64, 0..90_000_u64].prop_map(Event::Wait),
    ]
}

/// What a balancer should know, kept in the simplest way.
#[derive(Default)]
struct Expected {
    pools: BTreeMap<Pool, Vec<Target>>,
    affinity: Option<Duration>,
    open: Vec<Target>,
    failures: BTreeMap<Target, u64>,
    /// Since when and how long each is aside, and when it is tried.
    aside: BTreeMap<Target, (Instant, Duration, bool)>,
    /// Whom each client had and when.
    bound: BTreeMap<u8, (Target, Instant)>,
}

impl Expected {
    fn update(&mut self, cluster: Vec<Target>, local: Vec<Target>, affinity: Option<Duration>) {
        let stays = |target: &Target| cluster.contains(target) || local.contains(target);
        self.failures.retain(|target, _| stays(target));
        self.aside.retain(|target, _| stays(target));
        self.bound
            .retain(|_, (target, _)| stays(target) && affinity.is_some());
        self.affinity = affinity;
        self.pools = BTreeMap::from([(Pool::Cluster, cluster), (Pool::Local, local)]);
    }

    fn takes(&self, target: Target, now: Instant) -> bool {
        let aside = self.aside.get(&target);
        aside.is_none_or(|(until, ..)| now >= *until)
    }

    /// Where affinity wants a client to go.
    fn bound(&self, pool: Pool, client: u8, tried: &[Target], now: Instant) -> Option<Target> {
        let (target, last) = *self.bound.get(&client)?;
        let holds = now - last < self.affinity?
            && self.pools[&pool].contains(&target)
            && !tried.contains(&target)
            && self.takes(target, now);
        holds.then_some(target)
    }

    /// Those that may be picked by a scheduler.
    fn candidates(&self, pool: Pool, tried: &[Target], now: Instant) -> Vec<Target> {
        let all = self.pools.get(&pool).cloned().unwrap_or_default();
        let those = |may: &dyn Fn(&Target) -> bool| -> Vec<Target> {
            all.iter().copied().filter(|target| may(target)).collect()
        };
        let is_new = |target: &Target| !tried.contains(target);
        let fit = those(&|target| is_new(target) && self.takes(*target, now));
        let new = those(&is_new);
        [fit, new, all.clone()]
            .into_iter()
            .find(|those| !those.is_empty())
            .unwrap_or_default()
    }

    fn picked(&mut self, target: Target, client: u8, now: Instant) {
        if let Some((until, _, trial)) = self.aside.get_mut(&target)
            && now >= *until
        {
            (*until, *trial) = (now + TRIAL, true);
        }
        self.bind(target, client, now);
    }

    fn bind(&mut self, target: Target, client: u8, now: Instant) {
        if self.affinity.is_some() {
            self.bound.insert(client, (target, now));
        }
    }

    fn failed(&mut self, target: Target, client: u8, now: Instant) {
        *self.failures.entry(target).or_default() += 1;
        let length = match self.aside.get(&target) {
            None => Some(SHORTEST_ASIDE),
            Some((until, length, trial)) if *trial || now >= *until => Some(*length * 2),
            Some(_) => None,
        };
        if let Some(length) = length {
            let length = length.min(LONGEST_ASIDE);
            self.aside.insert(target, (now + length, length, false));
        }
        if self.bound.get(&client).is_some_and(|(to, _)| *to == target) {
            self.bound.remove(&client);
        }
    }

    fn connected(&mut self, target: Target, client: u8, now: Instant) {
        self.open.push(target);
        self.aside.remove(&target);
        self.bind(target, client, now);
    }

    fn check(&self, b: &Balancer) -> Result<(), TestCaseError> {
        for condition in b.conditions() {
            let of = |target: &&Target| **target == condition.target;
            let open = self.open.iter().filter(of).count() as u32;
            prop_assert_eq!(condition.open, open, "{}", condition.target);
            let failures = self.failures.get(&condition.target).copied();
            prop_assert_eq!(condition.failures, failures.unwrap_or_default());
            let is_aside = self.aside.contains_key(&condition.target);
            prop_assert_eq!(condition.is_aside, is_aside);
        }
        prop_assert_eq!(b.open(), self.open.len() as u64);
        prop_assert!(b.clients() <= usize::from(FEW));
        prop_assert!(self.affinity.is_some() || b.clients() == 0);
        Ok(())
    }
}

fn targets(numbers: &BTreeSet<u8>) -> Vec<Target> {
    numbers.iter().copied().map(target).collect()
}

proptest! {
    // What is found becomes a test with a name instead of an entry in a file of seeds.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happened_counts_are_right_and_picks_are_allowed(
        history in vec(event(), 0..120),
    ) {
        let (mut b, mut expected) = (Balancer::new(), Expected::default());
        let mut now = Instant::now();
        for event in history {
            match event {
                Event::Update { cluster, local, scheduler, affinity } => {
                    let (cluster, local) = (targets(&cluster), targets(&local));
                    let affinity = affinity.map(Duration::from_millis);
                    b.update(&cluster, &local, scheduler, affinity);
                    expected.update(cluster, local, affinity);
                }
                Event::Connection { pool, client: who, failures, succeeds, chance } => {
                    let mut tried = Vec::new();
                    for dial in 0..=failures {
                        let mut draw = |count: u32| {
                            assert!(count > 0, "nothing can be drawn of none");
                            chance % count
                        };
                        let picked = b.pick(pool, client(who.into()), &tried, now, &mut draw);
                        let candidates = match expected.bound(pool, who, &tried, now) {
                            Some(bound) => vec![bound],
                            None => expected.candidates(pool, &tried, now),
                        };
                        let Some(target) = picked else {
                            prop_assert!(candidates.is_empty(), "{candidates:?} could be picked");
                            break;
                        };
                        prop_assert!(candidates.contains(&target), "{target} of {candidates:?}");
                        expected.picked(target, who, now);
                        if dial < failures {
                            b.failed(target, client(who.into()), now);
                            expected.failed(target, who, now);
                            tried.push(target);
                        } else if succeeds {
                            b.connected(target, client(who.into()), now);
                            expected.connected(target, who, now);
                        }
                    }
                }
                Event::End(which) => {
                    if !expected.open.is_empty() {
                        let place = which.index(expected.open.len());
                        b.ended(expected.open.swap_remove(place));
                    }
                }
                Event::Wait(ms) => now += Duration::from_millis(ms),
            }
            expected.check(&b)?;
        }
    }

    #[test]
    fn round_robin_is_fair_among_those_that_live(
        numbers in btree_set(0..40_u8, 1..20),
        failing in btree_set(0..40_u8, 0..10),
        begin in any::<u32>(),
        rounds in 1..5_usize,
    ) {
        let (all, now) = (targets(&numbers), Instant::now());
        let mut b = Balancer::new();
        b.update(&all, &[], Scheduler::Rr, None);
        let failing: Vec<Target> = failing.intersection(&numbers).copied().map(target).collect();
        for failing in &failing {
            b.failed(*failing, client(0), now);
        }
        let mut alive: Vec<Target> = all.iter().copied().filter(|t| !failing.contains(t)).collect();
        if alive.is_empty() {
            alive.clone_from(&all);
        }
        let mut counts: BTreeMap<Target, usize> = BTreeMap::new();
        for _ in 0..rounds * alive.len() {
            let picked = b.pick(Pool::Cluster, client(0), &[], now, &mut |count| begin % count);
            *counts.entry(picked.expect("somebody is there")).or_default() += 1;
        }
        let fair: BTreeMap<Target, usize> = alive.into_iter().map(|t| (t, rounds)).collect();
        prop_assert_eq!(counts, fair);
    }
}
