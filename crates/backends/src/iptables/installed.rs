//! What is known to be installed, by what wants it.

use std::collections::{BTreeMap, HashMap};

use fairlead_core::address::Family;
use fairlead_core::api::ObjectName;
use fairlead_core::model::Destination;
use fairlead_core::report::RuleCount;
use fairlead_kernel::iptables::rule::Rule;
use fairlead_kernel::iptables::ruleset::{Batch, Op, Table, TableId};

use super::chains::{ChainRules, PortRules};
use super::frame::Frame;
use super::port::{Group, PortState};
use super::shared::Shared;
use crate::family::kernel_family;

/// What a sync wants to be different.
pub type Changes = crate::engine::Changes<Frame, PortState, ()>;

/// Above so many endpoints in the cluster their rules have no comments, as in kube-proxy.
const MANY_ENDPOINTS: usize = 1000;

/// The rules that are there, by what wants them.
#[derive(Debug, Default)]
pub struct Installed {
    pub(super) frames: BTreeMap<Family, Frame>,
    pub(super) groups: HashMap<ObjectName, Group>,
    /// How many endpoints there are, ready or not, each as often as a service port has it.
    endpoints: BTreeMap<Family, usize>,
    /// How many rules our chains have.
    pub(super) rules: BTreeMap<(Family, Table), usize>,
}

impl Installed {
    /// What a Service is reached by.
    pub fn destinations(&self, service: &ObjectName) -> impl Iterator<Item = Destination> + '_ {
        let ports = self.groups.get(service).into_iter().flatten();
        ports.flat_map(PortState::destinations)
    }

    /// How many rules our chains have, and how many of them a plan writes.
    pub fn rules(&self, plan: &[Batch]) -> Vec<RuleCount> {
        let written = |family, table: Table| {
            let id = TableId {
                family: kernel_family(family),
                table,
            };
            let of_table = plan.iter().filter(|batch| batch.table == id);
            let ops = of_table.flat_map(|batch| &batch.ops);
            let is_hook = |op: &Op| table.built_in().contains(&&**op.chain());
            let writes = |op: &&Op| matches!(op, Op::Append(..) | Op::Insert(..)) && !is_hook(op);
            ops.filter(writes).count()
        };
        let counts = self.rules.iter();
        counts
            .map(|((family, table), total)| RuleCount {
                family: *family,
                table: table.name(),
                total: *total,
                written: written(*family, *table),
            })
            .collect()
    }

    /// The Service that an operation is for. Goes through all of them: for when something went
    /// wrong.
    pub fn owner(&self, table: TableId, op: &Op) -> Option<&ObjectName> {
        let frame = self
            .frames
            .values()
            .find(|frame| kernel_family(frame.family) == table.family)?;
        let wants = |group: &Group| {
            let rules = rules_of(group, frame);
            let own = rules.chains.iter().any(|(chain, _)| chain == op.chain());
            own || rules.shared.iter().any(|(shared, rule)| {
                (shared.table(), shared.chain(), Some(rule))
                    == (table.table, &**op.chain(), op.rule())
            })
        };
        self.groups
            .iter()
            .find(|(_, group)| wants(group))
            .map(|(service, _)| service)
    }

    /// Takes groups in. Returns what each Service had before.
    pub(super) fn take_in(&mut self, groups: Vec<(ObjectName, Group)>) -> Vec<(ObjectName, Group)> {
        let mut former = Vec::with_capacity(groups.len());
        for (service, new) in groups {
            for port in &new {
                *self.endpoints.entry(port.family).or_default() += port.routes.endpoints;
            }
            let old = match new.is_empty() {
                true => self.groups.remove(&service),
                false => self.groups.insert(service.clone(), new),
            };
            let old = old.unwrap_or_default();
            for port in &old {
                *self.endpoints.entry(port.family).or_default() -= port.routes.endpoints;
            }
            former.push((service, old));
        }
        for (service, _) in &former {
            for port in self.groups.get_mut(service).into_iter().flatten() {
                let endpoints = self.endpoints.get(&port.family).copied();
                port.terse = endpoints.unwrap_or_default() > MANY_ENDPOINTS;
            }
        }
        former
    }

    /// Whether there are so many endpoints that their rules have no comments.
    pub fn has_many_endpoints(&self) -> bool {
        self.endpoints.values().any(|count| *count > MANY_ENDPOINTS)
    }

    pub(super) fn rules_of(&self, service: &ObjectName, frame: &Frame) -> ServiceRules {
        let group = self.groups.get(service);
        group
            .map(|group| rules_of(group, frame))
            .unwrap_or_default()
    }

    pub(super) fn recount(&mut self, family: Family, old: &ServiceRules, new: &ServiceRules) {
        for table in [Table::Filter, Table::Nat] {
            let rules = self.rules.entry((family, table)).or_default();
            *rules = *rules + new.count(table) - old.count(table);
        }
    }
}

/// The rules of one Service in one family.
#[derive(Default)]
pub(super) struct ServiceRules {
    pub(super) chains: Vec<ChainRules>,
    pub(super) shared: Vec<(Shared, Rule)>,
}

impl ServiceRules {
    fn count(&self, table: Table) -> usize {
        let shared = self
            .shared
            .iter()
            .filter(|(shared, _)| shared.table() == table);
        let own = self.chains.iter().filter(|_| table == Table::Nat);
        shared.count() + own.map(|(_, rules)| rules.len()).sum::<usize>()
    }
}

pub(super) fn rules_of(group: &Group, frame: &Frame) -> ServiceRules {
    let mut all = ServiceRules::default();
    for port in group.iter().filter(|port| port.family == frame.family) {
        let rules = PortRules { port, frame };
        all.chains.extend(rules.chains());
        all.shared.extend(rules.shared());
    }
    all
}
