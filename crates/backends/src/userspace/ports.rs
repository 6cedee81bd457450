//! Which listener has which port.

use std::collections::{BTreeMap, HashSet};

use fairlead_core::address::{Family, Protocol};
use fairlead_relay::handle::ListenerAddress;

use super::frame::Frame;

/// The ports that are given away.
#[derive(Debug, Default)]
pub(super) struct Ports {
    taken: HashSet<ListenerAddress>,
    /// Where to look on: what became free a moment ago comes round last.
    next: BTreeMap<(Family, Protocol), u16>,
}

impl Ports {
    /// Gives a port away. `None`: there is none left.
    pub(super) fn take(&mut self, protocol: Protocol, frame: &Frame) -> Option<ListenerAddress> {
        let family = frame.family();
        let (first, last) = (*frame.ports.start(), *frame.ports.end());
        let next = self.next.get(&(family, protocol)).copied();
        let from = next
            .filter(|port| frame.ports.contains(port))
            .unwrap_or(first);
        let at = |port| ListenerAddress {
            family,
            protocol,
            port,
        };
        let is_free = |at: &ListenerAddress| !self.taken.contains(at) && !frame.busy.contains(at);
        let found = (from..=last).chain(first..from).map(at).find(is_free)?;
        let next = found.port.checked_add(1).unwrap_or(first);
        self.next.insert((family, protocol), next);
        self.taken.insert(found);
        Some(found)
    }

    /// Somebody has it already.
    pub(super) fn keep(&mut self, at: ListenerAddress) {
        self.taken.insert(at);
    }

    /// Nobody has it any more.
    pub(super) fn free(&mut self, at: ListenerAddress) {
        self.taken.remove(&at);
    }
}
