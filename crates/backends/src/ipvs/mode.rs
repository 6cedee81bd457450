//! The mode as the engine sees it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Instant;

use fairlead_core::address::Family;
use fairlead_core::api::ObjectName;
use fairlead_core::model::{Destination, Model};
use fairlead_core::report::{Report, Unmet};
use fairlead_core::route::Routes;
use fairlead_core::scheduling::{Scheduler, Scheduling};
use fairlead_core::settings::Settings;

use super::frame::Frame;
use super::installed::{Changes, Installed, Survey};
use super::kernel::ApplyError;
use super::port::Port;
use super::rebuild::Found;
use super::steps::Steps;
use crate::engine::{Mode, Prior};
use crate::nftables::Nftables;

/// The ipvs mode.
#[derive(Debug, Clone, Default)]
pub struct Ipvs {
    /// Schedulers that this kernel was seen not to have.
    pub missing: BTreeSet<Scheduler>,
}

impl Ipvs {
    /// What is done of what a Service asks for, and what is said if that is something else.
    fn heed(&self, asked: Option<Scheduling>, default: Scheduling) -> (Scheduling, Option<Unmet>) {
        let is_there = |scheduling: &Scheduling| {
            Scheduler::in_ipvs().any(|it| it == scheduling.scheduler)
                && !self.missing.contains(&scheduling.scheduler)
        };
        let instead = || Some(default).filter(is_there).unwrap_or_default();
        match asked {
            None => (instead(), None),
            Some(asked) if is_there(&asked) => (asked, None),
            Some(asked) => {
                let (asked, instead) = (asked.scheduler, instead());
                let why = format!(
                    "scheduler {asked}: the kernel has no module ip_vs_{asked}; {} is used",
                    instead.scheduler
                );
                (instead, Some(Unmet::Scheduler(why)))
            }
        }
    }
}

impl Mode for Ipvs {
    type Port = Port;
    type Frame = Frame;
    type Found = Found;
    type Installed = Installed;
    type Survey = Survey;
    type Plan = Steps;
    type Error = ApplyError;

    fn frame(&self, family: Family, model: &Model, host: &[IpAddr]) -> Frame {
        Frame::of(family, model, host)
    }

    fn render(
        &self,
        routes: Routes,
        family: Family,
        settings: &Settings,
        _: Prior<'_, Ipvs>,
    ) -> Port {
        let (scheduling, unheeded) = self.heed(routes.scheduling, settings.ipvs.scheduling);
        Port {
            unheeded,
            ..Port::render(routes, family, scheduling)
        }
    }

    fn rebuild(found: Found, changes: Changes) -> (Steps, Installed) {
        Installed::rebuild(found, changes)
    }

    fn advance(installed: Installed, changes: Changes) -> (Steps, Installed) {
        installed.advance(changes)
    }

    fn former(found: &Found) -> Vec<Destination> {
        found.former()
    }

    fn destinations(installed: &Installed, service: &ObjectName) -> Vec<Destination> {
        installed.destinations(service).collect()
    }

    fn chores_due(installed: &Installed) -> Option<Instant> {
        installed.chores_due()
    }

    /// The kernel says `ENOENT` when it has no scheduler of a name, and could load none.
    fn learn(&mut self, error: &ApplyError) -> bool {
        let ApplyError::Refused(refused) = error else {
            return false;
        };
        let missing = refused.iter().filter_map(|refused| refused.missing);
        let known = missing.filter_map(|name| {
            Scheduler::in_ipvs().find(|scheduler| scheduler.name() == name.as_str())
        });
        // Nothing can be done instead of the one that all else falls back to.
        let others: Vec<Scheduler> = known.filter(|it| *it != Scheduler::default()).collect();
        let before = self.missing.len();
        self.missing.extend(others);
        self.missing.len() > before
    }

    fn forget(&mut self) {
        self.missing.clear();
    }

    fn tell(_: &Steps, installed: &Installed, report: &mut Report) {
        report.unheeded = installed.unheeded.all();
        report.ipvs = installed.counts();
    }

    fn culprits(
        error: &ApplyError,
        plan: &Steps,
        installed: &Installed,
    ) -> Vec<(ObjectName, String)> {
        match error {
            ApplyError::Rules(error) => Nftables::culprits(error, &plan.rules, &installed.rules),
            ApplyError::Call(_) => Vec::new(),
            ApplyError::Refused(refused) => installed.culprits(refused),
        }
    }
}
