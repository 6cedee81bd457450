//! What `fairlead run` was asked for.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use fairlead_core::address::parse_net;
use fairlead_core::parameters::ConntrackSettings;
use fairlead_core::settings::Settings;
use fairlead_kernel::ipvs::server::Timeouts;

use crate::config::v1alpha1::KubeProxyConfiguration;
use crate::config::{Gates, IptablesVariant, IpvsOptions, Mode, UserspaceOptions};

/// What `fairlead run` was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// How Services are implemented. The one that was asked for, until it turns out that another
    /// has to run: see [`Options::in_mode`].
    pub(crate) mode: Mode,
    /// What runs where the kernel has no IPVS, in ipvs mode.
    pub(crate) fallback: Option<Fallback>,
    /// What ipvs mode asks of the kernel.
    pub(crate) ipvs: IpvsOptions,
    /// What userspace mode asks of its relay.
    pub(crate) userspace: UserspaceOptions,
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

/// What runs where the mode that was asked for cannot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fallback {
    /// The mode.
    pub(crate) mode: Mode,
    /// What the same configuration means in it.
    pub(crate) settings: Settings,
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
    /// The mode that was asked for.
    pub(crate) fn configured(&self) -> Mode {
        Mode::of(&self.config.mode)
    }

    /// The same where this mode runs, which is that of the options or its fallback.
    pub(crate) fn in_mode(mut self, running: Mode) -> Options {
        if let Some(fallback) = self.fallback.take_if(|fallback| fallback.mode == running) {
            self.mode = fallback.mode;
            self.settings = fallback.settings;
        }
        self
    }

    /// The networks in which virtual servers are others', also where another mode removes those of
    /// ipvs mode. Only that mode insists that the field makes sense.
    pub(crate) fn others(&self) -> Vec<IpNet> {
        let texts = self.config.ipvs.exclude_cidrs.iter().flatten();
        texts.filter_map(|text| parse_net(text).ok()).collect()
    }

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
            Mode::Nftables => "mode nftables".to_owned(),
            Mode::Iptables => format!("mode iptables, variant {}", self.iptables_variant.name()),
            Mode::Ipvs => self.told_of_ipvs(),
            Mode::Userspace => format!("mode userspace, {}", self.userspace),
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

    fn told_of_ipvs(&self) -> String {
        let IpvsOptions {
            strict_arp,
            timeouts,
        } = self.ipvs;
        let fallback = self.fallback.as_ref().map(|fallback| fallback.mode.name());
        let fallback = fallback.unwrap_or("none");
        let Timeouts { tcp, tcp_fin, udp } = timeouts;
        format!(
            "mode ipvs, fallback {fallback}, strict ARP {strict_arp}, timeouts of {tcp} s, {tcp_fin} s and {udp} s"
        )
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
