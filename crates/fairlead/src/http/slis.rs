//! /metrics/slis: how often the health of the metrics server was asked for, by which clusters
//! measure how often a component is there. It can be reset.

use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};

/// What is asked for, and how it is called.
const LABELS: [&str; 2] = ["ping", "healthz"];

/// The counts since the start or the last reset.
#[derive(Debug, Clone)]
pub(super) struct Slis {
    registry: Registry,
    now: IntGaugeVec,
    total: IntCounterVec,
}

impl Slis {
    /// Nothing was asked yet.
    pub(super) fn new() -> Result<Slis, prometheus::Error> {
        let (gauge, counter) = (
            Opts::new(
                "kubernetes_healthcheck",
                "[STABLE] This metric records the result of a single healthcheck.",
            ),
            Opts::new(
                "kubernetes_healthchecks_total",
                "[STABLE] This metric records the results of all healthcheck.",
            ),
        );
        let slis = Slis {
            registry: Registry::new(),
            now: IntGaugeVec::new(gauge, &["name", "type"])?,
            total: IntCounterVec::new(counter, &["name", "status", "type"])?,
        };
        slis.registry.register(Box::new(slis.now.clone()))?;
        slis.registry.register(Box::new(slis.total.clone()))?;
        Ok(slis)
    }

    /// It was asked whether this process is there, and it is.
    pub(super) fn pinged(&self) {
        let [name, kind] = LABELS;
        self.now.with_label_values(&[name, kind]).set(1);
        self.total.with_label_values(&[name, "success", kind]).inc();
    }

    /// Forgets all counts.
    pub(super) fn reset(&self) {
        self.now.reset();
        self.total.reset();
    }

    /// What Prometheus reads.
    pub(super) fn text(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}
