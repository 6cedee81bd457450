//! What is counted of an upstream, by several threads at once.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::counts::{Present, Refused, Sums, UpstreamCounts};

/// The counters of an upstream. None of them waits for another, so a snapshot may show one of two
/// things that happen together.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) connections: Counter,
    pub(crate) sessions: Counter,
    pub(crate) bytes_from_clients: Counter,
    pub(crate) bytes_to_clients: Counter,
    pub(crate) dial_failures: Counter,
    pub(crate) dial_retries: Counter,
    refused: [Counter; Refused::ALL.len()],
    /// Places that are taken: connections that are dialled or carried, and clients of datagrams.
    pub(crate) places: Counter,
    /// Those of them that clients of datagrams have.
    pub(crate) open_sessions: Counter,
}

impl Counters {
    pub(crate) fn refused(&self, why: Refused) {
        self.refused[why.rank()].add(1);
    }

    pub(crate) fn snapshot(&self, set_aside: usize) -> UpstreamCounts {
        let mut refused = [0; Refused::ALL.len()];
        for (seen, counter) in refused.iter_mut().zip(&self.refused) {
            *seen = counter.get();
        }
        let sums = Sums {
            connections: self.connections.get(),
            sessions: self.sessions.get(),
            bytes_from_clients: self.bytes_from_clients.get(),
            bytes_to_clients: self.bytes_to_clients.get(),
            dial_failures: self.dial_failures.get(),
            dial_retries: self.dial_retries.get(),
            refused,
        };
        let sessions = self.open_sessions.get();
        let now = Present {
            connections: self.places.get().saturating_sub(sessions) as usize,
            sessions: sessions as usize,
            set_aside,
        };
        UpstreamCounts { sums, now }
    }
}

/// A number that threads count together.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Returns what it was before.
    pub(crate) fn add(&self, count: usize) -> u64 {
        self.0.fetch_add(count as u64, Relaxed)
    }

    pub(crate) fn subtract(&self, count: usize) {
        self.0.fetch_sub(count as u64, Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}
