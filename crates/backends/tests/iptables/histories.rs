//! Whatever happened before, the tables are as a fresh start would make them.

use std::collections::BTreeMap;

use fairlead_core::api::{Change, Kind};
use fairlead_kernel::fault::seeded;
use fairlead_kernel::iptables::ruleset::{Family, Op, Table, TableId};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::node::{Node, empty};
use crate::universe::change;

/// The share of calls that fail, in percent.
const FAILING: u8 = 10;

fn synced() -> [Change; 2] {
    [Kind::Service, Kind::EndpointSlice].map(Change::Synced)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn incremental_is_full(history in vec(change(), 1..40), pauses in vec(any::<bool>(), 40), seed: u64) {
        let mut node = Node::new(empty(), Box::new(seeded(seed, FAILING)));
        node.apply(synced());
        for (change, pause) in history.iter().zip(pauses) {
            node.apply([change.clone()]);
            if pause {
                // A failure is part of the game; that it is made good is what is tested.
                let _ = node.sync();
            }
        }
        node.settle();
        let mut fresh = Node::settled(empty(), history);
        prop_assert_eq!(difference(&node.meaning(), &fresh.meaning()), "");
        prop_assert_eq!(node.iptables().refused(), 0, "asked for something that is refused");
    }

    #[test]
    fn a_restart_changes_nothing(history in vec(change(), 1..40)) {
        let mut before = Node::settled(empty(), history.clone());
        let iptables = before.iptables().clone();
        let mut after = Node::settled(iptables, history);
        prop_assert_eq!(difference(&after.meaning(), &before.meaning()), "");
    }

    #[test]
    fn what_others_spoil_is_mended(
        history in vec(change(), 1..20),
        chain in any::<prop::sample::Index>(),
        nat: bool,
    ) {
        let mut node = Node::settled(empty(), history);
        let intact = node.meaning();
        let table = if nat { Table::Nat } else { Table::Filter };
        let table = TableId { family: Family::Ip, table };
        let chains = node.iptables().chains(table);
        let chain = chains[chain.index(chains.len())].into();
        node.iptables().play(table, vec![Op::Declare(chain)]).unwrap();
        node.engine.distrust();
        node.settle();
        prop_assert_eq!(difference(&node.meaning(), &intact), "");
    }
}

/// The lines that one text has more often than the other.
fn difference(left: &str, right: &str) -> String {
    let mut lines: BTreeMap<&str, i32> = BTreeMap::new();
    left.lines()
        .for_each(|line| *lines.entry(line).or_default() += 1);
    right
        .lines()
        .for_each(|line| *lines.entry(line).or_default() -= 1);
    let differing = lines.into_iter().filter(|(_, count)| *count != 0);
    let marked = differing.map(|(line, count)| format!("{count:+} {line}"));
    let listed = marked.collect::<Vec<_>>().join("\n");
    match listed.is_empty() && left != right {
        true => "the same lines in another order".to_owned(),
        false => listed,
    }
}
