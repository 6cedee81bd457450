//! kube-proxy's metrics of the health server: what it answered.

use prometheus::{IntCounterVec, Result};

use super::registrar::Registrar;

/// See the module.
#[derive(Debug)]
pub(super) struct ProbeMetrics {
    pub(super) healthz: IntCounterVec,
    pub(super) livez: IntCounterVec,
}

impl ProbeMetrics {
    pub(super) fn new(make: &Registrar<'_>) -> Result<ProbeMetrics> {
        let metrics = ProbeMetrics {
            healthz: make.counters(
                "kubeproxy_proxy_healthz_total",
                "Answers of /healthz by their code",
                &["code"],
            )?,
            livez: make.counters(
                "kubeproxy_proxy_livez_total",
                "Answers of /livez by their code",
                &["code"],
            )?,
        };
        for counters in [&metrics.healthz, &metrics.livez] {
            for code in ["200", "503"] {
                counters.with_label_values(&[code]);
            }
        }
        Ok(metrics)
    }
}
