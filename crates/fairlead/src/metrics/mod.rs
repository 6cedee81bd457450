//! Metrics: kube-proxy's by their names, types, labels, buckets and meaning, Kubernetes' and
//! Prometheus' of every component, and Fairlead's own.
//!
//! A metric is made and named in the module of what it is about. Values are kept as things
//! happen, or read when somebody scrapes ([`scraped::Scraped`]); nothing here goes through all Services.

mod client;
mod conntrack;
mod iptables;
mod ipvs;
mod nftables;
mod own;
mod probes;
mod process;
mod program;
mod registrar;
mod scraped;
mod sync;
#[cfg(test)]
mod tests;
mod traffic;
mod userspace;

use std::time::Duration;

use fairlead_core::address::Family;
use fairlead_core::model::Model;
use fairlead_core::report::Report;
use fairlead_kernel::nft::counters::ReadCounters;
use fairlead_source::cluster::WatchStatus;
use jiff::Timestamp;
use prometheus::core::Collector;
use prometheus::{Registry, Result, TextEncoder};

#[cfg(test)]
pub(crate) use tests::{Metric, everything};

use crate::config::{Gates, Mode};

use client::ClientMetrics;
use conntrack::ConntrackMetrics;
use iptables::IptablesMetrics;
pub(crate) use iptables::{CountedPackets, ReadPackets};
use ipvs::IpvsMetrics;
use nftables::NftablesMetrics;
use own::OwnMetrics;
use probes::ProbeMetrics;
use program::ProgramMetrics;
use registrar::Registrar;
use sync::SyncMetrics;
pub(crate) use userspace::ReadCounts;
use userspace::UserspaceMetrics;

/// Bounds of durations in seconds, as kube-proxy has them: 1 ms doubled 14 times.
const DURATIONS: [f64; 15] = [
    0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096,
    8.192, 16.384,
];

/// All metrics. Threads share it; only the loop tells it of changes and syncs.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    sync: SyncMetrics,
    mode: ModeMetrics,
    conntrack: ConntrackMetrics,
    probes: ProbeMetrics,
    client: ClientMetrics,
    program: ProgramMetrics,
    own: OwnMetrics,
}

/// Those of one mode alone.
#[derive(Debug)]
enum ModeMetrics {
    Nftables(NftablesMetrics),
    Iptables(IptablesMetrics),
    Ipvs(IpvsMetrics),
    Userspace(UserspaceMetrics),
}

impl Metrics {
    /// The metrics of a proxy in a mode that serves these families.
    pub(crate) fn new(mode: Mode, families: &[Family]) -> Result<Metrics> {
        let registry = Registry::new();
        let make = Registrar::new(&registry, families);
        let metrics = Metrics {
            sync: SyncMetrics::new(&make, mode)?,
            mode: match mode {
                Mode::Nftables => ModeMetrics::Nftables(NftablesMetrics::new(&make)?),
                Mode::Iptables => ModeMetrics::Iptables(IptablesMetrics::new(&make)?),
                Mode::Ipvs => ModeMetrics::Ipvs(IpvsMetrics::new(&make)?),
                Mode::Userspace => ModeMetrics::Userspace(UserspaceMetrics::new(&make)?),
            },
            conntrack: ConntrackMetrics::new(&make)?,
            probes: ProbeMetrics::new(&make)?,
            client: ClientMetrics::new(&make)?,
            program: ProgramMetrics::new(&make)?,
            own: OwnMetrics::new(&make)?,
            registry: registry.clone(),
        };
        metrics.register(process::collector()?)?;
        metrics.program.registered(make.registered());
        Ok(metrics)
    }

    /// Adds metrics that are read when somebody scrapes: see [`scraped::Scraped`].
    pub(crate) fn register(&self, collector: impl Collector + 'static) -> Result<()> {
        self.registry.register(Box::new(collector))
    }

