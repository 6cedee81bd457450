//! The mode as the engine sees it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Instant;

use fairlead_core::address::Family;
use fairlead_core::api::ObjectName;
use fairlead_core::model::{Destination, Model};
use fairlead_core::route::Routes;
use fairlead_core::settings::Settings;
use fairlead_kernel::nft::handle::{CallError, CommitError, Nft, Refusal};
use fairlead_kernel::nft::ruleset::{Batch, Op};

use super::frame::Frame;
use super::installed::{Changes, Installed};
use super::layout::Slots;
use super::observe::{Finding, understand};
use super::plan::Transactions;
use super::schema::{Role, table};
use super::slots::Slot;
use super::state::PortState;
use crate::engine::{Cost, Kernel, Mode, Prior, SyncError};

/// The nftables mode.
#[derive(Debug, Clone, Copy)]
pub struct Nftables;

/// The tables as they were found.
#[derive(Debug, Default)]
pub struct Findings {
    tables: Vec<(Family, Finding)>,
    /// Endpoints by destination, and the slots they sit in, of all tables.
    slots: HashMap<Destination, Vec<Slot>>,
}

impl Findings {
    /// What was found in each family.
    pub fn new(mut tables: Vec<(Family, Finding)>) -> Findings {
        let mut slots = HashMap::new();
        for (_, finding) in &mut tables {
            if let Finding::Usable(found) = finding {
                slots.extend(std::mem::take(&mut found.slots));
            }
        }
        Findings { tables, slots }
    }

    /// The slots of a service port's endpoints. Destinations that have different pools show
    /// different ones.
    fn slots(&self, routes: &Routes) -> Slots {
        let destinations = routes.routes.iter().map(|route| route.destination);
        let found = destinations.filter_map(|destination| self.slots.get(&destination));
        found.flatten().copied().collect()
    }

    /// No table in any of the families.
    pub fn nothing(families: &[Family]) -> Findings {
        let nothing = |family: &Family| (*family, Finding::Nothing);
        Findings::new(families.iter().map(nothing).collect())
    }
}

impl Mode for Nftables {
    type Port = PortState;
    type Frame = Frame;
    type Found = Findings;
    type Installed = Installed;
    type Survey = ();
    type Plan = Transactions;
    type Error = CommitError;

    fn frame(&self, family: Family, model: &Model, host: &[IpAddr]) -> Frame {
        Frame::of(family, model, host, Role::Proxy)
    }

    fn render(
        &self,
        routes: Routes,
        family: Family,
        settings: &Settings,
        prior: Prior<'_, Nftables>,
    ) -> PortState {
        let before = match prior {
            Prior::Found(found) => found.slots(&routes),
            Prior::Installed(installed) => installed.slots(&routes.name.service, |port| {
                port.name == routes.name && port.family == family
            }),
        };
        super::render(&routes, family, &before, settings.traffic_counters)
    }

    fn rebuild(found: Findings, changes: Changes) -> (Transactions, Installed) {
        Installed::rebuild(found.tables, changes)
    }

    fn advance(installed: Installed, changes: Changes) -> (Transactions, Installed) {
        installed.advance(changes)
    }

    fn former(found: &Findings) -> Vec<Destination> {
        found.slots.keys().copied().collect()
    }

    fn destinations(installed: &Installed, service: &ObjectName) -> Vec<Destination> {
        installed.destinations(service).collect()
    }

    fn chores_due(installed: &Installed) -> Option<Instant> {
        installed.chores_due()
    }

    fn culprits(
        error: &CommitError,
        plan: &Transactions,
        installed: &Installed,
    ) -> Vec<(ObjectName, String)> {
        let CommitError::Refused(refusals) = error else {
            return Vec::new();
        };
        let owner = |refusal: &Refusal| {
            // Of a refused chain no element is told.
            let batch = plan.changes.get(refusal.batch)?;
            let Op::AddElements { set, elements } = batch.ops.get(refusal.op)? else {
                return None;
            };
            let element = elements.get(refusal.element?)?;
            let service = installed.owner(batch.table, set, element)?;
            Some((service.clone(), refusal.to_string()))
        };
        refusals.iter().filter_map(owner).collect()
    }
}

impl<N: Nft> Kernel<Nftables> for N {
    fn observe(&mut self, families: &[Family]) -> Result<Findings, CallError> {
        let look = |family: &Family| {
            let observed = Nft::observe(self, table(*family))?;
            Ok((*family, understand(*family, Role::Proxy, observed)))
        };
        let tables: Result<_, CallError> = families.iter().map(look).collect();
        tables.map(Findings::new)
    }

    fn survey(&mut self, _: &Installed) -> Result<(), CallError> {
        Ok(())
    }

    fn apply(&mut self, plan: &Transactions) -> Result<Cost, CommitError> {
        plan.commit(self)
    }

    fn remove(&mut self) -> Result<bool, SyncError> {
        let mut batches = Vec::new();
        for family in Family::BOTH {
            let table = table(family);
            if Nft::observe(self, table)?.is_some() {
                batches.push(Batch {
                    table,
                    ops: vec![Op::DeleteTable],
                });
            }
        }
        if !batches.is_empty() {
            self.commit(&batches).map_err(SyncError::apply)?;
        }
        Ok(!batches.is_empty())
    }
}
