//! A relay that carries nothing, as strict as the real one.

use std::collections::BTreeSet;

use crate::handle::{ListenerAddress, Op, Refusal, Relay, Relayed};
use crate::rules;

/// A relay in memory.
#[derive(Debug, Clone, Default)]
pub struct FakeRelay {
    relayed: Relayed,
    occupied: BTreeSet<ListenerAddress>,
    /// How many listeners there can be, if that is limited: one more is refused with `EMFILE`.
    pub limit: Option<usize>,
}

impl FakeRelay {
    /// One with nothing to do, and all ports free.
    pub fn new() -> FakeRelay {
        FakeRelay::default()
    }

    /// Somebody else has this port: to listen there is refused with `EADDRINUSE`. Who listens there
    /// already is not disturbed.
    pub fn occupy(&mut self, address: ListenerAddress) {
        self.occupied.insert(address);
    }

    /// Nobody else has this port any more.
    pub fn vacate(&mut self, address: ListenerAddress) {
        self.occupied.remove(&address);
    }

    fn carry_out(&mut self, op: &Op) -> Result<(), i32> {
        rules::check(&self.relayed, op)?;
        if let Op::Listen(address, _) = op
            && !self.relayed.listeners.contains_key(address)
        {
            self.open(*address)?;
        }
        rules::note(&mut self.relayed, op);
        Ok(())
    }

    fn open(&self, address: ListenerAddress) -> Result<(), i32> {
        let open = self.relayed.listeners.len();
        if self.limit.is_some_and(|limit| open >= limit) {
            return Err(libc::EMFILE);
        }
        match self.occupied.contains(&address) {
            true => Err(libc::EADDRINUSE),
            false => Ok(()),
        }
    }
}

impl Relay for FakeRelay {
    fn apply(&mut self, ops: &[Op]) -> Vec<Refusal> {
        let mut refusals = Vec::new();
        for (op, operation) in ops.iter().enumerate() {
            let refused = self.carry_out(operation).err();
            refusals.extend(refused.map(|errno| Refusal { op, errno }));
        }
        refusals
    }

    fn observe(&self) -> Relayed {
        self.relayed.clone()
    }

    fn in_use(&mut self, among: &[ListenerAddress]) -> BTreeSet<ListenerAddress> {
        let others = |at: &&ListenerAddress| {
            self.occupied.contains(at) && !self.relayed.listeners.contains_key(at)
        };
        among.iter().filter(others).copied().collect()
    }
}
