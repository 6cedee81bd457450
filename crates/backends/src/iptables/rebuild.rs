//! The way from tables as they were found to what they should be.

use std::collections::BTreeMap;

use fairlead_core::address::Family;
use fairlead_core::api::ObjectName;
use fairlead_kernel::iptables::handle::ObservedTable;
use fairlead_kernel::iptables::rule::Rule;
use fairlead_kernel::iptables::ruleset::{Batch, Table};

use super::frame::Frame;
use super::hooks;
use super::installed::{Changes, Installed};
use super::plan::{TablePlan, has};
use super::shared::{FIREWALL, Shared};

/// The tables as they were found. What is missing is empty.
#[derive(Debug, Default)]
pub struct Found(BTreeMap<(Family, Table), ObservedTable>);

impl Found {
    /// Notes a table.
    pub fn insert(&mut self, family: Family, table: Table, observed: ObservedTable) {
        self.0.insert((family, table), observed);
    }

    fn table(&self, family: Family, table: Table) -> ObservedTable {
        self.0.get(&(family, table)).cloned().unwrap_or_default()
    }
}

impl Installed {
    /// The way from what was found to what should be there: every chain of ours is written anew,
    /// all at once, and those that nothing wants are removed. What others have stays.
    pub fn rebuild(found: &Found, changes: Changes) -> (Vec<Batch>, Installed) {
        let mut installed = Installed::default();
        installed.take_in(changes.groups);
        let mut batches = Vec::new();
        for frame in changes.frames {
            batches.extend(installed.rebuild_family(found, &frame));
            installed.frames.insert(frame.family, frame);
        }
        batches.retain(|batch| !batch.ops.is_empty());
        (batches, installed)
    }

    fn rebuild_family(&mut self, found: &Found, frame: &Frame) -> [Batch; 3] {
        let table = |table| found.table(frame.family, table);
        let (filter, nat, mangle) = (
            table(Table::Filter),
            table(Table::Nat),
            table(Table::Mangle),
        );
        let mut plans = [&filter, &nat, &mangle].map(TablePlan::mending);
        let [filter_plan, nat_plan, _] = &mut plans;
        self.write(frame, filter_plan, nat_plan);
        if !has(&filter, FIREWALL) && !frame.serves_localhost() {
            filter_plan.create.push(FIREWALL.into());
        }
        filter_plan
            .then
            .extend(hooks::missing(Table::Filter, &filter));
        nat_plan.then.extend(hooks::missing(Table::Nat, &nat));
        let [filter_plan, nat_plan, mangle_plan] = plans;
        [
            filter_plan.batch(frame.family, Table::Filter),
            nat_plan.batch(frame.family, Table::Nat),
            mangle_plan.batch(frame.family, Table::Mangle),
        ]
    }

    /// Everything that the tables should have, and how many rules that is. In shared chains, and
    /// among the others, Services are in the order of their names.
    pub(super) fn write(&mut self, frame: &Frame, filter: &mut TablePlan, nat: &mut TablePlan) {
        for (chain, rules) in frame.filter() {
            filter.write(chain.into(), rules);
        }
        for (chain, rules) in frame.nat() {
            nat.write(chain.into(), rules);
        }
        let mut services: Vec<&ObjectName> = self.groups.keys().collect();
        services.sort_unstable();
        let (mut shared, mut own) = (BTreeMap::<Shared, Vec<Rule>>::new(), Vec::new());
        for service in services {
            let rules = self.rules_of(service, frame);
            own.extend(rules.chains);
            for (chain, rule) in rules.shared {
                shared.entry(chain).or_default().push(rule);
            }
        }
        let dispatched = shared.entry(Shared::Services).or_default();
        dispatched.extend(frame.dispatch());
        for chain in Shared::ALL {
            let rules = shared.remove(&chain).unwrap_or_default();
            let plan = match chain.table() {
                Table::Nat => &mut *nat,
                _ => &mut *filter,
            };
            plan.write(chain.chain().into(), rules);
        }
        nat.write.append(&mut own);
        for (table, plan) in [(Table::Filter, filter), (Table::Nat, nat)] {
            let rules = plan.write.iter().map(|(_, rules)| rules.len()).sum();
            self.rules.insert((frame.family, table), rules);
        }
    }
}
