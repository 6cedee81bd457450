//! The wiring: sources, model, engine and servers, and the loop that they meet in.

mod daemon;
mod host;
mod oom;
mod parameters;
mod servers;
mod signals;
mod source;
mod sweeper;
mod told;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;

use fairlead_core::parameters::ConntrackSettings;
use fairlead_core::settings::Settings;
use fairlead_kernel::nft::counters::CounterSocket;

pub(crate) use host::{addresses as host_addresses, remove_leftovers};

use crate::health::{Health, Moment};
use crate::metrics::Metrics;
use daemon::Daemon;
use parameters::Parameters;
use servers::Seen;
use source::Source;

/// How many Services have metrics of their own, which are six series each.
const METRICS_MAX_SERVICES: usize = 1000;

/// What `fairlead run` was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// What shapes the rules.
    pub(crate) settings: Settings,
    /// Where the objects come from.
    pub(crate) source: SourceOptions,
    /// The key of a taint to remove from the Node after the first sync.
    pub(crate) startup_taint: Option<String>,
    /// Sync and exit.
    pub(crate) once: bool,
    /// The least time between two syncs.
    pub(crate) min_sync_period: Duration,
    /// The longest time until a failed sync is tried again.
    pub(crate) sync_period: Duration,
    /// What connection tracking should be like.
    pub(crate) conntrack: ConntrackSettings,
    /// How ready this process is to be killed when memory is short, from -1000 to 1000.
    pub(crate) oom_score_adj: i32,
    /// Where the health server listens.
    pub(crate) healthz: Option<SocketAddr>,
    /// Where the metrics server listens.
    pub(crate) metrics: Option<SocketAddr>,
    /// Whether the process ends when one of the two cannot listen.
    pub(crate) bind_address_hard_fail: bool,
    /// Whether the log's verbosity can be set at the metrics server.
    pub(crate) profiling: bool,
    /// The flags with their values, to be shown at /flagz.
    pub(crate) flags: BTreeMap<String, String>,
    /// The KubeProxyConfiguration that they mean, to be shown at /configz.
    pub(crate) configuration: Value,
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

/// Runs the proxy.
pub(crate) fn run(options: Options) -> anyhow::Result<()> {
    let started = Moment::now();
    oom::adjust(options.oom_score_adj);
    Parameters::of_this_host().track(&options.conntrack);
    let families = host::prepare(&options.settings)?;
    let health = Health::new(2 * options.sync_period);
    let metrics = Arc::new(Metrics::new(&families).context("cannot register metrics")?);
    let source = Source::open(&options, &metrics)?;
    if options.once {
        return Daemon::new(
            options,
            source,
            &families,
            Seen::by_nobody(health, &families),
            metrics,
        )?
        .once();
    }
    let counters = CounterSocket::open().context("cannot read counters")?;
    metrics.traffic(counters, &families, METRICS_MAX_SERVICES)?;
    let seen = servers::start(
        &options,
        started,
        &families,
        health.clone(),
        &metrics,
        source.events(),
    )?;
    let mut daemon = Daemon::new(options, source, &families, seen, metrics)?;
    health.started(&families);
    daemon.forever()
}
