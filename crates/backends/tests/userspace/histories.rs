//! Whatever happened before, all is as a fresh start would make it.

use std::net::IpAddr;

use fairlead_backends::nftables::table;
use fairlead_core::address::{Family, Protocol};
use fairlead_core::api::{Change, Kind};
use fairlead_kernel::fault::seeded;
use fairlead_kernel::nft::handle::Nft;
use fairlead_kernel::nft::ruleset::{Batch, Op};
use fairlead_kernel::routing::{Routing, RoutingOp};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};

use crate::node::{Fakes, Node};
use crate::universe::change;

/// The share of calls, and of the relay's operations, that fail, in percent.
const FAILING: u8 = 10;

fn synced() -> [Change; 2] {
    [
        Change::Synced(Kind::Service),
        Change::Synced(Kind::EndpointSlice),
    ]
}

/// Any change; a Service may ask for a scheduler that there is, or not, and for SCTP.
pub(crate) fn step() -> impl Strategy<Value = Change> {
    let schedulers = [None, Some("lc"), Some("p2c"), Some("sh"), Some("?")];
    let schedulers = select(schedulers.to_vec());
    let sctp = prop::bool::weighted(0.1);
    (change(), schedulers, sctp).prop_map(|(mut change, scheduler, sctp)| {
        let other = |protocol: &mut Protocol| {
            if sctp {
                *protocol = Protocol::Sctp;
            }
        };
        match &mut change {
            Change::Service(service) => {
                service.scheduler = scheduler.map(str::to_owned);
                service
                    .ports
                    .iter_mut()
                    .for_each(|it| other(&mut it.protocol));
            }
            Change::EndpointSlice(slice) => {
                slice
                    .ports
                    .iter_mut()
                    .for_each(|it| other(&mut it.protocol));
            }
            _ => {}
        }
        change
    })
}

/// The addresses of a host: an endpoint may have one of them, too.
fn host() -> impl Strategy<Value = Vec<IpAddr>> {
    let all = ["192.0.2.1", "10.1.0.1", "2001:db8::1", "fd01::1"];
    let all = all.map(|ip| ip.parse().unwrap());
    subsequence(all.to_vec(), 0..=all.len())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn incremental_is_full(history in vec((step(), any::<bool>(), host()), 1..40), seed: u64) {
        let mut seeds = seed..;
        let mut node = Node::failing(Fakes::default(), || {
            Box::new(seeded(seeds.next().unwrap_or(seed), FAILING))
        });
        node.apply(synced());
        for (change, pause, host) in &history {
            node.apply([change.clone()]);
            node.host.clone_from(host);
            if *pause {
                // A failure is part of the game; that it is made good is what is tested.
                let _ = node.sync();
            }
        }
        node.settle();
        let mut fresh = Node::settled(Fakes::default(), []);
        fresh.host.clone_from(&node.host);
        fresh.apply(history.into_iter().map(|(change, ..)| change));
        fresh.settle();
        prop_assert_eq!(node.meaning(), fresh.meaning());
    }

    #[test]
    fn to_look_again_changes_nothing(history in vec(step(), 1..40)) {
        let mut node = Node::settled(Fakes::default(), history);
        let (meaning, nft, relayed) = (node.meaning(), node.nft().dump(), listeners(&mut node));
        node.engine.distrust();
        let report = node.sync().unwrap();
        prop_assert!(report.full);
        prop_assert_eq!(node.meaning(), meaning);
        prop_assert_eq!((node.nft().dump(), listeners(&mut node)), (nft, relayed));
        // Nor do the same things said again.
        node.engine.routine();
        node.sync().unwrap();
        prop_assert_eq!(node.sync().unwrap().operations, 0);
    }

    #[test]
    fn a_new_process_makes_of_what_it_finds_what_the_old_one_had(
        history in vec(step(), 1..40),
        missed in vec(step(), 0..3),
    ) {
        let mut before = Node::settled(Fakes::default(), history.clone());
        let mut fakes = before.fakes();
        // What listened is gone with its process.
        fakes.relay = Fakes::default().relay;
        let all = || history.iter().chain(&missed).cloned();
        let mut after = Node::settled(fakes, all());
        let mut fresh = Node::settled(Fakes::default(), all());
        prop_assert_eq!(after.meaning(), fresh.meaning());
    }

    #[test]
    fn what_others_spoil_is_mended(history in vec(step(), 1..20), spoil: Index, flushed: bool) {
        let mut node = Node::settled(Fakes::default(), history);
        let intact = node.meaning();
        let routing = node.routing().observe().unwrap();
        let rules = routing.rules.into_iter().map(RoutingOp::DeleteRule);
        let routes = routing.routes.into_iter().map(RoutingOp::DeleteRoute);
        let gone: Vec<RoutingOp> = rules.chain(routes).collect();
        prop_assert_eq!(gone.len(), 6);
        node.routing().apply(&[gone[spoil.index(gone.len())]]).unwrap();
        let spoils = spoils(&mut node, flushed);
        let batch = spoils[spoil.index(spoils.len())].clone();
        prop_assert!(node.nft().commit(&[batch]).is_ok());
        prop_assert_ne!(node.meaning(), intact.clone());
        node.engine.distrust();
        node.settle();
        prop_assert_eq!(node.meaning(), intact);
    }
}

fn listeners(node: &mut Node) -> String {
    use fairlead_relay::handle::Relay;
    format!("{:?}", node.relay().observe().listeners)
}

/// What can be done to the tables: an element, or the table, goes.
fn spoils(node: &mut Node, flushed: bool) -> Vec<Batch> {
    let mut spoils = Vec::new();
    for family in Family::BOTH {
        let table = table(family);
        let batch = |op| Batch {
            table,
            ops: vec![op],
        };
        let there = node.nft().batch(table).unwrap().ops;
        spoils.extend(there.iter().flat_map(|op| match op {
            Op::AddElements { set, .. } if flushed => vec![batch(Op::FlushSet(set))],
            Op::AddElements { set, elements } => {
                let delete = |element| Op::DeleteElements {
                    set,
                    elements: vec![element],
                };
                elements
                    .iter()
                    .cloned()
                    .map(|it| batch(delete(it)))
                    .collect()
            }
            Op::AddChain(chain) if flushed => vec![batch(Op::FlushChain(chain.name.clone()))],
            _ => Vec::new(),
        }));
        spoils.push(batch(Op::DeleteTable));
    }
    spoils
}
