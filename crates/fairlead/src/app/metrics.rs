//! Metrics, with kube-proxy's names where they exist there.

use std::time::Duration;

use prometheus::{Gauge, Histogram, HistogramOpts, IntCounter, IntGauge, Registry};

use fairlead_core::report::Report;

/// Bucket bounds of durations in seconds, as kube-proxy has them: 1 ms doubled 14 times.
const BUCKETS: (f64, f64, usize) = (0.001, 2.0, 15);

/// What can be scraped.
#[derive(Debug)]
pub(super) struct Metrics {
    registry: Registry,
    sync_duration: Histogram,
    full_sync_duration: Histogram,
    partial_sync_duration: Histogram,
    last_sync: Gauge,
    failures: IntCounter,
    conntrack_deleted: IntCounter,
    services: IntGauge,
    contested: IntGauge,
}

impl Metrics {
    /// Registers all of them.
    pub(super) fn new() -> Result<Metrics, prometheus::Error> {
        let registry = Registry::new();
        let metrics = Metrics {
            sync_duration: histogram(
                "kubeproxy_sync_proxy_rules_duration_seconds",
                "Seconds that a sync took",
            )?,
            full_sync_duration: histogram(
                "kubeproxy_sync_full_proxy_rules_duration_seconds",
                "Seconds that a sync of everything took",
            )?,
            partial_sync_duration: histogram(
                "kubeproxy_sync_partial_proxy_rules_duration_seconds",
                "Seconds that a sync of what changed took",
            )?,
            last_sync: Gauge::new(
                "kubeproxy_sync_proxy_rules_last_timestamp_seconds",
                "When the last sync succeeded, in seconds since 1970",
            )?,
            failures: IntCounter::new(
                "kubeproxy_sync_proxy_rules_nftables_sync_failures_total",
                "Syncs that the kernel refused",
            )?,
            conntrack_deleted: IntCounter::new(
                "kubeproxy_conntrack_reconciler_deleted_entries_total",
                "Tracked connections that were deleted because their endpoint is gone",
            )?,
            services: IntGauge::new(
                "fairlead_last_sync_services",
                "Services that the last sync looked at",
            )?,
            contested: IntGauge::new(
                "fairlead_contested_destinations",
                "Addresses and ports that the last sync found claimed by two Services",
            )?,
            registry,
        };
        for histogram in [
            &metrics.sync_duration,
            &metrics.full_sync_duration,
            &metrics.partial_sync_duration,
        ] {
            metrics.registry.register(Box::new(histogram.clone()))?;
        }
        for counter in [&metrics.failures, &metrics.conntrack_deleted] {
            metrics.registry.register(Box::new(counter.clone()))?;
        }
        for gauge in [&metrics.services, &metrics.contested] {
            metrics.registry.register(Box::new(gauge.clone()))?;
        }
        metrics
            .registry
            .register(Box::new(metrics.last_sync.clone()))?;
        Ok(metrics)
    }

    /// Where they are gathered from.
    pub(super) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Notes a sync that succeeded.
    pub(super) fn synced(&self, report: &Report, took: Duration) {
        let kind = if report.full {
            &self.full_sync_duration
        } else {
            &self.partial_sync_duration
        };
        kind.observe(took.as_secs_f64());
        self.sync_duration.observe(took.as_secs_f64());
        self.last_sync
            .set(jiff::Timestamp::now().as_duration().as_secs_f64());
        self.services
            .set(i64::try_from(report.services).unwrap_or(i64::MAX));
        self.contested
            .set(i64::try_from(report.contested.len()).unwrap_or(i64::MAX));
    }

    /// Notes a sync that failed.
    pub(super) fn failed(&self, took: Duration) {
        self.sync_duration.observe(took.as_secs_f64());
        self.failures.inc();
    }

    /// Notes deleted connections.
    pub(super) fn conntrack_deleted(&self, count: usize) {
        self.conntrack_deleted.inc_by(count as u64);
    }
}

fn histogram(name: &str, help: &str) -> Result<Histogram, prometheus::Error> {
    let (start, factor, count) = BUCKETS;
    let buckets = prometheus::exponential_buckets(start, factor, count)?;
    Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets))
}
