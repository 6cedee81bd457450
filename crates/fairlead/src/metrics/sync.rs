//! Syncs and what waits for them: kube-proxy's metrics that all modes share.
//!
//! One transaction serves all families, so what a sync took is observed for each of them.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use fairlead_core::address::Family;
use fairlead_core::model::Model;
use fairlead_core::report::Report;
use fairlead_core::unserved::UnservedTally;
use jiff::Timestamp;
use prometheus::{Histogram, IntCounter, IntGauge, Result, linear_buckets};

use crate::config::Mode;

use super::DURATIONS;
use super::registrar::{Registrar, Served, Time, raise, set};

/// See the module.
#[derive(Debug)]
pub(super) struct SyncMetrics {
    duration: Served<Histogram>,
    apart: Option<Apart>,
    last: Time,
    last_queued: Time,
    network_programming: Served<Histogram>,
    endpoint_changes_pending: IntGauge,
    endpoint_changes: IntCounter,
    service_changes_pending: IntGauge,
    service_changes: IntCounter,
    /// By internal and external traffic policy.
    no_local_endpoints: [Served<IntGauge>; 2],
    unserved: Mutex<UnservedTally>,
}

/// How long syncs took, by their kind. Of the modes whose syncs kube-proxy does not tell apart
/// there is no such thing.
#[derive(Debug)]
struct Apart {
    full: Served<Histogram>,
    partial: Served<Histogram>,
}

impl SyncMetrics {
    pub(super) fn new(make: &Registrar<'_>, mode: Mode) -> Result<SyncMetrics> {
        Ok(SyncMetrics {
            duration: make.histogram(
                "kubeproxy_sync_proxy_rules_duration_seconds",
                "How long syncs took, those that failed too",
                &DURATIONS,
            )?,
            apart: match mode {
                Mode::Nftables | Mode::Iptables => Some(Apart::new(make)?),
                Mode::Ipvs | Mode::Userspace => None,
            },
            last: make.time(
                "kubeproxy_sync_proxy_rules_last_timestamp_seconds",
                "When a sync succeeded last, in seconds since 1970",
            )?,
            last_queued: make.time(
                "kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds",
                "When a sync was asked for last, in seconds since 1970",
            )?,
            network_programming: make.histogram(
                "kubeproxy_network_programming_duration_seconds",
                "From a change of endpoints in the cluster until it was programmed here",
                &programming_buckets()?,
            )?,
            endpoint_changes_pending: make.one_gauge(
                "kubeproxy_sync_proxy_rules_endpoint_changes_pending",
                "Changes of EndpointSlices that no sync has programmed yet",
            )?,
            endpoint_changes: make.one_counter(
                "kubeproxy_sync_proxy_rules_endpoint_changes_total",
                "EndpointSlices that were told, whether or not they were new",
            )?,
            service_changes_pending: make.one_gauge(
                "kubeproxy_sync_proxy_rules_service_changes_pending",
                "Services that have changed since the last sync",
            )?,
            service_changes: make.one_counter(
                "kubeproxy_sync_proxy_rules_service_changes_total",
                "Services that were told, whether or not they were new, once for each family",
            )?,
            no_local_endpoints: make.gauge_by(
                "kubeproxy_sync_proxy_rules_no_local_endpoints_total",
                "Ports of Services with a Local policy and endpoints on other nodes alone",
                ("traffic_policy", ["internal", "external"]),
            )?,
            unserved: Mutex::default(),
        })
    }

    /// Changes were taken in.
    pub(super) fn told(&self, model: &Model) {
        let progress = model.progress();
        set(&self.endpoint_changes_pending, progress.pending_slices());
        set(&self.service_changes_pending, progress.pending_services());
        let (mut services, mut slices) = (0, 0);
        for (family, _) in self.duration.by_family() {
            services += progress.told().services;
            slices += progress.told().slices.of(family);
        }
        raise(&self.service_changes, services);
        raise(&self.endpoint_changes, slices);
    }

    /// A sync was asked for.
    pub(super) fn queued(&self, now: Timestamp) {
        self.last_queued.set(seconds(now));
    }

    /// A sync ended, well or not.
    pub(super) fn ended(&self, full: bool, took: Duration) {
        let kind = self.apart.as_ref().map(|apart| match full {
            true => &apart.full,
            false => &apart.partial,
        });
        for histograms in [Some(&self.duration), kind].into_iter().flatten() {
            for histogram in histograms.each() {
                histogram.observe(took.as_secs_f64());
            }
        }
    }

    /// A sync succeeded that answers what was triggered then, in nanoseconds since 1970.
    pub(super) fn succeeded(&self, report: &Report, triggers: &[(Family, i128)], now: Timestamp) {
        self.last.set(seconds(now));
        for (family, triggered) in triggers {
            if let Some(histogram) = self.network_programming.of(*family) {
                histogram.observe(seconds_since(*triggered, now));
            }
        }
        let mut tally = self.unserved.lock().unwrap_or_else(PoisonError::into_inner);
        if report.full {
            tally.forget();
        }
        for (service, ports) in &report.unserved {
            tally.found(service, *ports);
        }
        let [internal, external] = &self.no_local_endpoints;
        let total = tally.total();
        for (gauges, counts) in [(internal, total.internal), (external, total.external)] {
            for (family, gauge) in gauges.by_family() {
                set(gauge, *counts.of(family));
            }
        }
    }
}

impl Apart {
    fn new(make: &Registrar<'_>) -> Result<Apart> {
        Ok(Apart {
            full: make.histogram(
                "kubeproxy_sync_full_proxy_rules_duration_seconds",
                "How long syncs took that compared everything with the kernel",
                &DURATIONS,
            )?,
            partial: make.histogram(
                "kubeproxy_sync_partial_proxy_rules_duration_seconds",
                "How long syncs took of what had changed alone",
                &DURATIONS,
            )?,
        })
    }
}

/// A quarter, a half, every second of the first minute, every five of the second, every half
/// minute until the fifth: kube-proxy's.
fn programming_buckets() -> Result<Vec<f64>> {
    let parts = [
        linear_buckets(0.25, 0.25, 2)?,
        linear_buckets(1.0, 1.0, 59)?,
        linear_buckets(60.0, 5.0, 12)?,
        linear_buckets(120.0, 30.0, 7)?,
    ];
    Ok(parts.concat())
}

fn seconds(time: Timestamp) -> f64 {
    time.as_duration().as_secs_f64()
}

/// Clocks of two machines may differ: what was triggered later than now took no time.
fn seconds_since(then: i128, now: Timestamp) -> f64 {
    let nanoseconds = now.as_nanosecond().saturating_sub(then).max(0);
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX)).as_secs_f64()
}
