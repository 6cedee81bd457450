//! The clients that are remembered, the one whose last connection is the longest ago first.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::route::Target;

/// How many clients are remembered at most; the oldest go first. About 20 MB.
pub const MOST_CLIENTS: usize = 131_072;

/// How many old ones a new one sweeps at most, so that none has to sweep them all.
const SWEEP: usize = 4;

/// The clients of a service port.
#[derive(Debug, Clone, Default)]
pub(super) struct Clients {
    known: HashMap<IpAddr, Known>,
    /// Every client that is known.
    by_age: BTreeSet<(Instant, IpAddr)>,
}

/// Whom a client had.
#[derive(Debug, Clone, Copy)]
struct Known {
    target: Target,
    /// When the target came: one that went and came back is another.
    birth: u32,
    last: Instant,
}

impl Clients {
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// Whom a client had and when that came, unless it is too long ago.
    pub(super) fn find(
        &self,
        client: IpAddr,
        affinity: Duration,
        now: Instant,
    ) -> Option<(Target, u32)> {
        let known = self.known.get(&client)?;
        is_young(known.last, affinity, now).then_some((known.target, known.birth))
    }

    /// The client has a new connection.
    pub(super) fn remember(
        &mut self,
        client: IpAddr,
        target: Target,
        birth: u32,
        affinity: Duration,
        now: Instant,
    ) {
        let last = now;
        let known = Known {
            target,
            birth,
            last,
        };
        if let Some(before) = self.known.insert(client, known) {
            self.by_age.remove(&(before.last, client));
        }
        self.by_age.insert((now, client));
        self.sweep(affinity, now);
    }

    /// The client is not bound to that target any more.
    pub(super) fn forget(&mut self, client: IpAddr, target: Target) {
        if let Some(known) = self.known.get(&client).copied()
            && known.target == target
        {
            self.known.remove(&client);
            self.by_age.remove(&(known.last, client));
        }
    }

    fn sweep(&mut self, affinity: Duration, now: Instant) {
        for _ in 0..SWEEP {
            let is_full = self.known.len() > MOST_CLIENTS;
            let Some((_, client)) = self
                .by_age
                .first()
                .copied()
                .filter(|(last, _)| is_full || !is_young(*last, affinity, now))
            else {
                break;
            };
            self.by_age.pop_first();
            self.known.remove(&client);
        }
        if self.known.len() < self.known.capacity() / 8 {
            self.known.shrink_to(self.known.len() * 2);
        }
    }
}

fn is_young(last: Instant, affinity: Duration, now: Instant) -> bool {
    now.saturating_duration_since(last) < affinity
}
