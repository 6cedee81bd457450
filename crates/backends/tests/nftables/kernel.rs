//! A fake kernel with an engine on it, and what its tables mean.

use std::collections::{BTreeMap, BTreeSet};

use fairlead_backends::engine::Engine;
use fairlead_backends::nftables::{Nftables, table};
use fairlead_core::address::Family;
use fairlead_core::api::Change;
use fairlead_core::settings::{NodePortAddresses, Settings};
use fairlead_kernel::fault::Faulty;
use fairlead_kernel::nft::fake::FakeNft;
use fairlead_kernel::nft::ruleset::{Data, Element, Op, Verdict};

use crate::any::{self, Faults, never};

/// A node on a fake kernel that may fail.
pub(crate) type Node = any::Node<Nftables, Faulty<FakeNft, Faults>>;

impl Node {
    /// A node whose kernel fails as told.
    pub(crate) fn new(kernel: FakeNft, faults: Faults) -> Node {
        let settings = Settings {
            node_port_addresses: NodePortAddresses::primary(),
            ..any::settings()
        };
        let engine = Engine::new(Nftables, Faulty::new(kernel, faults), &Family::BOTH);
        Node::on(engine, settings, &["192.0.2.10"])
    }

    /// A node whose kernel never fails, after these changes and a sync.
    pub(crate) fn settled(kernel: FakeNft, changes: impl IntoIterator<Item = Change>) -> Node {
        Node::new(kernel, never()).settled_after(changes)
    }

    /// The kernel.
    pub(crate) fn kernel(&mut self) -> &mut FakeNft {
        self.engine.kernel().handle_mut()
    }
}

/// What the tables mean: everything as text, but for endpoints in slots, of which only counts
/// which are in the runs of slots that a destination's chains choose from.
pub(crate) fn meaning(kernel: &FakeNft) -> String {
    Family::BOTH
        .into_iter()
        .filter_map(|family| table_meaning(kernel, family))
        .collect()
}

const SLOTTED: [&str; 4] = [
    "endpoints",
    "nodeport-endpoints",
    "sticky-choices",
    "sticky-nodeport-choices",
];
const DISPATCHING: [&str; 4] = [
    "services",
    "outside-services",
    "nodeports",
    "outside-nodeports",
];

fn table_meaning(kernel: &FakeNft, family: Family) -> Option<String> {
    let mut batch = kernel.batch(table(family))?;
    let mut slots: BTreeMap<Vec<u8>, BTreeMap<u32, String>> = BTreeMap::new();
    let mut chains: Vec<(Vec<u8>, String)> = Vec::new();
    for op in &mut batch.ops {
        let Op::AddElements { set, elements } = op else {
            continue;
        };
        if SLOTTED.contains(set) {
            for element in std::mem::take(elements) {
                let key = element.key.as_slice();
                let (destination, slot) = key.split_at(key.len() - 4);
                let slot = u32::from_ne_bytes(slot.try_into().unwrap());
                let taken = slots
                    .entry(destination.to_vec())
                    .or_default()
                    .insert(slot, format!("{:?}", element.data));
                assert_eq!(taken, None, "slot {slot} twice");
            }
        }
        if DISPATCHING.contains(set) {
            chains.extend(elements.iter().filter_map(dispatch));
        }
    }
    let script = fairlead_kernel::nft::text::script(&batch);
    Some(format!("{script}{:#?}\n", pools(&slots, chains)))
}

/// A destination, and the chain it is sent to.
fn dispatch(element: &Element) -> Option<(Vec<u8>, String)> {
    match &element.data {
        Some(Data::Verdict(Verdict::Goto(chain) | Verdict::Jump(chain))) => {
            Some((element.key.as_slice().to_vec(), chain.to_string()))
        }
        _ => None,
    }
}

/// The endpoints each destination's chains choose from.
fn pools(
    slots: &BTreeMap<Vec<u8>, BTreeMap<u32, String>>,
    chains: Vec<(Vec<u8>, String)>,
) -> BTreeSet<(Vec<u8>, String, BTreeSet<String>)> {
    let mut reached: BTreeMap<Vec<u8>, BTreeSet<u32>> = BTreeMap::new();
    let mut pools = BTreeSet::new();
    for (destination, chain) in chains {
        let range = range_of(&chain);
        reached
            .entry(destination.clone())
            .or_default()
            .extend(range.clone());
        let endpoint = |slot| slots.get(&destination)?.get(&slot).cloned();
        let pool: Option<BTreeSet<String>> = range.clone().map(endpoint).collect();
        let pool = pool.unwrap_or_else(|| panic!("{chain} chooses from an empty slot"));
        assert_eq!(pool.len(), range.len(), "an endpoint has two slots");
        pools.insert((destination, chain, pool));
    }
    for (destination, slots) in slots {
        assert!(
            reached.contains_key(destination),
            "slots of nobody: {destination:?}"
        );
        assert_eq!(
            slots.len(),
            slots.keys().max().map_or(0, |last| *last as usize + 1),
            "a gap between slots"
        );
    }
    pools
}

/// The slots that a dispatch chain chooses from, by its name: `…-COUNT[-from-FIRST][-TIMEOUTs]`.
fn range_of(chain: &str) -> std::ops::Range<u32> {
    let numbers: Vec<&str> = chain
        .split('-')
        .filter(|word| word.bytes().all(|b| b.is_ascii_digit()))
        .collect();
    let number = |index: usize| numbers.get(index).map_or(0, |text| text.parse().unwrap());
    number(1)..number(1) + number(0)
}
