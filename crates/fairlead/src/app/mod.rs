//! The wiring: sources, model, engine and servers, and the loop that they meet in.

mod daemon;
mod health;
mod host;
mod http;
mod metrics;
mod oom;
mod parameters;
mod signals;
mod sweeper;

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tracing::Level;

use fairlead_core::parameters::ConntrackSettings;
use fairlead_core::settings::Settings;

pub(crate) use host::{addresses as host_addresses, remove_leftovers};

use daemon::Daemon;
use health::Health;
use metrics::Metrics;
use parameters::Parameters;

/// What `fairlead run` was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// What shapes the rules.
    pub(crate) settings: Settings,
    /// Where the objects come from.
    pub(crate) manifests: PathBuf,
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
}

/// Logs to standard error, as much as kube-proxy's `-v` asks for.
pub(crate) fn log(verbosity: u8) {
    let level = match verbosity {
        0..=3 => Level::INFO,
        4 | 5 => Level::DEBUG,
        _ => Level::TRACE,
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        // Colours are for people; a log file has no use for them.
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
}

/// Runs the proxy.
pub(crate) fn run(options: Options) -> anyhow::Result<()> {
    oom::adjust(options.oom_score_adj);
    Parameters::of_this_host().track(&options.conntrack);
    let families = host::prepare(&options.settings)?;
    let health = Arc::new(Health::new(2 * options.sync_period));
    let metrics = Arc::new(Metrics::new().context("cannot register metrics")?);
    let once = options.once;
    if !once {
        let servers = http::Servers {
            healthz: options.healthz,
            metrics: options.metrics,
            health: Arc::clone(&health),
            registry: metrics.registry().clone(),
        };
        let (ready, signals_taken) = std::sync::mpsc::channel();
        std::thread::Builder::new()
            .name("http".to_owned())
            .spawn(move || servers.serve(ready))?;
        // Nothing is ever sent: it returns when the other end is gone.
        let _ = signals_taken.recv();
    }
    let mut daemon = Daemon::new(options, &families, health, metrics)?;
    if once {
        daemon.once()
    } else {
        daemon.forever()
    }
}
