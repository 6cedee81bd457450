//! What program this is and how it was told to behave: Kubernetes' metrics of every component.

use fairlead_source::cluster::platform;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Result};

use super::registrar::Registrar;

/// The Kubernetes release whose kube-proxy this program stands in for.
const KUBERNETES: (&str, &str) = ("1", "36");

/// See the module.
#[derive(Debug)]
pub(super) struct ProgramMetrics {
    features: IntGaugeVec,
    registered: IntCounterVec,
}

impl ProgramMetrics {
    pub(super) fn new(make: &Registrar<'_>) -> Result<ProgramMetrics> {
        build_info(make)?.set(1);
        hidden(make)?;
        Ok(ProgramMetrics {
            features: make.gauges(
                "kubernetes_feature_enabled",
                "Whether a feature is enabled, by its name and stage",
                &["name", "stage"],
            )?,
            registered: make.counters(
                "registered_metrics_total",
                "Metrics that exist, by their stability and the release that deprecates them",
                &["stability_level", "deprecated_version"],
            )?,
        })
    }

    /// A feature gate has a value. The stage is `ALPHA`, `BETA` or empty, as in kube-proxy.
    pub(super) fn feature(&self, name: &str, stage: &str, enabled: bool) {
        self.features
            .with_label_values(&[name, stage])
            .set(i64::from(enabled));
    }

    /// So many metrics of kube-proxy exist.
    pub(super) fn registered(&self, count: usize) {
        self.registered
            .with_label_values(&["ALPHA", ""])
            .inc_by(count as u64);
    }
}

/// The version is Kubernetes' with ours behind it, as distributions write theirs: who compares
/// the versions of a cluster's components looks at the front of it.
fn build_info(make: &Registrar<'_>) -> Result<IntGauge> {
    let (major, minor) = KUBERNETES;
    let version = format!("v{major}.{minor}.0+fairlead-{}", env!("CARGO_PKG_VERSION"));
    let platform = platform();
    let labels = [
        ("build_date", ""),
        ("compiler", "rustc"),
        ("git_commit", ""),
        ("git_tree_state", ""),
        ("git_version", &version),
        ("go_version", ""),
        ("major", major),
        ("minor", minor),
        ("platform", &platform),
    ];
    let metrics = make.gauges(
        "kubernetes_build_info",
        "What was built, from what and how; always 1",
        &labels.map(|(name, _)| name),
    )?;
    Ok(metrics.with_label_values(&labels.map(|(_, value)| value)))
}

/// No metric can be hidden or disabled here, so these stay at 0.
fn hidden(make: &Registrar<'_>) -> Result<[IntCounter; 2]> {
    Ok([
        make.one_counter("hidden_metrics_total", "Metrics that are hidden")?,
        make.one_counter("disabled_metrics_total", "Metrics that are disabled")?,
    ])
}
