//! The mode as the engine sees it.

use std::net::IpAddr;
use std::time::Instant;

use tracing::warn;

use fairlead_core::address::Family;
use fairlead_core::api::ObjectName;
use fairlead_core::model::{Destination, Model};
use fairlead_core::report::Report;
use fairlead_core::route::Routes;
use fairlead_core::settings::Settings;
use fairlead_kernel::iptables::handle::{ApplyError, CallError, Iptables as Handle};
use fairlead_kernel::iptables::ruleset::{self, Batch, Table, TableId};

use super::frame::{Facts, Frame};
use super::installed::{Changes, Installed};
use super::kept;
use super::port::PortState;
use super::rebuild::Found;
use super::removal;
use crate::engine::{Cost, Kernel, Mode, Plan, Prior, SyncError};
use crate::family::kernel_family;

/// The iptables mode.
#[derive(Debug, Clone, Copy, Default)]
pub struct Iptables {
    /// What this host offers.
    pub facts: Facts,
}

impl Mode for Iptables {
    type Port = PortState;
    type Frame = Frame;
    type Found = Found;
    type Installed = Installed;
    type Survey = ();
    type Plan = Vec<Batch>;
    type Error = ApplyError;

    fn frame(&self, family: Family, model: &Model, host: &[IpAddr]) -> Frame {
        let (settings, node) = (model.settings(), model.node());
        Frame {
            family,
            facts: self.facts,
            mark: settings.masquerade_mark,
            detector: settings.detector(family, node),
            node_ports: settings.node_port_addresses.scope(family, node, host),
        }
    }

    fn render(
        &self,
        routes: Routes,
        family: Family,
        _: &Settings,
        _: Prior<'_, Iptables>,
    ) -> PortState {
        // Whether there are too many endpoints for comments is known when all have been heard of.
        PortState {
            family,
            routes,
            terse: false,
        }
    }

    fn rebuild(found: Found, changes: Changes) -> (Vec<Batch>, Installed) {
        Installed::rebuild(&found, changes)
    }

    fn advance(installed: Installed, changes: Changes) -> (Vec<Batch>, Installed) {
        installed.advance(changes)
    }

    /// The rules of an earlier process are not read.
    fn former(_: &Found) -> Vec<Destination> {
        Vec::new()
    }

    fn destinations(installed: &Installed, service: &ObjectName) -> Vec<Destination> {
        installed.destinations(service).collect()
    }

    /// It would be written, not compared. kube-proxy spares large clusters that, too.
    fn may_compare(installed: &Installed) -> bool {
        !installed.has_many_endpoints()
    }

    fn chores_due(_: &Installed) -> Option<Instant> {
        None
    }

    fn tell(plan: &Vec<Batch>, installed: &Installed, report: &mut Report) {
        report.rules = installed.rules(plan);
    }

    fn culprits(
        error: &ApplyError,
        batches: &Vec<Batch>,
        installed: &Installed,
    ) -> Vec<(ObjectName, String)> {
        let ApplyError::Refused(refusal) = error else {
            return Vec::new();
        };
        let owner = || {
            let batch = batches.get(refusal.batch)?;
            installed.owner(batch.table, batch.ops.get(refusal.op)?)
        };
        owner()
            .map(|service| (service.clone(), refusal.to_string()))
            .into_iter()
            .collect()
    }
}

impl Plan for Vec<Batch> {
    fn operations(&self) -> usize {
        self.iter().map(|batch| batch.ops.len()).sum()
    }
}

impl<I: Handle> Kernel<Iptables> for I {
    fn observe(&mut self, families: &[Family]) -> Result<Found, CallError> {
        let mut found = Found::default();
        for family in families {
            for table in Table::ALL {
                let id = TableId {
                    family: kernel_family(*family),
                    table,
                };
                if let Some(observed) = Handle::observe(self, id)? {
                    found.insert(*family, table, observed);
                }
            }
        }
        Ok(found)
    }

    fn survey(&mut self, _: &Installed) -> Result<(), CallError> {
        Ok(())
    }

    fn apply(&mut self, batches: &Vec<Batch>) -> Result<Cost, ApplyError> {
        let (applied, kept) = kept::apply(self, batches, kept::instead_of_deleting)?;
        for chain in kept.chains() {
            warn!("chain {chain} stays, empty: a rule of another program leads to it");
        }
        Ok(Cost {
            messages: applied.messages,
            bytes: applied.bytes,
        })
    }

    fn remove(&mut self) -> Result<bool, SyncError> {
        removal::remove(self, &[ruleset::Family::Ip, ruleset::Family::Ip6])
    }
}
