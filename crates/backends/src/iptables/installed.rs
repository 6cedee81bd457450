//! What is known to be installed, and the way from there to what should be.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use fairlead_core::address::Family;
use fairlead_core::api::ObjectName;
use fairlead_core::model::Destination;
use fairlead_core::report::RuleCount;
use fairlead_kernel::iptables::handle::ObservedTable;
use fairlead_kernel::iptables::rule::Rule;
use fairlead_kernel::iptables::ruleset::{Batch, ChainName, Op, Table, TableId};

use super::chains::{ChainRules, PortRules};
use super::frame::Frame;
use super::hooks;
use super::plan::{TablePlan, has, kernel_family};
use super::port::{Group, PortState};
use super::shared::{FIREWALL, Shared};

/// What a sync wants to be different.
pub type Changes = crate::engine::Changes<Frame, PortState>;

/// Above so many endpoints in the cluster their rules have no comments, as in kube-proxy.
const MANY_ENDPOINTS: usize = 1000;

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

/// The rules that are there, by what wants them.
#[derive(Debug, Default)]
pub struct Installed {
    frames: BTreeMap<Family, Frame>,
    groups: HashMap<ObjectName, Group>,
    /// How many endpoints there are, ready or not, each as often as a service port has it.
    endpoints: BTreeMap<Family, usize>,
    /// How many rules our chains have.
    rules: BTreeMap<(Family, Table), usize>,
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

