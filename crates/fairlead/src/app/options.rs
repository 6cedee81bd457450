//! What `fairlead run` was asked for.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fairlead_core::parameters::ConntrackSettings;
use fairlead_core::settings::Settings;

use crate::config::v1alpha1::KubeProxyConfiguration;
use crate::config::{Gates, IptablesVariant, Mode};

/// What `fairlead run` was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// How Services are implemented.
    pub(crate) mode: Mode,
    /// Which iptables is written, in iptables mode.
    pub(crate) iptables_variant: IptablesVariant,
    /// What shapes the rules.
    pub(crate) settings: Settings,
    /// Where the objects come from.
    pub(crate) source: SourceOptions,
    /// Sync and exit.
    pub(crate) once: bool,
    /// Do what needs privilege and exit.
    pub(crate) init_only: bool,
    /// The least time between two syncs.
    pub(crate) min_sync_period: Duration,
    /// The longest time until a failed sync is tried again.
    pub(crate) sync_period: Duration,
    /// Where the health server listens.
    pub(crate) healthz: Option<SocketAddr>,
    /// Where the metrics server listens.
    pub(crate) metrics: Option<SocketAddr>,
    /// Whether a server that cannot listen is the end.
    pub(crate) bind_hard_fail: bool,
    /// Whether /debug is served.
    pub(crate) profiling: bool,
    /// What the kernel is told about tracking connections.
    pub(crate) conntrack: ConntrackSettings,
    /// How unwilling the kernel is to kill this process.
    pub(crate) oom_score_adj: i32,
    /// How much is logged.
    pub(crate) verbosity: i32,
    /// Whether the log's lines are JSON.
    pub(crate) json_log: bool,
    /// Which features are on.
    pub(crate) gates: Gates,
    /// The key of a taint to remove from the Node after the first sync.
    pub(crate) startup_taint: Option<String>,
    /// How many Services may have metrics of their own.
    pub(crate) metrics_max_services: usize,
    /// Every flag with its value, by name.
    pub(crate) flags: BTreeMap<String, String>,
    /// The configuration that all this comes from, with everything given.
    pub(crate) config: Arc<KubeProxyConfiguration>,
}

/// Where objects come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SourceOptions {
    /// A file or folder of manifests.
    Manifests(PathBuf),
    /// The Kubernetes API; with neither of both, by the pod's own service account.
    Api {
        /// The kubeconfig file.
        kubeconfig: Option<PathBuf>,
        /// The server's address, which counts more.
        master: Option<String>,
    },
}

impl Options {
    /// How long a change may wait before the rules are called stale, as in kube-proxy.
    pub(crate) fn patience(&self) -> Duration {
        2 * self.sync_period
    }

    /// What was asked for besides flags and fields of the file, or differs from them, for the log.
    pub(crate) fn told(&self) -> Vec<String> {
        let gates = self
            .gates
            .iter()
            .map(|gate| format!("{}={}", gate.name, gate.enabled));
        let mode = match self.mode {
            Mode::Nftables | Mode::Ipvs => format!("mode {}", self.mode),
            Mode::Iptables => format!("mode iptables, variant {}", self.iptables_variant.name()),
        };
        let mut told = vec![
            mode,
            format!("objects from {}", self.source),
            format!("features: {}", gates.collect::<Vec<_>>().join(" ")),
            format!(
                "traffic counters: {}, metrics for at most {} Services",
                self.settings.traffic_counters, self.metrics_max_services
            ),
        ];
        if let Some(taint) = &self.startup_taint {
            told.push(format!("the taint {taint} goes after the first sync"));
        }
        told
    }
}

impl fmt::Display for SourceOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SourceOptions::Manifests(path) => write!(f, "{}", path.display()),
            SourceOptions::Api { kubeconfig, master } => {
                f.write_str("the Kubernetes API")?;
                if let Some(kubeconfig) = kubeconfig {
                    write!(f, " by {}", kubeconfig.display())?;
                }
                master
                    .as_ref()
                    .map_or(Ok(()), |master| write!(f, " at {master}"))
            }
        }
    }
}
