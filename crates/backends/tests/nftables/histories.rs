//! Whatever happened before, the kernel is as a fresh start would make it.

use std::collections::BTreeMap;

use fairlead_backends::nftables::table;
use fairlead_core::address::Family;
use fairlead_core::api::{Change, Kind};
use fairlead_kernel::fault::seeded;
use fairlead_kernel::nft::fake::FakeNft;
use fairlead_kernel::nft::handle::Nft;
use fairlead_kernel::nft::ruleset::{Batch, Element, Op};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::kernel::{Node, meaning};
use crate::universe::change;

/// The share of calls to the kernel that fail, in percent.
const FAILING: u8 = 10;

fn synced() -> [Change; 2] {
    [
        Change::Synced(Kind::Service),
        Change::Synced(Kind::EndpointSlice),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn incremental_is_full(history in vec(change(), 1..40), pauses in vec(any::<bool>(), 40), seed: u64) {
        let mut node = Node::new(FakeNft::new(), Box::new(seeded(seed, FAILING)));
        synced().into_iter().for_each(|change| drop(node.model.apply(change)));
        for (change, pause) in history.iter().zip(pauses) {
            node.model.apply(change.clone());
            if pause {
                // A failure is part of the game; that it is made good is what is tested.
                let _ = node.sync();
            }
        }
        node.settle();
        let mut fresh = Node::settled(FakeNft::new(), history);
        prop_assert_eq!(difference(&meaning(node.kernel()), &meaning(fresh.kernel())), "");
        prop_assert_eq!(node.kernel().refused(), 0, "the kernel was asked for something it refuses");
    }

    #[test]
    fn a_restart_changes_nothing(history in vec(change(), 1..40)) {
        let mut before = Node::settled(FakeNft::new(), history.clone());
        let kernel = before.kernel().clone();
        let mut after = Node::settled(kernel.clone(), history);
        // To the letter: no endpoint changes its slot.
        prop_assert_eq!(difference(&after.kernel().dump(), &kernel.dump()), "");
    }

    #[test]
    fn what_others_spoil_is_mended(history in vec(change(), 1..20), spoil in any::<prop::sample::Index>()) {
        let mut node = Node::settled(FakeNft::new(), history);
        // Whose slot it was may be lost with what is removed: any order of endpoints is as good.
        let intact = meaning(node.kernel());
        let table = table(Family::V4);
        let batch = node.kernel().batch(table).unwrap();
        let removals: Vec<_> = batch.ops.iter().flat_map(opposites).collect();
        let op = removals[spoil.index(removals.len())].clone();
        let spoiled = Batch { table, ops: vec![op] };
        // Some removals are refused, for others refer to what they remove: then all is well.
        let _ = node.kernel().commit(&[spoiled]);
        node.engine.distrust();
        node.settle();
        prop_assert_eq!(difference(&meaning(node.kernel()), &intact), "");
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
    marked.collect::<Vec<_>>().join("\n")
}

/// What someone else could do to us.
fn opposites(op: &Op) -> Vec<Op> {
    match op {
        Op::AddTable { .. } => vec![Op::DeleteTable],
        Op::AddChain(chain) => vec![Op::FlushChain(chain.name.clone())],
        Op::AddSet(set) if !set.dynamic => vec![Op::FlushSet(set.name)],
        Op::AddElements { set, elements } => {
            let removal = |element: &Element| Op::DeleteElements {
                set,
                elements: vec![element.clone()],
            };
            elements.iter().map(removal).collect()
        }
        _ => Vec::new(),
    }
}