    /// The way from here to what the changes want.
    pub fn advance(mut self, changes: Changes) -> (Vec<Batch>, Installed) {
        let frames = std::mem::take(&mut self.frames);
        let former = self.take_in(changes.groups);
        let mut batches = Vec::new();
        for frame in changes.frames {
            let (mut filter, mut nat) = (TablePlan::default(), TablePlan::default());
            match frames.get(&frame.family) {
                Some(before) if *before == frame => {
                    for (service, old) in &former {
                        let new = self.rules_of(service, &frame);
                        let old = rules_of(old, &frame);
                        self.recount(frame.family, &old, &new);
                        exchange(old, new, &mut filter, &mut nat);
                    }
                }
                before => {
                    // All of its Services' chains may say something else now.
                    nat.stale = self.chains_before(before, &former);
                    self.write(&frame, &mut filter, &mut nat);
                }
            }
            batches.push(filter.batch(frame.family, Table::Filter));
            batches.push(nat.batch(frame.family, Table::Nat));
            self.frames.insert(frame.family, frame);
        }
        batches.retain(|batch| !batch.ops.is_empty());
        (batches, self)
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
    fn take_in(&mut self, groups: Vec<(ObjectName, Group)>) -> Vec<(ObjectName, Group)> {
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

    fn rules_of(&self, service: &ObjectName, frame: &Frame) -> ServiceRules {
        let group = self.groups.get(service);
        group
            .map(|group| rules_of(group, frame))
            .unwrap_or_default()
    }

    /// The chains of service ports that there were before.
    fn chains_before(
        &self,
        frame: Option<&Frame>,
        former: &[(ObjectName, Group)],
    ) -> BTreeSet<ChainName> {
        let Some(frame) = frame else {
            return BTreeSet::new();
        };
        let changed: BTreeSet<&ObjectName> = former.iter().map(|(name, _)| name).collect();
        let unchanged = self
            .groups
            .iter()
            .filter(|(name, _)| !changed.contains(name));
        let groups = unchanged.map(|(_, group)| group);
        groups
            .chain(former.iter().map(|(_, group)| group))
            .flat_map(|group| rules_of(group, frame).chains)
            .map(|(chain, _)| chain)
            .collect()
    }

    /// Everything that the tables should have, and how many rules that is.
    fn write(&mut self, frame: &Frame, filter: &mut TablePlan, nat: &mut TablePlan) {
        self.write_filter(frame, filter);
        self.write_nat(frame, nat);
        for (table, plan) in [(Table::Filter, filter), (Table::Nat, nat)] {
            let rules = plan.write.iter().map(|(_, rules)| rules.len()).sum();
            self.rules.insert((frame.family, table), rules);
        }
    }

    fn recount(&mut self, family: Family, old: &ServiceRules, new: &ServiceRules) {
        for table in [Table::Filter, Table::Nat] {
            let rules = self.rules.entry((family, table)).or_default();
            *rules = *rules + new.count(table) - old.count(table);
        }
    }

    /// Everything that the filter table should have.
    fn write_filter(&self, frame: &Frame, plan: &mut TablePlan) {
        for (chain, rules) in frame.filter() {
            plan.write(chain.into(), rules);
        }
        self.write_shared(frame, Table::Filter, plan);
    }

    /// Everything that the nat table should have.
    fn write_nat(&self, frame: &Frame, plan: &mut TablePlan) {
        for (chain, rules) in frame.nat() {
            plan.write(chain.into(), rules);
        }
        self.write_shared(frame, Table::Nat, plan);
        for group in self.groups.values() {
            for (chain, rules) in rules_of(group, frame).chains {
                plan.write(chain, rules);
            }
        }
    }

    /// The chains that Services share, with the rules of the Services in the order of their names.
    fn write_shared(&self, frame: &Frame, table: Table, plan: &mut TablePlan) {
        let mut services: Vec<&ObjectName> = self.groups.keys().collect();
        services.sort_unstable();
        let mut rules: BTreeMap<Shared, Vec<Rule>> = BTreeMap::new();
        for service in services {
            for (shared, rule) in self.rules_of(service, frame).shared {
                rules.entry(shared).or_default().push(rule);
            }
        }
        rules
            .entry(Shared::Services)
            .or_default()
            .extend(frame.dispatch());
        for shared in Shared::ALL
            .into_iter()
            .filter(|shared| shared.table() == table)
        {
            plan.write(
                shared.chain().into(),
                rules.remove(&shared).unwrap_or_default(),
            );
        }
    }
}

/// The rules of one Service in one family.
#[derive(Default)]
struct ServiceRules {
    chains: Vec<ChainRules>,
    shared: Vec<(Shared, Rule)>,
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

fn rules_of(group: &Group, frame: &Frame) -> ServiceRules {
    let mut all = ServiceRules::default();
    for port in group.iter().filter(|port| port.family == frame.family) {
        let rules = PortRules { port, frame };
        all.chains.extend(rules.chains());
        all.shared.extend(rules.shared());
    }
    all
}

/// Plans what makes one Service's rules others. In shared chains its rules go out and come in
/// together, at the head: so they stay in order, and what ends a chain stays at its end.
fn exchange(old: ServiceRules, new: ServiceRules, filter: &mut TablePlan, nat: &mut TablePlan) {
    let mut before: HashMap<ChainName, Vec<Rule>> = old.chains.into_iter().collect();
    for (chain, rules) in new.chains {
        if before.remove(&chain).as_ref() != Some(&rules) {
            nat.write(chain, rules);
        }
    }
    nat.stale.extend(before.into_keys());
    for shared in Shared::ALL {
        let of = |rules: &[(Shared, Rule)]| -> Vec<Rule> {
            let of = rules.iter().filter(|(of, _)| *of == shared);
            of.map(|(_, rule)| rule.clone()).collect()
        };
        let (old, new) = (of(&old.shared), of(&new.shared));
        if old == new {
            continue;
        }
        let plan = match shared.table() {
            Table::Nat => &mut *nat,
            _ => &mut *filter,
        };
        let chain = ChainName::from(shared.chain());
        let remove = old.into_iter().map(|rule| Op::Remove(chain.clone(), rule));
        let insert = new
            .into_iter()
            .rev()
            .map(|rule| Op::Insert(chain.clone(), rule));
        plan.then.extend(remove.chain(insert));
    }
}
