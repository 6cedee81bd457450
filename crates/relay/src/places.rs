//! How many connections there may be, and that no service takes them all.
//!
//! A service may have as many connections as [`SHARE`] times the places that are free. One that
//! floods gets four fifths of all and no more; while it does, there is always room for others, and
//! the more it has, the more of what ends goes to them (the "dynamic thresholds" of Choudhury and
//! Hahne, 1998).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use fairlead_kernel::descriptors;

use crate::counts::Refused;
use crate::upstreams::Serving;

/// How many connections a service may have for each place that is free.
pub(crate) const SHARE: usize = 4;

/// Descriptors that are left for everything else: listeners, pipes, files, netlink.
const RESERVE: usize = 512;

/// Descriptors that a connection has.
const DESCRIPTORS: usize = 2;

/// The places of all connections.
#[derive(Debug)]
pub(crate) struct Places {
    most: AtomicUsize,
    taken: AtomicUsize,
}

impl Places {
    pub(crate) fn new(wanted: usize) -> Places {
        let places = Places {
            most: AtomicUsize::new(0),
            taken: AtomicUsize::new(0),
        };
        places.set(wanted);
        places
    }

    /// There are as many as wanted, but no more than descriptors last for; 0: as many as those.
    pub(crate) fn set(&self, wanted: usize) {
        let limit = descriptors::limit().map_or(usize::MAX, |limit| limit as usize);
        // A limit as small as the reserve is half for connections all the same.
        let most = limit.saturating_sub(RESERVE).max(limit / 2) / DESCRIPTORS;
        let most = if wanted == 0 { most } else { wanted.min(most) };
        self.most.store(most, Relaxed);
    }

    /// A place for a connection of a service, unless it has as many as it may.
    pub(crate) fn take(self: &Arc<Places>, serving: &Arc<Serving>) -> Result<Place, Refused> {
        // Counted first: of several threads at the last place, one gets it or none.
        let taken = self.taken.fetch_add(1, Relaxed);
        let own = serving.counters.places.add(1);
        let place = Place {
            places: Arc::clone(self),
            serving: Arc::clone(serving),
        };
        match self.most().saturating_sub(taken) {
            0 => Err(Refused::Limit),
            free if own < free.saturating_mul(SHARE) as u64 => Ok(place),
            _ => Err(Refused::Share),
        }
    }

    /// How many there are.
    pub(crate) fn most(&self) -> usize {
        self.most.load(Relaxed)
    }

    /// How many are taken.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Relaxed)
    }
}

/// The place of one connection, which is free again when this goes.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    pub(crate) serving: Arc<Serving>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.serving.counters.places.subtract(1);
        self.places.taken.fetch_sub(1, Relaxed);
    }
}
