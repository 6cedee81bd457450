//! The loop: changes in, syncs out.

use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};
use jiff::Timestamp;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tracing::{error, info, warn};

use fairlead_backends::engine::{Engine, SyncError, Synced};
use fairlead_backends::nftables::table;
use fairlead_core::address::Family;
use fairlead_core::conntrack::NodePortReach;
use fairlead_core::model::Model;
use fairlead_core::parameters;
use fairlead_core::schedule::{Cause, Intervals, Schedule};
use fairlead_core::start::{Gate, Missing, StartGate};
use fairlead_kernel::link::AddressMonitor;
use fairlead_kernel::memory;
use fairlead_kernel::nft::watched::WatchedNft;
use fairlead_kernel::sysctl::ProcSys;

use super::Options;
use super::host;
use super::parameters::Parameters;
use super::servers::Seen;
use super::source::Source;
use super::sweeper::{self, Sweep};
use super::told::Told;
use crate::config::{ConfigWatch, Shown};
use crate::http::Alarms;
use crate::metrics::Metrics;

/// Everything the loop owns. One task owns model and engine; others read what it publishes.
pub(super) struct Daemon {
    source: Source,
    /// The configuration in effect.
    pub(super) configuration: Shown,
    /// Its file, if it has one.
    pub(super) config_watch: Option<ConfigWatch>,
    /// The kernel's parameters of connection tracking.
    pub(super) conntrack: Parameters<ProcSys>,
    /// The families that are served.
    pub(super) families: Vec<Family>,
    /// Until there is enough known of this node to begin.
    gate: Option<StartGate>,
    /// When to ask the gate again, whether or not anything changes.
    ask_gate_at: Option<Instant>,
    /// What the log says that is waited for.
    waits_for: Option<Missing>,
    pub(super) model: Model,
    engine: Engine<WatchedNft>,
    addresses: AddressMonitor,
    host: Vec<IpAddr>,
    /// What node ports on localhost need of the kernel.
    localnet: Parameters<ProcSys>,
    pub(super) schedule: Schedule,
    sweeper: Sender<Sweep>,
    pub(super) seen: Seen,
    pub(super) metrics: Arc<Metrics>,
    told: Told,
    /// Whether our rules have taken the place of kube-proxy's.
    in_charge: bool,
    /// The key of a taint that goes when the node is served.
    startup_taint: Option<String>,
}

/// The longest time without looking whether all is as it should be, as in kube-proxy.
const ROUTINE: Duration = Duration::from_hours(1);

impl Daemon {
    /// Opens everything that is needed. Nothing is programmed yet.
    pub(super) fn new(
        options: Options,
        source: Source,
        config_watch: Option<ConfigWatch>,
        conntrack: Parameters<ProcSys>,
        families: &[Family],
        seen: Seen,
        metrics: Arc<Metrics>,
    ) -> anyhow::Result<Daemon> {
        let tables: Vec<_> = families.iter().copied().map(table).collect();
        let nft = WatchedNft::open(&tables).context("cannot talk to nf_tables")?;
        let mut model = Model::new(options.settings);
        model.set_started(Timestamp::now().as_nanosecond());
        Ok(Daemon {
            gate: Some(StartGate::new(families, source.is_cluster())),
            ask_gate_at: None,
            waits_for: None,
            source,
            configuration: seen.configuration.clone(),
            config_watch,
            conntrack,
            families: families.to_vec(),
            model,
            engine: Engine::new(nft, families),
            addresses: AddressMonitor::open().context("cannot watch this host's addresses")?,
            host: host::addresses().context("cannot list this host's addresses")?,
            localnet: Parameters::of_this_host(),
            schedule: Schedule::new(intervals(options.min_sync_period, options.sync_period)),
            sweeper: sweeper::start(Arc::clone(&metrics))?,
            seen,
            metrics,
            told: Told::default(),
            in_charge: false,
            startup_taint: options.startup_taint,
        })
    }

    /// Reads everything, syncs and returns.
    pub(super) fn once(&mut self) -> anyhow::Result<()> {
        self.hear_everything()?;
        let synced = self.sync_once()?;
        let swept = sweeper::sweep_once(&self.sweep(synced), &self.metrics);
        remove_leftovers();
        // What an earlier run left in the tables and nothing uses any more can go a moment later.
        if let Some(at) = self.engine.wants_sync_at() {
            thread::sleep(at.saturating_duration_since(Instant::now()));
            self.sync_once()?;
        }
        swept.context("the rules are in place; stale connections stay")
    }

