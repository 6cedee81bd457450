//! The only sync loop: render, plan, apply, remember.
//!
//! When an apply fails, what is installed is not known any more, and the next sync looks at the
//! kernel first. Nothing is lost by that: the model still has everything.

mod excluded;
mod round;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use thiserror::Error;

use fairlead_core::address::Family;
use fairlead_core::api::ObjectName;
use fairlead_core::conntrack::Suspects;
use fairlead_core::model::Model;
use fairlead_core::report::Report;
use fairlead_kernel::nft::handle::{CallError, CommitError, Nft};
use fairlead_kernel::nft::ruleset::{Batch, Op};

use crate::nftables::{Finding, Installed, table};
use excluded::Exclusions;
use round::Round;

/// How long a chain that nothing refers to is kept. Before Linux 6.2 the kernel lets go of it a
/// moment after the last element that referred to it.
const CHAIN_LINGERS: Duration = Duration::from_secs(1);

/// How often a sync is tried again without a Service that the kernel refuses.
const WITHOUT: usize = 8;

/// Keeps the kernel as the model says it should be.
#[derive(Debug)]
pub struct Engine<N> {
    nft: N,
    families: Vec<Family>,
    /// `None`: not known.
    installed: Option<Installed>,
    excluded: Exclusions,
    applied_at: Option<Instant>,
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
    /// The kernel took nothing of it.
    #[error("could not apply: {0}")]
    Apply(#[from] CommitError),
}

impl<N: Nft> Engine<N> {
    /// An engine that knows nothing yet of what is installed.
    pub fn new(nft: N, families: &[Family]) -> Engine<N> {
        Engine {
            nft,
            families: families.into(),
            installed: None,
            excluded: Exclusions::default(),
            applied_at: None,
            generation: 0,
        }
    }

    /// The handle to the kernel.
    pub fn nft(&mut self) -> &mut N {
        &mut self.nft
    }

    /// Someone may have changed what is installed: the next sync looks.
    pub fn distrust(&mut self) {
        self.installed = None;
    }

    /// Whether the next sync compares everything with the kernel.
    pub fn next_is_full(&self) -> bool {
        self.installed.is_none()
    }

    /// When a sync would have something to do even if nothing changes.
    pub fn wants_sync_at(&self) -> Option<Instant> {
        let idle = self
            .installed
            .as_ref()
            .is_some_and(Installed::has_idle_chains);
        let retire = self
            .applied_at
            .filter(|_| idle)
            .map(|at| at + CHAIN_LINGERS);
        retire.into_iter().chain(self.excluded.due()).min()
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
        let before = self.excluded.clone();
        for _ in 0..WITHOUT {
            match self.attempt(&services, model, host, now) {
                Err(Failed { culprits, .. }) if !culprits.is_empty() => {
                    self.excluded.exclude(culprits, now);
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
        let mut round = Round::new(model, host, &self.families, &self.excluded);
        let (batches, installed) = match self.installed.take() {
            Some(installed) => round.advance(installed, services, self.may_retire(now)),
            None => {
                let findings = round.observe(&mut self.nft)?;
                round.rebuild(findings)
            }
        };
        round
            .apply(&mut self.nft, &batches)
            .map_err(|error| Failed {
                culprits: excluded::culprits(&error, &batches, &installed),
                error: error.into(),
            })?;
        let synced = round.finish(self.generation + 1);
        if !batches.is_empty() {
            self.applied_at = Some(now);
        }
        self.installed = Some(installed);
        self.generation += 1;
        Ok(synced)
    }

    /// Removes our tables and all that is in them.
    pub fn remove(&mut self) -> Result<bool, SyncError> {
        self.installed = None;
        let mut batches = Vec::new();
        for family in Family::BOTH {
            let table = table(family);
            if self.nft.observe(table)?.is_some() {
                batches.push(Batch {
                    table,
                    ops: vec![Op::DeleteTable],
                });
            }
        }
        if !batches.is_empty() {
            self.nft.commit(&batches)?;
        }
        Ok(!batches.is_empty())
    }

    fn may_retire(&self, now: Instant) -> bool {
        self.applied_at
            .is_none_or(|at| now.saturating_duration_since(at) >= CHAIN_LINGERS)
    }
}

/// A try that failed, and the Services that it failed for, if it is known.
struct Failed {
    error: SyncError,
    culprits: Vec<(ObjectName, String)>,
}

impl From<CallError> for Failed {
    fn from(error: CallError) -> Failed {
        Failed {
            error: error.into(),
            culprits: Vec::new(),
        }
    }
}

/// The way from empty tables to what the model says.
pub fn plan_from_nothing(model: &Model, host: &[IpAddr], families: &[Family]) -> Vec<Batch> {
    let findings = families
        .iter()
        .map(|family| (*family, Finding::Nothing))
        .collect();
    let excluded = Exclusions::default();
    Round::new(model, host, families, &excluded)
        .rebuild(findings)
        .0
}
