//! The loop: changes in, syncs out.

use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Instant;

use anyhow::{Context, anyhow, ensure};
use jiff::Timestamp;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tracing::{debug, error, info, warn};

use fairlead_backends::engine::{Engine, Synced};
use fairlead_backends::nftables::table;
use fairlead_core::address::Family;
use fairlead_core::conntrack::NodePortReach;
use fairlead_core::model::Model;
use fairlead_core::report::{Contested, Excluded, Report};
use fairlead_core::schedule::Schedule;
use fairlead_kernel::link::AddressMonitor;
use fairlead_kernel::memory;
use fairlead_kernel::nft::watched::WatchedNft;
use fairlead_source::manifests::Manifests;

use super::Options;
use super::host;
use super::servers::Seen;
use super::sweeper::{self, Sweep};
use crate::http::Alarms;
use crate::metrics::Metrics;

/// Everything the loop owns. One task owns model and engine; others read what it publishes.
pub(super) struct Daemon {
    manifests: Manifests,
    model: Model,
    engine: Engine<WatchedNft>,
    addresses: AddressMonitor,
    host: Vec<IpAddr>,
    schedule: Schedule,
    sweeper: Sender<Sweep>,
    seen: Seen,
    metrics: Arc<Metrics>,
    /// What was said already about contested destinations.
    contested: Vec<Contested>,
    /// What was said already about Services that are left out.
    excluded: Vec<Excluded>,
    /// Whether our rules have taken the place of kube-proxy's.
    in_charge: bool,
}

impl Daemon {
    /// Opens everything that is needed. Nothing is programmed yet.
    pub(super) fn new(
        options: Options,
        families: &[Family],
        seen: Seen,
        metrics: Arc<Metrics>,
    ) -> anyhow::Result<Daemon> {
        let tables: Vec<_> = families.iter().copied().map(table).collect();
        let nft = WatchedNft::open(&tables).context("cannot talk to nf_tables")?;
        let mut model = Model::new(options.settings);
        model.set_started(Timestamp::now().as_nanosecond());
        Ok(Daemon {
            manifests: Manifests::open(&options.manifests)?,
            model,
            engine: Engine::new(nft, families),
            addresses: AddressMonitor::open().context("cannot watch this host's addresses")?,
            host: host::addresses().context("cannot list this host's addresses")?,
            schedule: Schedule::new(options.min_sync_period, options.sync_period),
            sweeper: sweeper::start(Arc::clone(&metrics))?,
            seen,
            metrics,
            contested: Vec::new(),
            excluded: Vec::new(),
            in_charge: false,
        })
    }

