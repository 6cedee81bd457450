//! The loop: changes in, syncs out.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Instant;

use anyhow::{Context, anyhow, ensure};
use ipnet::IpNet;
use jiff::Timestamp;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tracing::warn;

use fairlead_backends::leftovers::InCharge;
use fairlead_core::address::Family;
use fairlead_core::api::ObjectName;
use fairlead_core::model::Model;
use fairlead_core::report::Unmet;
use fairlead_core::schedule::Schedule;
use fairlead_core::unrest::Unrest;
use fairlead_kernel::sysctl::ProcSys;
use fairlead_relay::RelayHandle;

use super::Options;
use super::host::HostAddresses;
use super::mode::Opened;
use super::parameters::Parameters;
use super::proxier::Proxier;
use super::servers::Seen;
use super::source::Source;
use super::start::Start;
use super::sweeper::{self, Sweep};
use super::sync::{intervals, remove_leftovers};
use super::told::Told;
use super::unheeded::Unheeded;
use crate::config::{ConfigWatch, Mode};
use crate::http::Alarms;
use crate::metrics::Metrics;

/// Everything the loop owns. One task owns model and engine; others read what it publishes.
pub(super) struct Daemon {
    pub(super) source: Source,
    /// Its file, if it has one.
    pub(super) config_watch: Option<ConfigWatch>,
    /// The kernel's parameters of connection tracking.
    pub(super) conntrack: Parameters<ProcSys>,
    /// The mode that runs.
    pub(super) mode: Mode,
    /// The families that are served.
    pub(super) families: Vec<Family>,
    /// Until there is enough known of this node to begin.
    start: Option<Start>,
    pub(super) model: Model,
    pub(super) engine: Box<dyn Proxier>,
    /// Who carries connections, in userspace mode.
    pub(super) relay: Option<RelayHandle>,
    /// What the engine is in charge of.
    pub(super) rules: InCharge,
    /// When to ask whether others changed what is ours, where nothing tells.
    pub(super) look_at: Option<Instant>,
    /// What others changed and is not mended yet.
    pub(super) unrest: Unrest,
    pub(super) host: HostAddresses,
    /// What node ports on localhost need of the kernel.
    pub(super) localnet: Parameters<ProcSys>,
    pub(super) schedule: Schedule,
    pub(super) sweeper: Sender<Sweep>,
    pub(super) seen: Seen,
    pub(super) metrics: Arc<Metrics>,
    pub(super) told: Told,
    pub(super) unheeded: Unheeded,
    /// Whether our rules have taken the place of kube-proxy's.
    pub(super) in_charge: bool,
    /// The key of a taint that goes when the node is served.
    pub(super) startup_taint: Option<String>,
    /// Virtual servers in these networks are others', whatever left the rest.
    pub(super) others: Vec<IpNet>,
}

impl Daemon {
    /// Opens everything else that is needed. Nothing is programmed yet.
    pub(super) fn new(
        options: Options,
        opened: Opened,
        source: Source,
        config_watch: Option<ConfigWatch>,
        conntrack: Parameters<ProcSys>,
        seen: Seen,
        metrics: Arc<Metrics>,
    ) -> anyhow::Result<Daemon> {
        let others = options.others();
        let mut model = Model::new(options.settings);
        model.set_started(Timestamp::now().as_nanosecond());
        Ok(Daemon {
            start: Some(Start::new(&opened.families, source.is_cluster())),
            source,
            config_watch,
            conntrack,
            mode: opened.mode,
            families: opened.families,
            model,
            engine: opened.engine,
            relay: opened.relay,
            rules: opened.in_charge,
            look_at: None,
            unrest: Unrest::default(),
            host: HostAddresses::open()?,
            localnet: Parameters::of_this_host(),
            schedule: Schedule::new(intervals(options.min_sync_period, options.sync_period)),
            sweeper: sweeper::start(Arc::clone(&metrics))?,
            seen,
            metrics,
            told: Told::default(),
            unheeded: Unheeded::default(),
            in_charge: false,
            startup_taint: options.startup_taint,
            others,
        })
    }

    /// Reads everything, syncs and returns.
    pub(super) fn once(&mut self) -> anyhow::Result<()> {
        self.hear_everything()?;
        let synced = self.sync_once()?;
        let swept = sweeper::sweep_once(&self.sweep(synced), &self.metrics);
        remove_leftovers(self.rules, &self.others);
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
            if self.has_begun() {
                return Ok(());
            }
            ensure!(
                self.source.is_cluster(),
                "the manifests cannot be read, so nothing was programmed"
            );
            self.wait()?;
        }
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
        let now = Instant::now();
        let Some(start) = &mut self.start else {
            return Ok(());
        };
        if start.may_begin(&self.model, now)? {
            self.judge_configuration()?;
            self.start = None;
            self.request_sync(now);
        }
        Ok(())
    }

    /// Whether enough was known of this node to begin.
    pub(super) fn has_begun(&self) -> bool {
        self.start.is_none()
    }

    /// Waits until something can be read or is due.
    fn wait(&mut self) -> anyhow::Result<()> {
        let config = self.config_watch.as_ref().map(ConfigWatch::due);
        let start = self.start.as_ref().and_then(Start::due);
        let mending = self.unrest.due(self.engine.watch().quiet());
        let due = [
            self.due(),
            self.source.due(),
            start,
            config,
            self.look_at,
            mending,
        ];
        let timeout = match due.into_iter().flatten().min() {
            Some(next) => until(next),
            None => PollTimeout::NONE,
        };
        let always = [self.source.as_fd(), self.host.as_fd()];
        let touched = self.engine.watch().fds();
        let alarms = self.seen.alarms.as_ref().map(AsFd::as_fd);
        let config = self.config_watch.as_ref().map(AsFd::as_fd);
        let mut readable: Vec<PollFd<'_>> = always
            .into_iter()
            .chain(touched)
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
        let unheeded = self.unheeded.written(self.model.unheeded());
        self.tell_services(&unheeded);
        self.metrics.told(&self.model);
        self.tell_health();
        self.take_configuration(now);
        let mut changed = self.model.has_changed();
        changed |= self.host.changed();
        changed |= self.was_touched(now);
        if changed && self.has_begun() {
            self.request_sync(now);
        }
    }

    /// Records on Services that they ask for what they do not get.
    pub(super) fn tell_services(&self, unheeded: &[(ObjectName, Unmet)]) {
        let node = &self.model.settings().node_name;
        for (service, why) in unheeded {
            self.source.events().does_without(node, service, why);
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
}

/// Rounded up: a timeout that ends early would spin.
fn until(next: Instant) -> PollTimeout {
    let left = next.saturating_duration_since(Instant::now());
    let millis = left.as_millis().saturating_add(1);
    PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)
}
