//! One sync: what changed, rendered, planned and applied.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use fairlead_core::address::Family;
use fairlead_core::api::ObjectName;
use fairlead_core::conntrack::{Suspects, outlives_endpoints};
use fairlead_core::model::Model;
use fairlead_core::report::{Contested, Report, Stages};
use fairlead_core::route::Routes;
use fairlead_core::unserved::UnservedPorts;
use fairlead_kernel::error::CallError;

use super::excluded::Exclusions;
use super::{Changes, Kernel, Mode, Plan, Prior, Synced};

/// One sync on its way.
pub(super) struct Round<'a, M> {
    mode: &'a M,
    model: &'a Model,
    host: &'a [IpAddr],
    families: &'a [Family],
    excluded: &'a Exclusions,
    synced: Synced,
}

impl<'a, M: Mode> Round<'a, M> {
    pub(super) fn new(
        mode: &'a M,
        model: &'a Model,
        host: &'a [IpAddr],
        families: &'a [Family],
        excluded: &'a Exclusions,
    ) -> Round<'a, M> {
        let synced = Synced {
            report: Report::default(),
            suspects: Suspects::default(),
            services: Vec::new(),
        };
        Round {
            mode,
            model,
            host,
            families,
            excluded,
            synced,
        }
    }

    /// The way on from what is known to be installed, for the Services that changed.
    pub(super) fn advance(
        &mut self,
        installed: M::Installed,
        services: &BTreeSet<ObjectName>,
        chores: Option<M::Survey>,
        now: Instant,
    ) -> (M::Plan, M::Installed) {
        let started = Instant::now();
        for service in services {
            for destination in M::destinations(&installed, service) {
                self.synced.suspects.insert_former(destination);
            }
        }
        let prior = || Prior::Installed(&installed);
        let changes = Changes {
            groups: self.render(services.iter(), prior),
            frames: self.frames(),
            chores,
            now,
        };
        self.stage(started, |stages| &mut stages.render);
        let started = Instant::now();
        let plan = M::advance(installed, changes);
        self.stage(started, |stages| &mut stages.plan);
        plan
    }

    /// The way from what was found to all that the model has.
    pub(super) fn rebuild(&mut self, found: M::Found, now: Instant) -> (M::Plan, M::Installed) {
        self.synced.report.full = true;
        let started = Instant::now();
        // An earlier process, or a sync that failed, may have served what is not there any more.
        for destination in M::former(&found) {
            self.synced.suspects.insert_former(destination);
        }
        let changes = Changes {
            groups: self.render(self.model.services(), || Prior::Found(&found)),
            frames: self.frames(),
            chores: None,
            now,
        };
        self.stage(started, |stages| &mut stages.render);
        let started = Instant::now();
        let plan = M::rebuild(found, changes);
        self.stage(started, |stages| &mut stages.plan);
        plan
    }

    pub(super) fn observe(&mut self, kernel: &mut impl Kernel<M>) -> Result<M::Found, CallError> {
        let started = Instant::now();
        let found = kernel.observe(self.families);
        self.stage(started, |stages| &mut stages.observe);
        found
    }

    pub(super) fn apply(
        &mut self,
        kernel: &mut impl Kernel<M>,
        plan: &M::Plan,
    ) -> Result<(), M::Error> {
        self.synced.report.operations = plan.operations();
        if plan.operations() == 0 {
            return Ok(());
        }
        let started = Instant::now();
        let cost = kernel.apply(plan)?;
        self.stage(started, |stages| &mut stages.apply);
        self.synced.report.messages = cost.messages;
        self.synced.report.bytes = cost.bytes;
        Ok(())
    }

    fn render<'s, 'p>(
        &mut self,
        services: impl Iterator<Item = &'s ObjectName>,
        prior: impl Fn() -> Prior<'p, M>,
    ) -> Vec<(ObjectName, Box<[M::Port]>)>
    where
        M: 'p,
    {
        let mut groups = Vec::new();
        for service in services {
            let mut group = Vec::new();
            let routes = match self.excluded.contains(service) {
                true => Vec::new(),
                false => self.model.routes(service),
            };
            let mut unserved = UnservedPorts::default();
            for (family, routes) in routes {
                if self.families.contains(&family) {
                    unserved.count(family, routes.unserved);
                    self.note_contested(&routes);
                    let settings = self.model.settings();
                    group.push(self.mode.render(routes, family, settings, prior()));
                }
            }
            self.note_unserved(service, unserved);
            self.note_suspects(service);
            self.synced.services.push(service.clone());
            groups.push((service.clone(), group.into()));
        }
        groups
    }

    /// What came of it, for the `generation`th time.
    pub(super) fn finish(mut self, generation: u64) -> Synced {
        self.synced.report.generation = generation;
        self.synced.report.services = self.synced.services.len();
        self.synced.report.excluded = self.excluded.told();
        self.synced
    }

    fn note_contested(&mut self, routes: &Routes) {
        let contested = routes
            .contested
            .iter()
            .map(|(destination, owner)| Contested {
                destination: *destination,
                loser: routes.name.clone(),
                owner: owner.clone(),
            });
        self.synced.report.contested.extend(contested);
    }

    fn note_unserved(&mut self, service: &ObjectName, ports: UnservedPorts) {
        let report = &mut self.synced.report;
        if !report.full || !ports.is_none() {
            report.unserved.push((service.clone(), ports));
        }
    }

    /// Most Services are TCP alone: their endpoints need not be gone through again.
    fn note_suspects(&mut self, service: &ObjectName) {
        let mut ports = self.model.ports(service).iter();
        if !ports.any(|port| outlives_endpoints(port.name.protocol)) {
            return;
        }
        for (destinations, serving) in self.model.serving(service) {
            self.synced.suspects.insert(destinations, serving);
        }
    }

    fn frames(&self) -> Vec<M::Frame> {
        let frame = |family: &Family| self.mode.frame(*family, self.model, self.host);
        self.families.iter().map(frame).collect()
    }

    fn stage(&mut self, started: Instant, which: impl Fn(&mut Stages) -> &mut Duration) {
        *which(&mut self.synced.report.stages) += started.elapsed();
    }
}
