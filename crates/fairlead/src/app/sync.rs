//! What the daemon does about the kernel: when it syncs, and what follows from a sync.

use std::thread;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use tracing::{error, info, warn};

use fairlead_backends::engine::{SyncError, Synced};
use fairlead_backends::leftovers::{InCharge, Removal};
use fairlead_core::conntrack::NodePortReach;
use fairlead_core::parameters;
use fairlead_core::report::Report;
use fairlead_core::schedule::{Cause, Intervals};
use fairlead_kernel::error::CallError;
use fairlead_kernel::memory;

use super::daemon::Daemon;
use super::host;
use super::sweeper::Sweep;

/// The longest time without looking whether all is as it should be, as in kube-proxy.
const ROUTINE: Duration = Duration::from_hours(1);

impl Daemon {
    /// Something changed.
    pub(super) fn request_sync(&mut self, now: Instant) {
        self.schedule.request(now);
        self.metrics.queued();
        self.seen
            .health
            .waiting_since(self.schedule.waiting_since());
    }

    /// When to sync next: for what changed, else for the engine's chores.
    pub(super) fn due(&self) -> Option<Instant> {
        let scheduled = self.schedule.due().map(|(at, _)| at);
        scheduled.into_iter().chain(self.chore_due()).min()
    }

    /// A chore waits for what changed, with which it is done.
    fn chore_due(&self) -> Option<Instant> {
        let asked = self.schedule.waiting_since().is_some();
        self.engine.wants_sync_at().filter(|_| !asked)
    }

    /// Syncs if it is time.
    pub(super) fn sync_if_due(&mut self) {
        let now = Instant::now();
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        match self.schedule.due() {
            Some((at, cause)) if at <= now => {
                if cause == Cause::Routine {
                    self.engine.routine();
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
                self.tell_impossible(&synced.report);
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

    /// Tells of what Services ask for and this host cannot do, on them and in the log.
    fn tell_impossible(&mut self, report: &Report) {
        let new = self.unheeded.impossible(&report.unheeded);
        for (service, why) in &new {
            warn!("Service {service}: {why}");
        }
        self.tell_services(&new);
    }

    /// What follows from a sync that succeeded.
    fn publish(&mut self, synced: Synced) {
        if synced.report.full {
            memory::give_back();
        }
        self.seen.health.synced(&synced.report.excluded);
        self.seen
            .services
            .synced(&self.model, self.host.all(), &synced);
        self.take_charge();
        let sweep = self.sweep(synced);
        if !sweep.suspects.is_empty() && self.sweeper.send(sweep).is_err() {
            error!("the conntrack thread is gone; stale connections stay");
        }
    }

    /// What a sync made stale.
    pub(super) fn sweep(&self, synced: Synced) -> Sweep {
        let setting = &self.model.settings().node_port_addresses;
        Sweep {
            suspects: synced.suspects,
            node_ports: NodePortReach::new(setting, self.model.node(), self.host.all()),
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
        let (rules, others) = (self.rules, self.others.clone());
        if let Err(error) = thread.spawn(move || remove_leftovers(rules, &others)) {
            warn!("what kube-proxy left stays: {error}");
        }
    }

    /// Whether somebody else changed what is ours, and it is time to mend it.
    pub(super) fn was_touched(&mut self, now: Instant) -> bool {
        let heard = self.engine.watch().heard();
        self.note_touch(heard, now);
        self.look(now);
        let quiet = self.engine.watch().quiet();
        let ends = self.unrest.ends(quiet, now);
        if ends {
            info!("someone else changed our tables; they are mended");
            self.engine.distrust();
        }
        ends
    }

    /// Looks whether somebody else changed what is ours, if it is time and nothing tells.
    fn look(&mut self, now: Instant) {
        let watch = self.engine.watch();
        let Some(period) = watch.period() else {
            return;
        };
        if self.look_at.is_none_or(|at| at <= now) {
            self.look_at = Some(now + period);
            let looked = watch.look();
            self.note_touch(looked, now);
        }
    }

    fn note_touch(&mut self, touched: Result<bool, CallError>, now: Instant) {
        match touched {
            Ok(false) => return,
            Ok(true) => {}
            Err(error) => {
                warn!("changes of our tables may be missed, so they are looked at: {error}");
            }
        }
        self.unrest.note(now);
    }

    /// Syncs, whether or not it is time.
    pub(super) fn sync_once(&mut self) -> anyhow::Result<Synced> {
        let synced = self.program(Instant::now())?;
        self.told.tell(&synced.report);
        self.tell_impossible(&synced.report);
        Ok(synced)
    }

    /// Makes the kernel what the model says. Loopback addresses are routed only as long as the
    /// rules keep neighbours from them.
    fn program(&mut self, now: Instant) -> Result<Synced, SyncError> {
        let wanted = parameters::node_ports(&self.model.settings().node_port_addresses);
        self.localnet.release(&wanted);
        let synced = self.engine.sync(&mut self.model, self.host.all(), now)?;
        self.localnet.apply(&wanted);
        Ok(synced)
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

/// Removes what kube-proxy left. Nothing depends on it.
pub(super) fn remove_leftovers(rules: InCharge, others: &[IpNet]) {
    let Removal { removed, failures } = match host::remove_leftovers(Some(rules), others) {
        Ok(removal) => removal,
        Err(error) => return warn!("what kube-proxy left stays: {error:#}"),
    };
    for place in removed {
        info!("removed {place}");
    }
    for (place, error) in failures {
        warn!("{place} stays: {error}; remove it with `kube-proxy --cleanup`");
    }
}
