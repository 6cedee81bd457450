//! The wiring: sources, model, engine and servers, and the loop that they meet in.

mod accounting;
mod daemon;
mod events;
mod host;
mod ipvs;
mod mode;
mod oom;
mod options;
mod parameters;
mod proxier;
mod reread;
mod servers;
mod signals;
mod source;
mod start;
mod sweeper;
mod sync;
mod told;
mod unheeded;
mod userspace;

use std::sync::Arc;

use anyhow::{Context, ensure};

use fairlead_core::parameters::node_ports;
use fairlead_kernel::nft::counters::CounterSocket;

#[cfg(test)]
pub(crate) use events::ALL as EVENTS;
pub(crate) use host::{addresses as host_addresses, remove_leftovers};
pub(crate) use options::{Fallback, Options, SourceOptions};

use crate::config::{ConfigWatch, Mode};
use crate::health::{Health, Moment};
use crate::metrics::Metrics;
use daemon::Daemon;
use parameters::Parameters;
use servers::Seen;
use signals::Stop;
use source::Source;

/// Runs the proxy.
pub(crate) fn run(options: Options, config: Option<ConfigWatch>) -> anyhow::Result<()> {
    let started = Moment::now();
    oom::adjust(options.oom_score_adj);
    let mut conntrack = Parameters::of_this_host();
    conntrack.track(&options.conntrack);
    let families = host::prepare(options.mode)?;
    if options.init_only {
        // Who comes after this may not write parameters, and has to find them set.
        let wanted = node_ports(&options.settings.node_port_addresses);
        Parameters::of_this_host().apply(&wanted);
        return mode::prepare(&options);
    }
    let opened = mode::open(&options, families)?;
    let options = options.in_mode(opened.mode);
    let families = opened.families.clone();
    let health = Health::new(options.patience());
    let metrics =
        Arc::new(Metrics::new(options.mode, &families).context("cannot register metrics")?);
    metrics.features(&options.gates);
    metrics.proxy_mode(options.configured(), options.mode);
    let source = Source::open(&options, &metrics, &health)?;
    if options.once {
        ensure!(
            options.mode != Mode::Userspace,
            "--once: userspace mode carries connections itself, and nothing of it would be left"
        );
        let seen = Seen::by_nobody(&options, health, &families);
        return Daemon::new(options, opened, source, config, conntrack, seen, metrics)?.once();
    }
    if options.settings.traffic_counters {
        let counters = CounterSocket::open().context("cannot read counters")?;
        metrics.traffic(counters, &families, options.metrics_max_services)?;
    }
    if let (Mode::Iptables, Some(counted)) = (options.mode, accounting::counted()?) {
        metrics.packets(counted)?;
    }
    if let Some(relay) = opened.relay.clone() {
        metrics.relayed(
            Box::new(move || relay.counts()),
            options.metrics_max_services,
        )?;
    }
    let stop = Stop {
        relay: opened.relay.clone(),
        drain: options.userspace.drain,
    };
    let seen = servers::start(
        stop,
        &options,
        started,
        &families,
        health.clone(),
        &metrics,
        source.events(),
    )?;
    let mut daemon = Daemon::new(options, opened, source, config, conntrack, seen, metrics)?;
    health.started(&families);
    daemon.forever()
}