    /// All of them in Prometheus' text format, version 0.0.4.
    pub(crate) fn text(&self) -> Result<String> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }

    /// The model has taken changes in.
    pub(crate) fn told(&self, model: &Model) {
        self.sync.told(model);
        self.own.told(model);
    }

    /// A sync was asked for.
    pub(crate) fn queued(&self) {
        self.sync.queued(Timestamp::now());
    }

    /// A sync succeeded. With the times at which what it programmed was triggered, in
    /// nanoseconds since 1970.
    pub(crate) fn synced(&self, report: &Report, took: Duration, triggers: &[(Family, i128)]) {
        self.sync.ended(report.full, took);
        self.sync.succeeded(report, triggers, Timestamp::now());
        self.own.succeeded(report);
        match &self.mode {
            ModeMetrics::Nftables(_) | ModeMetrics::Userspace(_) => {}
            ModeMetrics::Iptables(metrics) => metrics.succeeded(&report.rules),
            ModeMetrics::Ipvs(metrics) => metrics.succeeded(&report.ipvs),
        }
    }

    /// A sync failed: one of everything or of what had changed, which was nothing but cleaning
    /// up if nobody had asked for it.
    pub(crate) fn failed(&self, full: bool, asked_for: bool, took: Duration) {
        self.sync.ended(full, took);
        match &self.mode {
            ModeMetrics::Nftables(metrics) => metrics.failed(!asked_for),
            ModeMetrics::Iptables(metrics) => metrics.failed(full),
            ModeMetrics::Ipvs(metrics) => metrics.failed(),
            ModeMetrics::Userspace(metrics) => metrics.failed(),
        }
    }

    /// The connections of a family were looked through, and stale ones deleted.
    pub(crate) fn swept(&self, family: Family, took: Duration, deleted: usize) {
        self.conntrack.swept(family, took, deleted);
    }

    /// The health server answered /healthz with this code.
    pub(crate) fn healthz_answered(&self, code: u16) {
        let code = code.to_string();
        self.probes.healthz.with_label_values(&[&code]).inc();
    }

    /// The health server answered /livez with this code.
    pub(crate) fn livez_answered(&self, code: u16) {
        let code = code.to_string();
        self.probes.livez.with_label_values(&[&code]).inc();
    }

    /// The API server answered a request, or did not, which is a code of its own.
    pub(crate) fn rest_client_answered(
        &self,
        method: &str,
        host: &str,
        code: &str,
        took: Duration,
    ) {
        self.client.answered(method, host, code, took);
    }

    /// Has the watches looked at whenever somebody scrapes.
    pub(crate) fn watches(
        &self,
        read: impl Fn() -> Vec<WatchStatus> + Send + Sync + 'static,
    ) -> Result<()> {
        self.register(client::watches(read)?)
    }

    /// Has what the tables of these families count read by this handle whenever somebody
    /// scrapes. At most `services` Services have series of their own.
    pub(crate) fn traffic(
        &self,
        from: impl ReadCounters + Send + 'static,
        families: &[Family],
        services: usize,
    ) -> Result<()> {
        self.register(traffic::traffic(from, families, services)?)
    }

    /// Has what the relay of userspace mode counts asked for whenever somebody scrapes. At most
    /// `services` Services have series of their own.
    pub(crate) fn relayed(&self, read: ReadCounts, services: usize) -> Result<()> {
        self.register(userspace::relayed(read, services)?)
    }

    /// Has the packets that rules of iptables mode count read whenever somebody scrapes. Where the
    /// kernel cannot count them there are no such metrics.
    pub(crate) fn packets(&self, counted: CountedPackets) -> Result<()> {
        let (collector, metrics) = iptables::packets(counted)?;
        self.program.registered(metrics);
        self.register(collector)
    }

    /// These feature gates have these values.
    pub(crate) fn features(&self, gates: &Gates) {
        for gate in gates.iter() {
            self.program.feature(gate.name, gate.stage, gate.enabled);
        }
    }

    /// A mode was asked for, and this one runs.
    pub(crate) fn proxy_mode(&self, configured: Mode, running: Mode) {
        self.own.proxy_mode(configured, running);
    }

    /// Whether the configuration file says something that only a restart can do.
    pub(crate) fn config_needs_restart(&self, needed: bool) {
        self.own.needs_restart.set(i64::from(needed));
    }
}