    /// Reads everything, syncs and returns.
    pub(super) fn once(&mut self) -> anyhow::Result<()> {
        self.take_changes();
        ensure!(
            self.model.is_complete(),
            "the manifests cannot be read, so nothing was programmed"
        );
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

    fn sync_once(&mut self) -> anyhow::Result<Synced> {
        let synced = self
            .engine
            .sync(&mut self.model, &self.host, Instant::now())?;
        self.note(&synced.report);
        Ok(synced)
    }

    /// Reads everything, then follows what changes.
    pub(super) fn forever(&mut self) -> anyhow::Result<()> {
        let started = Instant::now();
        self.take_changes();
        info!(
            "read {} services in {:?}",
            self.model.services().count(),
            started.elapsed()
        );
        loop {
            let now = Instant::now();
            if self.due().is_some_and(|due| due <= now) {
                self.sync(now);
            }
            self.wait()?;
            if let Some(failure) = self.seen.alarms.as_ref().and_then(Alarms::take) {
                return Err(failure.into());
            }
            self.take_changes();
        }
    }

    /// When to sync next: for what changed, else for the engine's chores.
    fn due(&self) -> Option<Instant> {
        self.schedule.due().or_else(|| self.engine.wants_sync_at())
    }

    /// Waits until something can be read or is due.
    fn wait(&mut self) -> anyhow::Result<()> {
        let manifests = self.manifests.due();
        let next = self.due().map_or(manifests, |due| due.min(manifests));
        // Rounded up: a timeout that ends early would spin.
        let millis = next
            .saturating_duration_since(Instant::now())
            .as_millis()
            .saturating_add(1);
        let timeout = PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX);
        let nft = self.engine.nft();
        let always = [self.manifests.as_fd(), self.addresses.as_fd(), nft.as_fd()];
        let alarms = self.seen.alarms.as_ref().map(AsFd::as_fd);
        let mut readable: Vec<PollFd<'_>> = always
            .into_iter()
            .chain(alarms)
            .map(|fd| PollFd::new(fd, PollFlags::POLLIN))
            .collect();
        match poll(&mut readable, timeout) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(anyhow!(errno).context("cannot wait for changes")),
        }
    }

    fn take_changes(&mut self) {
        let now = Instant::now();
        let (model, mut problems, mut changed) = (&mut self.model, Vec::new(), false);
        let unread = self.manifests.changes(now, &mut |change| {
            changed = true;
            problems.extend(model.apply(change));
        });
        unread.iter().for_each(|problem| warn!("{problem}"));
        problems.iter().for_each(|problem| warn!("{problem}"));
        if changed || !unread.is_empty() {
            let problems = self.manifests.problems().map(ToString::to_string);
            self.seen.health.source(problems);
        }
        // Manifests need not have a Node, and without one nobody means to take it away.
        let eligible = !self.model.node_is_known() || self.model.node_is_eligible();
        self.seen.health.node_eligible(eligible);
        self.seen.health.awaiting(self.model.missing().collect());
        self.metrics.told(&self.model);
        changed |= self.addresses_changed();
        changed |= self.was_touched();
        if changed && self.model.is_complete() {
            self.schedule.request(now);
            self.metrics.queued();
            self.seen
                .health
                .waiting_since(self.schedule.waiting_since());
        }
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

    fn sync(&mut self, now: Instant) {
        let requested = self.schedule.begin();
        let full = self.engine.next_is_full();
        let result = self.engine.sync(&mut self.model, &self.host, now);
        let ended = Instant::now();
        match result {
            Ok(synced) => {
                // A chore that nobody asked for does not keep the next change waiting.
                if requested.is_some() {
                    self.schedule.succeeded(ended);
                }
                let triggers = self.model.settle();
                self.metrics.synced(&synced.report, ended - now, &triggers);
                self.metrics.told(&self.model);
                self.note(&synced.report);
                if synced.report.full {
                    memory::give_back();
                }
                self.seen.health.synced(&synced.report.excluded);
                self.seen.services.synced(&self.model, &self.host, &synced);
                if let Err(error) = self.take_charge() {
                    warn!("what kube-proxy left stays: {error}");
                }
                let sweep = self.sweep(synced);
                if !sweep.suspects.is_empty() && self.sweeper.send(sweep).is_err() {
                    error!("the conntrack thread is gone; stale connections stay");
                }
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

    fn sweep(&self, synced: Synced) -> Sweep {
        let setting = &self.model.settings().node_port_addresses;
        Sweep {
            suspects: synced.suspects,
            node_ports: NodePortReach::new(setting, self.model.node(), &self.host),
        }
    }

    fn note(&mut self, report: &Report) {
        let stages = report.stages;
        let what = format!(
            "sync {}: {} services, {} operations in {} messages; observe {:?}, render {:?}, plan {:?}, apply {:?}",
            report.generation,
            report.services,
            report.operations,
            report.messages,
            stages.observe,
            stages.render,
            stages.plan,
            stages.apply
        );
        if report.full {
            info!("{what}");
        } else {
            debug!("{what}");
        }
        for contested in report
            .contested
            .iter()
            .filter(|contested| !self.contested.contains(contested))
        {
            warn!("{contested}");
        }
        self.contested.clone_from(&report.contested);
        for excluded in report
            .excluded
            .iter()
            .filter(|excluded| !self.excluded.contains(excluded))
        {
            error!("{excluded}");
        }
        self.excluded.clone_from(&report.excluded);
    }

    /// Our rules are in place: kube-proxy's would only contradict them. There may be many, and
    /// nothing waits for them to be gone.
    fn take_charge(&mut self) -> std::io::Result<()> {
        if std::mem::replace(&mut self.in_charge, true) {
            return Ok(());
        }
        thread::Builder::new()
            .name("leftovers".to_owned())
            .spawn(remove_leftovers)
            .map(drop)
    }
}

fn remove_leftovers() {
    match host::remove_leftovers() {
        Ok(places) => places
            .iter()
            .for_each(|place| info!("removed what kube-proxy left: {place}")),
        Err(error) => warn!("{error:#}; remove it with `kube-proxy --cleanup`"),
    }
}
