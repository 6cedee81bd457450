//! One sync: what changed, rendered, planned and applied.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use fairlead_core::address::Family;
use fairlead_core::api::ObjectName;
use fairlead_core::conntrack::{Suspects, outlives_endpoints};
use fairlead_core::model::{Destination, Model};
use fairlead_core::report::{Contested, Report, Stages};
use fairlead_core::route::{Routes, Target};
use fairlead_core::unserved::UnservedPorts;
use fairlead_kernel::nft::handle::{CallError, CommitError, Nft};
use fairlead_kernel::nft::ruleset::Batch;

use super::Synced;
use super::excluded::Exclusions;
use crate::nftables::{Changes, Finding, Frame, Group, Installed, render, table, understand};

/// One sync on its way.
pub(super) struct Round<'a> {
    model: &'a Model,
    host: &'a [IpAddr],
    families: &'a [Family],
    excluded: &'a Exclusions,
    synced: Synced,
}

impl<'a> Round<'a> {
    pub(super) fn new(
        model: &'a Model,
        host: &'a [IpAddr],
        families: &'a [Family],
        excluded: &'a Exclusions,
    ) -> Round<'a> {
        let synced = Synced {
            report: Report::default(),
            suspects: Suspects::default(),
            services: Vec::new(),
        };
        Round {
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
        installed: Installed,
        services: &BTreeSet<ObjectName>,
        retire: bool,
    ) -> (Vec<Batch>, Installed) {
        let started = Instant::now();
        for service in services {
            for destination in installed.destinations(service) {
                self.synced.suspects.insert_former(destination);
            }
        }
        let groups = self.render(services.iter(), |service, routes, family| {
            installed
                .before(service, |port| {
                    port.name == routes.name && port.family == family
                })
                .to_vec()
        });
        let changes = Changes {
            frames: self.frames(),
            groups,
            retire,
        };
        self.stage(started, |stages| &mut stages.render);
        let started = Instant::now();
        let plan = installed.advance(changes);
        self.stage(started, |stages| &mut stages.plan);
        plan
    }

    /// The way from what was found to all that the model has.
    pub(super) fn rebuild(&mut self, findings: Vec<(Family, Finding)>) -> (Vec<Batch>, Installed) {
        self.synced.report.full = true;
        let started = Instant::now();
        let mut slots: HashMap<Destination, Vec<Target>> = HashMap::new();
        let mut findings = findings;
        for (_, finding) in &mut findings {
            if let Finding::Usable(found) = finding {
                slots.extend(std::mem::take(&mut found.slots));
            }
        }
        // An earlier process, or a sync that failed, may have served what is not there any more.
        for destination in slots.keys() {
            self.synced.suspects.insert_former(*destination);
        }
        let groups = self.render(self.model.services(), |_, routes, _| {
            let before = routes
                .routes
                .iter()
                .find_map(|route| slots.get(&route.destination));
            before.cloned().unwrap_or_default()
        });
        let changes = Changes {
            frames: self.frames(),
            groups,
            retire: false,
        };
        self.stage(started, |stages| &mut stages.render);
        let started = Instant::now();
        let plan = Installed::rebuild(findings, changes);
        self.stage(started, |stages| &mut stages.plan);
        plan
    }

    pub(super) fn observe(
        &mut self,
        nft: &mut impl Nft,
    ) -> Result<Vec<(Family, Finding)>, CallError> {
        let started = Instant::now();
        let look =
            |family: &Family| Ok((*family, understand(*family, nft.observe(table(*family))?)));
        let findings = self.families.iter().map(look).collect();
        self.stage(started, |stages| &mut stages.observe);
        findings
    }

    pub(super) fn apply(
        &mut self,
        nft: &mut impl Nft,
        batches: &[Batch],
    ) -> Result<(), CommitError> {
        self.synced.report.operations = batches.iter().map(Batch::operations).sum();
        if batches.is_empty() {
            return Ok(());
        }
        let started = Instant::now();
        let committed = nft.commit(batches)?;
        self.stage(started, |stages| &mut stages.apply);
        self.synced.report.messages = committed.messages;
        self.synced.report.bytes = committed.bytes;
        Ok(())
    }

    fn render<'s>(
        &mut self,
        services: impl Iterator<Item = &'s ObjectName>,
        before: impl Fn(&ObjectName, &Routes, Family) -> Vec<Target>,
    ) -> Vec<(ObjectName, Group)> {
        let count_traffic = self.model.settings().traffic_counters;
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
                    let before = before(service, &routes, family);
                    group.push(render(&routes, family, &before, count_traffic));
                    unserved.count(family, routes.unserved);
                    self.note_contested(&routes);
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

    fn frames(&self) -> Vec<Frame> {
        let (settings, node) = (self.model.settings(), self.model.node());
        let frame = |family: &Family| Frame {
            family: *family,
            mark: settings.masquerade_mark,
            masquerade_all: settings.masquerade_all,
            detector: settings.detector(*family, node),
            node_ports: settings.node_port_addresses.scope(*family, node, self.host),
            service_cidrs: self.model.service_cidrs(*family),
            count_traffic: settings.traffic_counters,
        };
        self.families.iter().map(frame).collect()
    }

    fn stage(&mut self, started: Instant, which: impl Fn(&mut Stages) -> &mut Duration) {
        *which(&mut self.synced.report.stages) += started.elapsed();
    }
}
