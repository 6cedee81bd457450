//! What is awaited before the first rules are written, and what the log is told of it.

use std::time::Instant;

use tracing::{info, warn};

use fairlead_core::address::Family;
use fairlead_core::model::Model;
use fairlead_core::start::{Gate, Missing, StartError, StartGate};

/// The time before the first sync.
#[derive(Debug)]
pub(super) struct Start {
    gate: StartGate,
    /// When to ask the gate again, whether or not anything changes.
    ask_at: Option<Instant>,
    /// What the log says that is waited for.
    waits_for: Option<Missing>,
}

impl Start {
    /// For the families that the kernel can serve, with objects from a cluster or from files.
    pub(super) fn new(families: &[Family], of_cluster: bool) -> Start {
        Start {
            gate: StartGate::new(families, of_cluster),
            ask_at: None,
            waits_for: None,
        }
    }

    /// Whether enough is known now.
    pub(super) fn may_begin(&mut self, model: &Model, now: Instant) -> Result<bool, StartError> {
        match self.gate.verdict(model, now) {
            Gate::Go(notice) => {
                if let Some(notice) = notice {
                    warn!("{notice}");
                }
                let services = model.services().count();
                info!("heard of {services} Services; beginning");
                Ok(true)
            }
            Gate::Wait { missing, until } => {
                if self.waits_for.replace(missing) != Some(missing) {
                    info!("waiting for {missing}");
                }
                self.ask_at = until;
                Ok(false)
            }
            Gate::GiveUp(error) => Err(error),
        }
    }

    /// When to ask again even if nothing changes.
    pub(super) fn due(&self) -> Option<Instant> {
        self.ask_at
    }
}