    /// Hears until there is enough known to begin. Files say all that they have at once.
    fn hear_everything(&mut self) -> anyhow::Result<()> {
        loop {
            self.take_changes();
            self.begin()?;
            if self.gate.is_none() {
                return Ok(());
            }
            ensure!(
                self.source.is_cluster(),
                "the manifests cannot be read, so nothing was programmed"
            );
            self.wait()?;
        }
    }

    fn sync_once(&mut self) -> anyhow::Result<Synced> {
        let synced = self.program(Instant::now())?;
        self.told.tell(&synced.report);
        Ok(synced)
    }

    /// Makes the kernel what the model says. Loopback addresses are routed only as long as the
    /// rules keep neighbours from them.
    fn program(&mut self, now: Instant) -> Result<Synced, SyncError> {
        let wanted = parameters::node_ports(&self.model.settings().node_port_addresses);
        self.localnet.release(&wanted);
        let synced = self.engine.sync(&mut self.model, &self.host, now)?;
        self.localnet.apply(&wanted);
        Ok(synced)
    }

    /// Follows what the source says, for as long as the process lives.
    pub(super) fn forever(&mut self) -> anyhow::Result<()> {
        self.source.events().started();
        loop {
            self.take_changes();
            self.begin()?;
            self.sync_if_due();
            self.wait()?;
            if let Some(failure) = self.seen.alarms.as_ref().and_then(Alarms::take) {
                self.source.last_words(&failure);
                return Err(failure.into());
            }
        }
    }

