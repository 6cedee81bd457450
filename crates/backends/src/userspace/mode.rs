//! The mode as the engine sees it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use fairlead_core::address::Family;
use fairlead_core::api::ObjectName;
use fairlead_core::model::{Destination, Model};
use fairlead_core::report::Report;
use fairlead_core::route::Routes;
use fairlead_core::settings::Settings;
use fairlead_relay::handle::ListenerAddress;

use super::frame::Frame;
use super::installed::{Changes, Installed};
use super::kernel::ApplyError;
use super::port::Port;
use super::rebuild::Found;
use super::starved::Survey;
use super::steps::Steps;
use crate::engine::{Mode, Prior};
use crate::nftables::Nftables;

/// The userspace mode.
#[derive(Debug, Clone, Default)]
pub struct Userspace {
    /// Where somebody else was seen to listen.
    busy: Arc<BTreeSet<ListenerAddress>>,
}

impl Mode for Userspace {
    type Port = Port;
    type Frame = Frame;
    type Found = Found;
    type Installed = Installed;
    type Survey = Survey;
    type Plan = Steps;
    type Error = ApplyError;

    fn frame(&self, family: Family, model: &Model, host: &[IpAddr]) -> Frame {
        Frame::of(family, model, host, &self.busy)
    }

    fn render(
        &self,
        routes: Routes,
        family: Family,
        settings: &Settings,
        _: Prior<'_, Userspace>,
    ) -> Port {
        Port::render(routes, family, settings.userspace.keep_source)
    }

    fn rebuild(found: Found, changes: Changes) -> (Steps, Installed) {
        Installed::rebuild(found, changes)
    }

    fn advance(installed: Installed, changes: Changes) -> (Steps, Installed) {
        installed.advance(changes)
    }

    /// Nothing is translated, so the kernel remembers nothing that could be wrong now.
    fn former(_: &Found) -> Vec<Destination> {
        Vec::new()
    }

    fn destinations(_: &Installed, _: &ObjectName) -> Vec<Destination> {
        Vec::new()
    }

    fn chores_due(installed: &Installed) -> Option<Instant> {
        installed.chores_due()
    }

    fn again(&mut self, installed: &Installed) -> Vec<ObjectName> {
        let starved = &installed.starved;
        if !starved.vacated().is_empty() {
            Arc::make_mut(&mut self.busy).retain(|at| !starved.vacated().contains(at));
        }
        starved.again().cloned().collect()
    }

    /// Where somebody else listens another port does as well.
    fn learn(&mut self, error: &ApplyError) -> bool {
        let ApplyError::Refused { busy, .. } = error else {
            return false;
        };
        let before = self.busy.len();
        Arc::make_mut(&mut self.busy).extend(busy);
        self.busy.len() > before
    }

    fn forget(&mut self) {
        Arc::make_mut(&mut self.busy).clear();
    }

    fn tell(_: &Steps, installed: &Installed, report: &mut Report) {
        report.unheeded = installed.unheeded.all();
    }

    fn culprits(
        error: &ApplyError,
        plan: &Steps,
        installed: &Installed,
    ) -> Vec<(ObjectName, String)> {
        match error {
            ApplyError::Rules(error) => Nftables::culprits(error, &plan.rules, &installed.rules),
            ApplyError::Call(_) => Vec::new(),
            ApplyError::Refused { refused, .. } => {
                let culprit = |it: &super::Refused| Some((it.service.clone()?, it.to_string()));
                refused.iter().filter_map(culprit).collect()
            }
        }
    }
}
