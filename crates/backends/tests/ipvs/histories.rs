//! Whatever happened before, the kernel is as a fresh start would make it.

use std::net::IpAddr;

use fairlead_core::api::{Change, Kind};
use fairlead_kernel::fault::seeded;
use fairlead_kernel::ipvs::fake::FakeIpvs;
use fairlead_kernel::ipvs::handle::{Ipvs, Op};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use crate::any::never;
use crate::node::{Fakes, Node};
use crate::universe::change;

/// The share of calls to the kernel that fail, in percent.
const FAILING: u8 = 10;

fn synced() -> [Change; 2] {
    [
        Change::Synced(Kind::Service),
        Change::Synced(Kind::EndpointSlice),
    ]
}

/// Any change; a Service may ask for a scheduler that there is, or not.
fn step() -> impl Strategy<Value = Change> {
    let schedulers = [None, Some("lc"), Some("sh,sh-port"), Some("nq"), Some("?")];
    (change(), select(schedulers.to_vec())).prop_map(|(mut change, scheduler)| {
        if let Change::Service(service) = &mut change {
            service.scheduler = scheduler.map(str::to_owned);
        }
        change
    })
}

fn with_some_schedulers() -> Fakes {
    Fakes {
        ipvs: FakeIpvs::with_schedulers(&["rr", "lc", "sh"]),
        ..Fakes::default()
    }
}

/// The addresses of a host: a Service may have one of them, too.
fn host() -> impl Strategy<Value = Vec<IpAddr>> {
    let all = ["192.0.2.1", "192.0.2.10", "2001:db8::1", "2001:db8::10"];
    let all = all.map(|ip| ip.parse().unwrap());
    subsequence(all.to_vec(), 0..=all.len())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn incremental_is_full(history in vec((step(), any::<bool>(), host()), 1..40), seed: u64) {
        let mut seeds = seed..;
        let mut node = Node::new(with_some_schedulers(), || {
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
        let mut fresh = Node::new(with_some_schedulers(), never);
        fresh.host.clone_from(&node.host);
        fresh.apply(history.into_iter().map(|(change, ..)| change));
        fresh.settle();
        prop_assert_eq!(node.dump(), fresh.dump());
    }

    #[test]
    fn a_restart_changes_nothing(history in vec(change(), 1..40)) {
        let mut before = Node::settled(Fakes::default(), history.clone());
        let dump = before.dump();
        let mut after = Node::new(before.fakes(), never);
        let report = after.change(history);
        prop_assert_eq!(after.dump(), dump);
        prop_assert!(report.ipvs == before.sync().unwrap().ipvs);
    }

    #[test]
    fn what_others_spoil_is_mended(history in vec(change(), 1..20), spoil in any::<prop::sample::Index>()) {
        let mut node = Node::settled(Fakes::default(), history);
        let intact = node.dump();
        let servers = node.ipvs().servers().unwrap();
        let mut spoils: Vec<Op> = servers.iter().map(|server| Op::RemoveServer(server.address)).collect();
        for server in &servers {
            for real in node.ipvs().reals(server.address).unwrap() {
                let mut server_of = real.server;
                spoils.push(Op::RemoveReal(server.address, server_of.address));
                for weight in [0, 7] {
                    server_of.weight = weight;
                    spoils.push(Op::EditReal(server.address, server_of));
                }
            }
        }
        if !spoils.is_empty() {
            let op = spoils[spoil.index(spoils.len())];
            prop_assert_eq!(node.ipvs().apply(&[op]).unwrap().refused, []);
            let held = node.device().addresses.as_mut().unwrap();
            held.pop_first();
            held.insert("192.0.2.99".parse().unwrap());
        }
        node.engine.distrust();
        node.settle();
        prop_assert_eq!(node.dump(), intact);
    }
}