    /// Begins when enough is known of this node.
    fn begin(&mut self) -> anyhow::Result<()> {
        let Some(gate) = &mut self.gate else {
            return Ok(());
        };
        let now = Instant::now();
        match gate.verdict(&self.model, now) {
            Gate::Go(notices) => {
                notices.iter().for_each(|notice| warn!("{notice}"));
                self.judge_configuration()?;
                let services = self.model.services().count();
                info!("heard of {services} Services; beginning");
                (self.gate, self.ask_gate_at) = (None, None);
                self.request_sync(now);
            }
            Gate::Wait { missing, until } => {
                if self.waits_for.replace(missing) != Some(missing) {
                    info!("waiting for {missing}");
                }
                self.ask_gate_at = until;
            }
            Gate::GiveUp(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Whether enough was known of this node to begin.
    pub(super) fn has_begun(&self) -> bool {
        self.gate.is_none()
    }

    fn request_sync(&mut self, now: Instant) {
        self.schedule.request(now);
        self.metrics.queued();
        self.seen
            .health
            .waiting_since(self.schedule.waiting_since());
    }

    /// When to sync next: for what changed, else for the engine's chores.
    fn due(&self) -> Option<Instant> {
        let scheduled = self.schedule.due().map(|(at, _)| at);
        scheduled.into_iter().chain(self.chore_due()).min()
    }

    /// A chore waits for what changed, with which it is done.
    fn chore_due(&self) -> Option<Instant> {
        let asked = self.schedule.waiting_since().is_some();
        self.engine.wants_sync_at().filter(|_| !asked)
    }

    /// Waits until something can be read or is due.
    fn wait(&mut self) -> anyhow::Result<()> {
        let config = self.config_watch.as_ref().map(ConfigWatch::due);
        let due = [self.due(), self.source.due(), self.ask_gate_at, config];
        let timeout = match due.into_iter().flatten().min() {
            Some(next) => until(next),
            None => PollTimeout::NONE,
        };
        let nft = self.engine.nft();
        let always = [self.source.as_fd(), self.addresses.as_fd(), nft.as_fd()];
        let alarms = self.seen.alarms.as_ref().map(AsFd::as_fd);
        let config = self.config_watch.as_ref().map(AsFd::as_fd);
        let mut readable: Vec<PollFd<'_>> = always
            .into_iter()
            .chain(alarms)
            .chain(config)
            .map(|fd| PollFd::new(fd, PollFlags::POLLIN))
            .collect();
        match poll(&mut readable, timeout) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(anyhow!(errno).context("cannot wait for changes")),
        }
    }

    fn take_changes(&mut self) {
        let now = Instant::now();
        let (model, mut problems) = (&mut self.model, Vec::new());
        self.source
            .changes(now, &mut |change| problems.extend(model.apply(change)));
        problems.iter().for_each(|problem| warn!("{problem}"));
        self.metrics.told(&self.model);
        self.tell_health();
        self.take_configuration(now);
        let mut changed = self.model.has_changed();
        changed |= self.addresses_changed();
        changed |= self.was_touched();
        if changed && self.has_begun() {
            self.request_sync(now);
        }
    }

    fn tell_health(&self) {
        // Manifests need not have a Node, and without one nobody means to take it away.
        let unasked = !self.source.is_cluster() && !self.model.node_is_known();
        let health = &self.seen.health;
        health.node_eligible(unasked || self.model.node_is_eligible());
        health.awaiting(self.model.missing().collect());
        self.source.tell(health);
    }

    fn addresses_changed(&mut self) -> bool {
        match self.addresses.drain() {
            Ok(false) => return false,
            Ok(true) => {}
            Err(error) => warn!("changes of this host's addresses may be missed: {error}"),
        }
        match host::addresses() {
            Ok(host) => std::mem::replace(&mut self.host, host) != self.host,
            Err(error) => {
                warn!("this host's addresses are not known anew: {error}");
                false
            }
        }
    }

    fn was_touched(&mut self) -> bool {
        match self.engine.nft().touched() {
            Ok(false) => return false,
            Ok(true) => info!("someone else changed our tables; they are mended"),
            Err(error) => {
                warn!("changes of our tables may be missed, so they are looked at: {error}");
            }
        }
        self.engine.distrust();
        true
    }

    fn sync_if_due(&mut self) {
        let now = Instant::now();
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        match self.schedule.due() {
            Some((at, cause)) if at <= now => {
                if cause == Cause::Routine {
                    self.engine.distrust();
                }
                self.sync(now);
            }
            _ if is_due(self.chore_due()) => self.sync(now),
            _ => {}
        }
    }

    fn sync(&mut self, now: Instant) {
        let requested = self.schedule.begin(now);
        let full = self.engine.next_is_full();
        let result = self.program(now);
        let ended = Instant::now();
        match result {
            Ok(synced) => {
                self.schedule.succeeded(ended);
                let triggers = self.model.settle();
                self.told.tell(&synced.report);
                self.metrics.synced(&synced.report, ended - now, &triggers);
                self.metrics.told(&self.model);
                self.publish(synced);
            }
            Err(failure) => {
                self.schedule.failed(requested, ended);
                self.metrics.failed(full, requested.is_some(), ended - now);
                self.seen.health.failed(failure.to_string());
                error!("{failure}; trying again");
            }
        }
        self.seen
            .health
            .waiting_since(self.schedule.waiting_since());
    }

    /// What follows from a sync that succeeded.
    fn publish(&mut self, synced: Synced) {
        if synced.report.full {
            memory::give_back();
        }
        self.seen.health.synced(&synced.report.excluded);
        self.seen.services.synced(&self.model, &self.host, &synced);
        self.take_charge();
        let sweep = self.sweep(synced);
        if !sweep.suspects.is_empty() && self.sweeper.send(sweep).is_err() {
            error!("the conntrack thread is gone; stale connections stay");
        }
    }

    fn sweep(&self, synced: Synced) -> Sweep {
        let setting = &self.model.settings().node_port_addresses;
        Sweep {
            suspects: synced.suspects,
            node_ports: NodePortReach::new(setting, self.model.node(), &self.host),
        }
    }

    /// The node is served for the first time.
    fn take_charge(&mut self) {
        if std::mem::replace(&mut self.in_charge, true) {
            return;
        }
        if let Some(taint) = &self.startup_taint {
            self.source.remove_taint(taint);
        }
        // kube-proxy's rules would only contradict ours. There may be many, and nothing waits for
        // them to be gone.
        let thread = thread::Builder::new().name("leftovers".to_owned());
        if let Err(error) = thread.spawn(remove_leftovers) {
            warn!("what kube-proxy left stays: {error}");
        }
    }
}

/// What the configuration says of when to sync.
pub(super) fn intervals(min_sync_period: Duration, sync_period: Duration) -> Intervals {
    Intervals {
        min: min_sync_period,
        retry: sync_period,
        max: Some(ROUTINE),
    }
}

/// Rounded up: a timeout that ends early would spin.
fn until(next: Instant) -> PollTimeout {
    let left = next.saturating_duration_since(Instant::now());
    let millis = left.as_millis().saturating_add(1);
    PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)
}

fn remove_leftovers() {
    match host::remove_leftovers() {
        Ok(places) => places
            .iter()
            .for_each(|place| info!("removed what kube-proxy left: {place}")),
        Err(error) => warn!("{error:#}; remove it with `kube-proxy --cleanup`"),
    }
}
