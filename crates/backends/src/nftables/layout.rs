//! Which endpoint sits in which slot.
//!
//! The endpoints of a service port are numbered. Those for local traffic alone come first, then
//! those for all traffic, then those for traffic that may leave the node: so each pool is a run
//! of numbers, and one numbering serves both. Endpoints keep their number as long as they can:
//! when one goes, the last of its section takes its place, and two elements change, however
//! many endpoints there are.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops;

use fairlead_core::route::Target;

use super::chains::Range;

/// The numbers of the slots that endpoints sit in.
pub(super) type Slots = HashMap<Target, usize>;

/// The numbered endpoints of a service port.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Layout {
    targets: Vec<Target>,
    /// Where the cluster's pool begins.
    cluster_from: usize,
    /// Where the local pool ends.
    local_until: usize,
}

impl Layout {
    /// Numbers two pools, disturbing as few as possible of the endpoints that sat in a slot
    /// before. Each pool holds a target once.
    pub fn arrange(cluster: &[Target], local: &[Target], before: &Slots) -> Layout {
        let sections = Sections::of(cluster, local);
        let (cluster_from, local_until) = (
            sections.local_only.len(),
            sections.local_only.len() + sections.both.len(),
        );
        let mut targets = Vec::with_capacity(local_until + sections.cluster_only.len());
        for section in [sections.local_only, sections.both, sections.cluster_only] {
            arrange_section(&section, before, &mut targets);
        }
        Layout {
            targets,
            cluster_from,
            local_until,
        }
    }

    /// The endpoints in the order of their slots.
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// The slot of each endpoint.
    pub fn slots(&self) -> Slots {
        let numbered = self.targets.iter().enumerate();
        numbered.map(|(slot, target)| (*target, slot)).collect()
    }

    /// The slots of the cluster's pool.
    pub fn cluster(&self) -> Range {
        range(self.cluster_from..self.targets.len())
    }

    /// The slots of the local pool.
    pub fn local(&self) -> Range {
        range(0..self.local_until)
    }

    /// The endpoints in a run of slots.
    pub fn within(&self, range: Range) -> impl Iterator<Item = (usize, Target)> + '_ {
        let (from, count) = (range.from as usize, range.count as usize);
        self.targets
            .iter()
            .copied()
            .enumerate()
            .skip(from)
            .take(count)
    }

    /// An address for each endpoint that no other endpoint of the service port has: its own, or
    /// a stand-in from 0.0.0.0/8 (IPv6: ::/96) where several share one. It depends on the set of
    /// endpoints alone, so that it is the same after a restart.
    pub fn pins(&self) -> Vec<IpAddr> {
        let mut sorted: Vec<usize> = (0..self.targets.len()).collect();
        sorted.sort_unstable_by_key(|slot| self.targets[*slot]);
        let mut taken = HashSet::with_capacity(sorted.len());
        let mut pins = vec![IpAddr::V4(Ipv4Addr::UNSPECIFIED); sorted.len()];
        for slot in sorted {
            let target = self.targets[slot];
            let stand_ins = (0u32..).map(|attempt| stand_in(target, attempt));
            let mut candidates = std::iter::once(target.address).chain(stand_ins);
            // At most as many candidates are taken as there are endpoints.
            pins[slot] = candidates
                .find(|pin| taken.insert(*pin))
                .unwrap_or(target.address);
        }
        pins
    }
}

/// The endpoints by the pools they are in.
struct Sections {
    local_only: Vec<Target>,
    both: Vec<Target>,
    cluster_only: Vec<Target>,
}

impl Sections {
    fn of(cluster: &[Target], local: &[Target]) -> Sections {
        let in_cluster: HashSet<&Target> = if local.is_empty() {
            HashSet::new()
        } else {
            cluster.iter().collect()
        };
        let in_local: HashSet<&Target> = local.iter().collect();
        let (both, local_only) = local.iter().partition(|target| in_cluster.contains(target));
        let cluster_only = cluster
            .iter()
            .copied()
            .filter(|target| !in_local.contains(target))
            .collect();
        Sections {
            local_only,
            both,
            cluster_only,
        }
    }
}

/// Appends a section's targets: each in its slot of before if that lies in the section now, the
/// others in what is free.
fn arrange_section(section: &[Target], before: &Slots, targets: &mut Vec<Target>) {
    let start = targets.len();
    let slots: ops::Range<usize> = start..start + section.len();
    let mut placed: Vec<Option<Target>> = vec![None; section.len()];
    let mut moving = Vec::new();
    for target in section {
        match before.get(target) {
            Some(slot) if slots.contains(slot) => placed[slot - start] = Some(*target),
            _ => moving.push(*target),
        }
    }
    let mut moving = moving.into_iter();
    targets.extend(
        placed
            .into_iter()
            .filter_map(|kept| kept.or_else(|| moving.next())),
    );
}

fn range(slots: ops::Range<usize>) -> Range {
    Range {
        count: slots.len() as u32,
        from: if slots.is_empty() {
            0
        } else {
            slots.start as u32
        },
    }
}

fn stand_in(target: Target, attempt: u32) -> IpAddr {
    // A hash with fixed keys: the same in every process.
    let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one((target, attempt)) as u32;
    match target.address {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from(hash & 0x00ff_ffff)),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from(u128::from(hash))),
    }
}
