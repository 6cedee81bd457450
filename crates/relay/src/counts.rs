//! What a relay has counted, for metrics: a snapshot, taken when somebody asks.

use std::collections::BTreeMap;

use crate::handle::UpstreamName;

/// A snapshot of a relay.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts {
    /// Of each upstream that is set.
    pub upstreams: BTreeMap<UpstreamName, UpstreamCounts>,
    /// How many connections there may be at a time, of all upstreams together.
    pub max_connections: usize,
}

/// What was counted of an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UpstreamCounts {
    /// Since it was set. None of it falls until it is removed.
    pub sums: Sums,
    /// How it is now.
    pub now: Present,
}

/// What adds up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sums {
    /// TCP connections that have an endpoint, or had one.
    pub connections: u64,
    /// Clients of UDP that got an endpoint, each time they did.
    pub sessions: u64,
    /// Bytes that clients sent and an endpoint was given: what TCP and UDP carry, without headers.
    pub bytes_from_clients: u64,
    /// Bytes that endpoints sent and a client was given.
    pub bytes_to_clients: u64,
    /// Tries to reach an endpoint that failed.
    pub dial_failures: u64,
    /// Those of them after which another try followed.
    pub dial_retries: u64,
    /// Connections and UDP clients that were refused, by the reason, as in [`Refused::ALL`].
    pub refused: [u64; Refused::ALL.len()],
}

/// What comes and goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Present {
    /// TCP connections that are open.
    pub connections: usize,
    /// Clients of UDP that are remembered.
    pub sessions: usize,
    /// Endpoints that failed and are tried by nobody for a while.
    pub set_aside: usize,
}

/// Why a client is not carried anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Refused {
    /// There are as many connections as there may be.
    Limit,
    /// Its Service has as many of them as it may while others want some.
    Share,
    /// The pool has no endpoint.
    NoEndpoint,
    /// Every try to reach an endpoint failed.
    NoAnswer,
}

impl Refused {
    /// All of them.
    pub const ALL: [Refused; 4] = [
        Refused::Limit,
        Refused::Share,
        Refused::NoEndpoint,
        Refused::NoAnswer,
    ];

    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Refused::Limit => "limit",
            Refused::Share => "share",
            Refused::NoEndpoint => "no-endpoint",
            Refused::NoAnswer => "no-answer",
        }
    }

    /// Where it stands in [`Refused::ALL`].
    pub fn rank(self) -> usize {
        self as usize
    }
}

impl Sums {
    /// How much more there is than there was. Where there is less it was counted anew: all of it.
    #[must_use]
    pub fn since(self, earlier: Sums) -> Sums {
        if self
            .all()
            .into_iter()
            .zip(earlier.all())
            .any(|(now, then)| now < then)
        {
            return self;
        }
        self.with(earlier, u64::saturating_sub)
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, more: Sums) -> Sums {
        self.with(more, u64::saturating_add)
    }

    /// What Services are compared by: how many clients they had, carried or not.
    pub fn clients(&self) -> u64 {
        let carried = self.connections.saturating_add(self.sessions);
        self.refused.into_iter().fold(carried, u64::saturating_add)
    }

    fn with(self, other: Sums, of: fn(u64, u64) -> u64) -> Sums {
        let mut both = self.all();
        for (one, other) in both.iter_mut().zip(other.all()) {
            *one = of(*one, other);
        }
        let [
            connections,
            sessions,
            bytes_from_clients,
            bytes_to_clients,
            rest @ ..,
        ] = both;
        let [dial_failures, dial_retries, refused @ ..] = rest;
        Sums {
            connections,
            sessions,
            bytes_from_clients,
            bytes_to_clients,
            dial_failures,
            dial_retries,
            refused,
        }
    }

    fn all(self) -> [u64; 10] {
        let [limit, share, no_endpoint, no_answer] = self.refused;
        [
            self.connections,
            self.sessions,
            self.bytes_from_clients,
            self.bytes_to_clients,
            self.dial_failures,
            self.dial_retries,
            limit,
            share,
            no_endpoint,
            no_answer,
        ]
    }
}

impl Present {
    /// Both together.
    #[must_use]
    pub fn plus(self, more: Present) -> Present {
        Present {
            connections: self.connections + more.connections,
            sessions: self.sessions + more.sessions,
            set_aside: self.set_aside + more.set_aside,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_more_is_added_and_what_began_anew_is_new() {
        let first = Sums {
            connections: 3,
            refused: [0, 0, 1, 0],
            ..Sums::default()
        };
        let later = Sums {
            connections: 5,
            refused: [0, 0, 1, 2],
            ..Sums::default()
        };
        let more = later.since(first);
        assert_eq!((more.connections, more.refused), (2, [0, 0, 0, 2]));
        assert_eq!(first.plus(more), later);
        assert_eq!(first.since(later), first);
        assert_eq!(later.clients(), 8);
    }

    #[test]
    fn reasons_stand_where_they_say() {
        for (rank, reason) in Refused::ALL.into_iter().enumerate() {
            assert_eq!(reason.rank(), rank);
        }
    }
}
