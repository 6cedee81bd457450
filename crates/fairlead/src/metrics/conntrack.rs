//! kube-proxy's metrics of the deleting of stale connections.

use std::time::Duration;

use fairlead_core::address::Family;
use prometheus::{Histogram, IntCounter, Result};

use super::DURATIONS;
use super::registrar::{Registrar, Served};

/// See the module.
#[derive(Debug)]
pub(super) struct ConntrackMetrics {
    duration: Served<Histogram>,
    deleted: Served<IntCounter>,
}

impl ConntrackMetrics {
    pub(super) fn new(make: &Registrar<'_>) -> Result<ConntrackMetrics> {
        Ok(ConntrackMetrics {
            duration: make.histogram(
                "kubeproxy_conntrack_reconciler_sync_duration_seconds",
                "How long it took to look for stale connections and delete them",
                &DURATIONS,
            )?,
            deleted: make.counter(
                "kubeproxy_conntrack_reconciler_deleted_entries_total",
                "Tracked connections that were deleted because their endpoint is gone",
            )?,
        })
    }

    /// The connections of a family were looked through.
    pub(super) fn swept(&self, family: Family, took: Duration, deleted: usize) {
        if let Some(histogram) = self.duration.of(family) {
            histogram.observe(took.as_secs_f64());
        }
        if let Some(counter) = self.deleted.of(family) {
            counter.inc_by(deleted as u64);
        }
    }
}
