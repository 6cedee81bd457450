//! The thread of the servers and the signals, and what the loop has of it.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use serde_json::Value;
use tokio::runtime::{self, Runtime};

use fairlead_core::address::Family;

use super::Options;
use super::events::Events;
use super::signals::{self, Stop};
use crate::config::Shown;
use crate::health::{Health, Moment, ServiceHealth};
use crate::http::{Alarm, Alarms, Configz, OnProbe, Pages, Probe, Servers};
use crate::metrics::Metrics;

/// By what the loop shows what it does.
#[derive(Debug)]
pub(super) struct Seen {
    /// Whether the rules are up to date.
    pub(super) health: Health,
    /// The configuration in effect.
    pub(super) configuration: Shown,
    /// The health check node ports.
    pub(super) services: ServiceHealth,
    /// Where the loop hears that a server cannot listen and the process has to end.
    pub(super) alarms: Option<Alarms>,
}

impl Seen {
    /// Without a server.
    pub(super) fn by_nobody(options: &Options, health: Health, families: &[Family]) -> Seen {
        let (services, _) = ServiceHealth::channel(families);
        Seen {
            health,
            configuration: Shown::new(&options.config),
            services,
            alarms: None,
        }
    }
}

/// Starts the thread. Returns when signals are taken, which end the process by `stop`.
pub(super) fn start(
    stop: Stop,
    options: &Options,
    started: Moment,
    families: &[Family],
    health: Health,
    metrics: &Arc<Metrics>,
    events: Events,
) -> anyhow::Result<Seen> {
    let (services, updates) = ServiceHealth::channel(families);
    let configuration = Shown::new(&options.config);
    let (alarm, alarms) = match options.bind_hard_fail {
        true => Alarm::new().map(|(alarm, alarms)| (Some(alarm), Some(alarms)))?,
        false => (None, None),
    };
    let node = options.settings.node_name.clone();
    let servers = Servers {
        healthz: options.healthz,
        metrics: options.metrics,
        hard_fail: alarm,
        health: health.clone(),
        on_probe: on_probe(metrics),
        pages: pages(options, configuration.clone(), started, metrics),
        on_service_failure: Box::new(move |failure| events.cannot_check(&node, &failure)),
        services: updates,
    };
    let runtime = runtime()?;
    let (ready, signals_taken) = channel();
    thread::Builder::new()
        .name("http".to_owned())
        .spawn(move || serve(&runtime, servers, stop, ready))?;
    // Nothing is ever sent: it returns when the other end is gone.
    let _ = signals_taken.recv();
    Ok(Seen {
        health,
        configuration,
        services,
        alarms,
    })
}

/// What the servers run on.
fn runtime() -> io::Result<Runtime> {
    runtime::Builder::new_current_thread()
        .enable_all()
        // One reads /metrics; who else asks meanwhile waits.
        .max_blocking_threads(1)
        .build()
}

/// Serves until the process ends. `ready` is dropped when signals are taken.
fn serve(runtime: &Runtime, servers: Servers, stop: Stop, ready: Sender<()>) {
    runtime.block_on(async {
        tokio::join!(signals::exit_when_told(stop, ready), servers.serve());
    });
}

fn on_probe(metrics: &Arc<Metrics>) -> OnProbe {
    let metrics = Arc::clone(metrics);
    Arc::new(move |probe, code| match probe {
        Probe::Healthz => metrics.healthz_answered(code),
        Probe::Livez => metrics.livez_answered(code),
    })
}

fn pages(
    options: &Options,
    configuration: Shown,
    started: Moment,
    metrics: &Arc<Metrics>,
) -> Pages {
    let metrics = Arc::clone(metrics);
    Pages {
        mode: options.mode.name(),
        metrics: Arc::new(move || metrics.text().map_err(|error| error.to_string())),
        configz: Arc::new(move || {
            let waiting = configuration.needs_restart();
            Configz {
                effective: serde_json::to_value(&*configuration.effective()).unwrap_or_default(),
                restart_needed: (!waiting.is_empty()).then_some(Value::Object(waiting)),
            }
        }),
        flags: Arc::new(options.flags.clone()),
        profiling: options.profiling,
        flagz: options.gates.flagz(),
        statusz: options.gates.statusz(),
        started,
    }
}
