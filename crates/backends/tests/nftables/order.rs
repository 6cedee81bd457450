//! What becomes true before what.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Instant;

use fairlead_backends::engine::Engine;
use fairlead_backends::nftables::Nftables;
use fairlead_core::address::Family;
use fairlead_core::api::Change;
use fairlead_core::model::Model;
use fairlead_core::settings::Settings;
use fairlead_kernel::nft::fake::FakeNft;
use fairlead_kernel::nft::handle::{CallError, CommitError, Committed, Nft, ObservedTable};
use fairlead_kernel::nft::ruleset::{Batch, Data, Op, TableId, Verdict};

use crate::build::{HERE, service, slice};

/// A kernel that keeps what it was told, transaction by transaction.
#[derive(Default)]
struct Recording {
    kernel: FakeNft,
    transactions: Vec<Vec<Op>>,
}

impl Nft for Recording {
    fn commit(&mut self, batches: &[Batch]) -> Result<Committed, CommitError> {
        let ops = batches.iter().flat_map(|batch| batch.ops.clone());
        self.transactions.push(ops.collect());
        self.kernel.commit(batches)
    }

    fn observe(&mut self, table: TableId) -> Result<Option<ObservedTable>, CallError> {
        self.kernel.observe(table)
    }
}

/// The transactions by which a Service comes to other endpoints, one after the other.
fn transactions(endpoints: &[&[u8]]) -> Vec<Vec<Op>> {
    let settings = Settings {
        node_name: HERE.to_owned(),
        ..Settings::default()
    };
    let mut model = Model::new(settings);
    let mut engine = Engine::new(Nftables, Recording::default(), &Family::BOTH);
    let host: [IpAddr; 1] = [IpAddr::from([192, 0, 2, 10])];
    let web = service("web", "10.96.0.1").tcp(80).node_port(30080);
    model.apply(Change::Service(web.sticky(None).0));
    for hosts in endpoints {
        let endpoints: Vec<String> = hosts.iter().map(|n| format!("10.1.0.{n}")).collect();
        let endpoints: Vec<&str> = endpoints.iter().map(String::as_str).collect();
        let slice = slice("web-a", "web").tcp(8080).endpoints(&endpoints);
        model.apply(Change::EndpointSlice(slice.0));
        engine.sync(&mut model, &host, Instant::now()).unwrap();
    }
    std::mem::take(&mut engine.kernel().transactions)
}

fn chains(ops: &[Op]) -> BTreeSet<String> {
    let name = |op: &Op| match op {
        Op::AddRule { chain, .. } => Some(chain.to_string()),
        _ => None,
    };
    ops.iter().filter_map(name).collect()
}

/// The chains that new elements send packets to.
fn led_to(ops: &[Op]) -> BTreeSet<String> {
    let elements = ops.iter().flat_map(|op| match op {
        Op::AddElements { elements, .. } => elements.as_slice(),
        _ => &[],
    });
    let chain = |data: &Option<Data>| match data {
        Some(Data::Verdict(Verdict::Goto(chain) | Verdict::Jump(chain))) => Some(chain.to_string()),
        _ => None,
    };
    elements
        .filter_map(|element| chain(&element.data))
        .collect()
}

#[test]
fn a_chain_has_its_rules_before_anything_leads_there() {
    // The first transaction makes the tables: nothing comes by before there are any.
    let transactions = transactions(&[&[1, 2], &[1, 2, 3, 4, 5], &[1], &[1, 2, 3]]);
    let later = &transactions[1..];
    assert_eq!(
        later.iter().filter(|ops| !led_to(ops).is_empty()).count(),
        3
    );
    for ops in later {
        assert!(chains(ops).is_disjoint(&led_to(ops)), "{ops:?}");
    }
}

#[test]
fn only_new_chains_take_a_transaction_of_their_own() {
    let begun = transactions(&[&[1, 2]]).len();
    let replaced = transactions(&[&[1, 2], &[1, 3]]).len();
    let added = transactions(&[&[1, 2], &[1, 2, 3]]).len();
    assert_eq!((begun, replaced, added), (1, 2, 3));
}
