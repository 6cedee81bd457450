//! Fairlead's own metrics.

use fairlead_core::api::Kind;
use fairlead_core::model::Model;
use fairlead_core::report::Report;
use prometheus::{HistogramVec, IntCounter, IntGauge, IntGaugeVec, Result};

use crate::config::Mode;

use super::registrar::{Registrar, Served, set};

/// Bounds of durations in seconds: from 10 µs, which a change of one Service may take, to the
/// longest that any sync should.
const STAGES: [f64; 12] = [
    0.000_01, 0.000_04, 0.000_16, 0.000_64, 0.002_56, 0.010_24, 0.040_96, 0.163_84, 0.655_36,
    2.621_44, 10.485_76, 41.943_04,
];

/// See the module.
#[derive(Debug)]
pub(super) struct OwnMetrics {
    stages: HistogramVec,
    looked_at: IntCounter,
    operations: IntCounter,
    excluded: IntGauge,
    services: IntGauge,
    endpoints: Served<IntGauge>,
    contested: IntGauge,
    problems: IntGaugeVec,
    proxy_mode: IntGaugeVec,
    pub(super) needs_restart: IntGauge,
}

impl OwnMetrics {
    pub(super) fn new(make: &Registrar<'_>) -> Result<OwnMetrics> {
        Ok(OwnMetrics {
            stages: make.histograms(
                "fairlead_sync_stage_duration_seconds",
                "How long each stage took of syncs that succeeded",
                &["stage"],
                &STAGES,
            )?,
            looked_at: make.one_counter(
                "fairlead_sync_services_total",
                "Services that syncs looked at",
            )?,
            operations: make.one_counter(
                "fairlead_sync_operations_total",
                "Operations that syncs had the kernel do",
            )?,
            excluded: make.one_gauge(
                "fairlead_excluded_services",
                "Services that are not served because the kernel refuses them",
            )?,
            services: make.one_gauge("fairlead_services", "Services that are proxied")?,
            endpoints: make.gauge(
                "fairlead_endpoints",
                "Endpoints of all Services, ready or not, as often as EndpointSlices have them",
            )?,
            contested: make.one_gauge(
                "fairlead_contested_destinations",
                "Addresses and ports that a Service claims and another has",
            )?,
            problems: make.gauges(
                "fairlead_problems",
                "Objects that cannot be followed in every part, by their kind",
                &["kind"],
            )?,
            proxy_mode: make.gauges(
                "fairlead_proxy_mode",
                "The mode that was asked for and the one that runs, which may be its fallback",
                &["configured", "running"],
            )?,
            needs_restart: make.one_gauge(
                "fairlead_config_needs_restart",
                "Whether the configuration file says something that only a restart can do",
            )?,
        })
    }

    /// A mode was asked for, and this one runs.
    pub(super) fn proxy_mode(&self, configured: Mode, running: Mode) {
        let names = [configured.name(), running.name()];
        self.proxy_mode.with_label_values(&names).set(1);
    }

    /// Changes were taken in.
    pub(super) fn told(&self, model: &Model) {
        let census = model.census();
        set(&self.services, census.services());
        set(&self.contested, model.contested());
        for (family, gauge) in self.endpoints.by_family() {
            set(gauge, census.endpoints(family));
        }
        for kind in Kind::ALL {
            let gauge = self.problems.with_label_values(&[kind.to_string()]);
            set(&gauge, census.flawed(kind));
        }
    }

    /// A sync succeeded.
    pub(super) fn succeeded(&self, report: &Report) {
        let stages = report.stages;
        for (stage, took) in [
            ("observe", stages.observe),
            ("render", stages.render),
            ("plan", stages.plan),
            ("apply", stages.apply),
        ] {
            // A sync of what changed reads nothing back, and one of nothing applies nothing.
            if !took.is_zero() {
                let histogram = self.stages.with_label_values(&[stage]);
                histogram.observe(took.as_secs_f64());
            }
        }
        self.looked_at.inc_by(report.services as u64);
        self.operations.inc_by(report.operations as u64);
        set(&self.excluded, report.excluded.len());
    }
}
