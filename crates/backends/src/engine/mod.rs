//! The only sync loop: render, plan, apply, remember.
//!
//! When an apply fails, what is installed is not known any more, and the next sync looks at the
//! kernel first. Nothing is lost by that: the model still has everything.

mod excluded;
mod mode;
mod round;

use std::collections::BTreeSet;
use std::error::Error;
use std::net::IpAddr;
use std::time::Instant;

use thiserror::Error;

use fairlead_core::address::Family;
use fairlead_core::api::ObjectName;
use fairlead_core::conntrack::Suspects;
use fairlead_core::model::Model;
use fairlead_core::report::Report;
use fairlead_kernel::error::CallError;

use excluded::Exclusions;
pub use mode::{Changes, ChangesOf, Cost, Kernel, Mode, Plan, Prior};
use round::Round;

/// How often a sync is tried again without a Service that the kernel refuses.
const WITHOUT: usize = 8;

/// Keeps the kernel as the model says it should be.
#[derive(Debug)]
pub struct Engine<M: Mode, K> {
    mode: M,
    kernel: K,
    families: Vec<Family>,
    /// `None`: not known.
    installed: Option<M::Installed>,
    excluded: Exclusions,
    generation: u64,
}

/// What came of a sync.
#[derive(Debug)]
pub struct Synced {
    /// What was done.
    pub report: Report,
    /// Destinations whose tracked connections may have outlived their endpoints.
    pub suspects: Suspects,
    /// The Services that were looked at: all of them in a full sync.
    pub services: Vec<ObjectName>,
}

/// A sync that failed. The next looks at the kernel first.
#[derive(Debug, Error)]
pub enum SyncError {
    /// The kernel could not be read.
    #[error("could not read what is installed: {0}")]
    Observe(#[from] CallError),
    /// The kernel refused it.
    #[error("could not apply: {0}")]
    Apply(Box<dyn Error + Send + Sync>),
}

impl SyncError {
    /// The kernel refused it, for this reason.
    pub fn apply(reason: impl Error + Send + Sync + 'static) -> SyncError {
        SyncError::Apply(Box::new(reason))
    }
}

impl<M: Mode, K: Kernel<M>> Engine<M, K> {
    /// An engine that knows nothing yet of what is installed.
    pub fn new(mode: M, kernel: K, families: &[Family]) -> Engine<M, K> {
        Engine {
            mode,
            kernel,
            families: families.into(),
            installed: None,
            excluded: Exclusions::default(),
            generation: 0,
        }
    }

    /// The handle to the kernel.
    pub fn kernel(&mut self) -> &mut K {
        &mut self.kernel
    }

    /// Someone may have changed what is installed: the next sync looks.
    pub fn distrust(&mut self) {
        self.installed = None;
    }

    /// Some time has gone by: the next sync looks, where that is not too dear.
    pub fn routine(&mut self) {
        self.mode.forget();
        self.installed = self.installed.take().filter(|it| !M::may_compare(it));
    }

    /// Whether the next sync compares everything with the kernel.
    pub fn next_is_full(&self) -> bool {
        self.installed.is_none()
    }

    /// When a sync would have something to do even if nothing changes.
    pub fn wants_sync_at(&self) -> Option<Instant> {
        let chores = self.installed.as_ref().and_then(M::chores_due);
        chores.into_iter().chain(self.excluded.due()).min()
    }

    /// Makes the kernel what the model says. `host` are the addresses this host has now.
    ///
    /// A Service that the kernel refuses does not keep the others waiting: it is left out, told
    /// in the report, and tried again when it changes or after a while.
    pub fn sync(
        &mut self,
        model: &mut Model,
        host: &[IpAddr],
        now: Instant,
    ) -> Result<Synced, SyncError> {
        let mut services = model.take_dirty();
        services.extend(self.excluded.readmit(&services, now));
        if let Some(installed) = &self.installed {
            services.extend(self.mode.again(installed));
        }
        let before = self.excluded.clone();
        for _ in 0..WITHOUT {
            let looks = self.next_is_full();
            match self.attempt(&services, model, host, now) {
                Err(Failed { learned: true, .. }) => {}
                Err(Failed { culprits, .. }) if !culprits.is_empty() => {
                    // Somebody else may have taken away what was to be changed. Then no Service
                    // is to blame, and the next attempt, which looks first, tells.
                    if looks {
                        self.excluded.exclude(culprits, now);
                    }
                }
                other => return other.map_err(|failed| failed.error),
            }
        }
        self.excluded = before;
        self.attempt(&services, model, host, now)
            .map_err(|failed| failed.error)
    }

    /// One try. Without it being known what is installed, all Services are gone through.
    fn attempt(
        &mut self,
        services: &BTreeSet<ObjectName>,
        model: &Model,
        host: &[IpAddr],
        now: Instant,
    ) -> Result<Synced, Failed> {
        let mut round = Round::new(&self.mode, model, host, &self.families, &self.excluded);
        let (plan, installed) = match self.installed.take() {
            Some(installed) => {
                let is_due = M::chores_due(&installed).is_some_and(|at| at <= now);
                let survey = is_due.then(|| self.kernel.survey(&installed)).transpose()?;
                round.advance(installed, services, survey, now)
            }
            None => {
                let found = round.observe(&mut self.kernel)?;
                round.rebuild(found, now)
            }
        };
        if let Err(error) = round.apply(&mut self.kernel, &plan) {
            return Err(Failed {
                learned: self.mode.learn(&error),
                culprits: M::culprits(&error, &plan, &installed),
                error: SyncError::apply(error),
            });
        }
        let mut synced = round.finish(self.generation + 1);
        M::tell(&plan, &installed, &mut synced.report);
        self.installed = Some(installed);
        self.generation += 1;
        Ok(synced)
    }

    /// Removes all that is ours. False if there was nothing.
    pub fn remove(&mut self) -> Result<bool, SyncError> {
        self.installed = None;
        self.kernel.remove()
    }
}

/// A try that failed, and the Services that it failed for, if it is known.
struct Failed {
    error: SyncError,
    /// The mode knows now what to do otherwise.
    learned: bool,
    culprits: Vec<(ObjectName, String)>,
}

impl From<CallError> for Failed {
    fn from(error: CallError) -> Failed {
        Failed {
            error: error.into(),
            learned: false,
            culprits: Vec::new(),
        }
    }
}

/// The way from `found`, as if it had been found, to what the model says.
pub fn plan_from<M: Mode>(
    mode: &M,
    found: M::Found,
    model: &Model,
    host: &[IpAddr],
    families: &[Family],
) -> M::Plan {
    let excluded = Exclusions::default();
    Round::new(mode, model, host, families, &excluded)
        .rebuild(found, Instant::now())
        .0
}
