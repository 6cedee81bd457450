//! `fairlead run`.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use clap::{ArgAction, Args};
use serde_json::json;

use fairlead_core::parameters::ConntrackSettings;
use fairlead_core::settings::Settings;

use super::ProxyFlags;
use crate::app;
use crate::config::{self, duration};
use crate::log;

/// Flags of `fairlead run`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    proxy: ProxyFlags,

    /// A kubeconfig file that says how to reach the API server, in place of manifests.
    #[arg(long)]
    kubeconfig: Option<std::path::PathBuf>,

    /// Program the rules once and exit. They stay.
    #[arg(long)]
    once: bool,

    /// The least time between two syncs; a change on a quiet node is programmed at once.
    #[arg(long, alias = "iptables-min-sync-period", value_parser = duration, default_value = "1s",
          value_name = "DURATION")]
    min_sync_period: Duration,

    /// The longest time until a sync that failed is tried again.
    #[arg(long, alias = "iptables-sync-period", value_parser = duration, default_value = "30s", value_name = "DURATION")]
    sync_period: Duration,

    /// Where /healthz answers, as address:port; empty for nowhere.
    #[arg(long, default_value = "0.0.0.0:10256", value_name = "ADDRESS")]
    healthz_bind_address: String,

    /// Where /metrics and /proxyMode answer, as address:port; empty for nowhere.
    #[arg(long, default_value = "127.0.0.1:10249", value_name = "ADDRESS")]
    metrics_bind_address: String,

    /// End when one of these two cannot be had, and do not try again.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true,
          default_value_t = false, default_missing_value = "true", value_name = "BOOL")]
    bind_address_hard_fail: bool,

    /// Let the verbosity of the log be set at /debug/flags/v beside /metrics.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true,
          default_value_t = false, default_missing_value = "true", value_name = "BOOL")]
    profiling: bool,

    /// This node's address where it is not the Node object's; 0.0.0.0 and :: mean that it is.
    #[arg(long, default_value = "0.0.0.0", value_name = "ADDRESS")]
    bind_address: IpAddr,

    /// How much is logged: 0 to 3 what happens, 4 and 5 also why, 6 and above everything.
    #[arg(short, long, default_value_t = 0, value_name = "LEVEL")]
    v: u8,
}

impl Run {
    /// Runs until the process is told to stop.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        log::start(i32::from(self.v));
        app::run(self.options()?)
    }

    fn options(&self) -> Result<app::Options, config::ConfigErrors> {
        let mut problems = config::Problems::default();
        let settings = problems.take(self.proxy.settings());
        let healthz = problems.take(listen(
            "--healthz-bind-address",
            &self.healthz_bind_address,
            10256,
        ));
        let metrics = problems.take(listen(
            "--metrics-bind-address",
            &self.metrics_bind_address,
            10249,
        ));
        if self.sync_period.is_zero() || self.min_sync_period > self.sync_period {
            problems.add(format!(
                "--sync-period: {:?} must be more than 0 and at least --min-sync-period, {:?}",
                self.sync_period, self.min_sync_period
            ));
        }
        let (settings, healthz, metrics) = problems.settle((settings, healthz, metrics))?;
        Ok(app::Options {
            settings: Settings {
                node_ip: Some(self.bind_address).filter(|ip| !ip.is_unspecified()),
                ..settings
            },
            source: match &self.kubeconfig {
                Some(kubeconfig) => app::SourceOptions::Api {
                    kubeconfig: Some(kubeconfig.clone()),
                    master: None,
                },
                None => app::SourceOptions::Manifests(self.proxy.manifests.clone()),
            },
            startup_taint: None,
            once: self.once,
            min_sync_period: self.min_sync_period,
            sync_period: self.sync_period,
            conntrack: ConntrackSettings::default(),
            oom_score_adj: -999,
            healthz,
            metrics,
            bind_address_hard_fail: self.bind_address_hard_fail,
            profiling: self.profiling,
            flags: self.shown(),
            configuration: json!({
                "kind": "KubeProxyConfiguration",
                "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
                "mode": "nftables",
                "healthzBindAddress": self.healthz_bind_address,
                "metricsBindAddress": self.metrics_bind_address,
                "bindAddressHardFail": self.bind_address_hard_fail,
                "enableProfiling": self.profiling,
            }),
        })
    }

    /// The flags that are shown.
    fn shown(&self) -> BTreeMap<String, String> {
        let shown = [
            ("healthz-bind-address", self.healthz_bind_address.clone()),
            ("metrics-bind-address", self.metrics_bind_address.clone()),
            (
                "bind-address-hard-fail",
                self.bind_address_hard_fail.to_string(),
            ),
            ("profiling", self.profiling.to_string()),
            ("v", self.v.to_string()),
        ];
        shown.map(|(name, value)| (name.to_owned(), value)).into()
    }
}

/// An address to listen on. Without a port the usual one is meant.
fn listen(flag: &str, text: &str, port: u16) -> Result<Option<SocketAddr>, config::ConfigErrors> {
    if text.is_empty() {
        return Ok(None);
    }
    let with_port = text.parse().ok();
    let found = with_port.or_else(|| {
        text.parse::<IpAddr>()
            .ok()
            .map(|ip| SocketAddr::new(ip, port))
    });
    let hint = || {
        config::ConfigErrors::one(format!(
            "{flag}: {text:?} is not an address like 0.0.0.0:{port}"
        ))
    };
    found.map(Some).ok_or_else(hint)
}
