//! The only sync loop: render, plan, apply, remember.
//!
//! When an apply fails, what is installed is not known any more, and the next sync looks at the
//! kernel first. Nothing is lost by that: the model still has everything.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use thiserror::Error;

use fairlead_core::address::Family;
use fairlead_core::api::ObjectName;
use fairlead_core::conntrack::{Suspects, outlives_endpoints};
use fairlead_core::model::{Destination, Model};
use fairlead_core::report::{Contested, Report, Stages};
use fairlead_core::route::{Routes, Target};
use fairlead_kernel::nft::handle::{CallError, CommitError, Nft};
use fairlead_kernel::nft::ruleset::{Batch, Op};

use crate::nftables::{Changes, Finding, Frame, Group, Installed, render, table, understand};

/// How long a chain that nothing refers to is kept. Before Linux 6.2 the kernel lets go of it a
/// moment after the last element that referred to it.
const CHAIN_LINGERS: Duration = Duration::from_secs(1);

/// Keeps the kernel as the model says it should be.
#[derive(Debug)]
pub struct Engine<N> {
    nft: N,
    families: Vec<Family>,
    /// `None`: not known.
    installed: Option<Installed>,
    applied_at: Option<Instant>,
    generation: u64,
}

/// What came of a sync.
#[derive(Debug)]
pub struct Synced {
    /// What was done.
    pub report: Report,
    /// Destinations whose tracked connections may have outlived their endpoints.
    pub suspects: Suspects,
    /// The Services that were looked at: all of them in a full sync.
    pub services: Vec<ObjectName>,
}

/// A sync that failed. The next looks at the kernel first.
#[derive(Debug, Error)]
pub enum SyncError {
    /// The kernel could not be read.
    #[error("could not read what is installed: {0}")]
    Observe(#[from] CallError),
    /// The kernel took nothing of it.
    #[error("could not apply: {0}")]
    Apply(#[from] CommitError),
}

impl<N: Nft> Engine<N> {
    /// An engine that knows nothing yet of what is installed.
    pub fn new(nft: N, families: &[Family]) -> Engine<N> {
        Engine {
            nft,
            families: families.into(),
            installed: None,
            applied_at: None,
            generation: 0,
        }
    }

    /// The handle to the kernel.
    pub fn nft(&mut self) -> &mut N {
        &mut self.nft
    }

    /// Someone may have changed what is installed: the next sync looks.
    pub fn distrust(&mut self) {
        self.installed = None;
    }

    /// When a sync would have something to do even if nothing changes.
    pub fn wants_sync_at(&self) -> Option<Instant> {
        let idle = self.installed.as_ref()?.has_idle_chains();
        self.applied_at
            .filter(|_| idle)
            .map(|at| at + CHAIN_LINGERS)
    }

    /// Makes the kernel what the model says. `host` are the addresses this host has now.
    pub fn sync(
        &mut self,
        model: &mut Model,
        host: &[IpAddr],
        now: Instant,
    ) -> Result<Synced, SyncError> {
        let mut round = Round::new(model, host, &self.families);
        let (batches, installed) = match self.installed.take() {
            Some(installed) => round.advance(installed, self.may_retire(now)),
            None => {
                let findings = round.observe(&mut self.nft)?;
                round.rebuild(findings)
            }
        };
        round.apply(&mut self.nft, &batches)?;
        if !batches.is_empty() {
            self.applied_at = Some(now);
        }
        self.installed = Some(installed);
        self.generation += 1;
        round.synced.report.generation = self.generation;
        Ok(round.synced)
    }

    /// Removes our tables and all that is in them.
    pub fn remove(&mut self) -> Result<bool, SyncError> {
        self.installed = None;
        let mut batches = Vec::new();
        for family in Family::BOTH {
            let table = table(family);
            if self.nft.observe(table)?.is_some() {
                batches.push(Batch {
                    table,
                    ops: vec![Op::DeleteTable],
                });
            }
        }
        if !batches.is_empty() {
            self.nft.commit(&batches)?;
        }
        Ok(!batches.is_empty())
    }

    fn may_retire(&self, now: Instant) -> bool {
        self.applied_at
            .is_none_or(|at| now.saturating_duration_since(at) >= CHAIN_LINGERS)
    }
}

/// The way from empty tables to what the model says.
pub fn plan_from_nothing(model: &mut Model, host: &[IpAddr], families: &[Family]) -> Vec<Batch> {
    let findings = families
        .iter()
        .map(|family| (*family, Finding::Nothing))
        .collect();
    Round::new(model, host, families).rebuild(findings).0
}

/// One sync on its way.
struct Round<'a> {
    model: &'a mut Model,
    host: &'a [IpAddr],
    families: &'a [Family],
    synced: Synced,
}

impl<'a> Round<'a> {
    fn new(model: &'a mut Model, host: &'a [IpAddr], families: &'a [Family]) -> Round<'a> {
        let synced = Synced {
            report: Report::default(),
            suspects: Suspects::default(),
            services: Vec::new(),
        };
        Round {
            model,
            host,
            families,
            synced,
        }
    }

    /// The way on from what is known to be installed, for the Services that changed.
    fn advance(&mut self, installed: Installed, retire: bool) -> (Vec<Batch>, Installed) {
        let services: Vec<ObjectName> = self.model.take_dirty().into_iter().collect();
        let started = Instant::now();
        for service in &services {
            for destination in installed.destinations(service) {
                self.synced.suspects.insert(destination, []);
            }
        }
        let groups = self.render(services, |service, routes, family| {
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
    fn rebuild(&mut self, findings: Vec<(Family, Finding)>) -> (Vec<Batch>, Installed) {
        self.synced.report.full = true;
        self.model.take_dirty();
        let services: Vec<ObjectName> = self.model.services().cloned().collect();
        let started = Instant::now();
        let mut slots: HashMap<Destination, Vec<Target>> = HashMap::new();
        let mut findings = findings;
        for (_, finding) in &mut findings {
            if let Finding::Usable(found) = finding {
                slots.extend(std::mem::take(&mut found.slots));
            }
        }
        let groups = self.render(services, |_, routes, _| {
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

    fn observe(&mut self, nft: &mut impl Nft) -> Result<Vec<(Family, Finding)>, CallError> {
        let started = Instant::now();
        let look =
            |family: &Family| Ok((*family, understand(*family, nft.observe(table(*family))?)));
        let findings = self.families.iter().map(look).collect();
        self.stage(started, |stages| &mut stages.observe);
        findings
    }

    fn apply(&mut self, nft: &mut impl Nft, batches: &[Batch]) -> Result<(), CommitError> {
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

    fn render(
        &mut self,
        services: Vec<ObjectName>,
        before: impl Fn(&ObjectName, &Routes, Family) -> Vec<Target>,
    ) -> Vec<(ObjectName, Group)> {
        self.synced.report.services = services.len();
        let mut groups = Vec::with_capacity(services.len());
        for service in services {
            let mut group = Vec::new();
            for (family, routes) in self.model.routes(&service) {
                if self.families.contains(&family) {
                    group.push(render(&routes, family, &before(&service, &routes, family)));
                    self.note_contested(&routes);
                }
            }
            self.note_suspects(&service);
            self.synced.services.push(service.clone());
            groups.push((service, group.into()));
        }
        groups
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

    /// Most Services are TCP alone: their endpoints need not be gone through again.
    fn note_suspects(&mut self, service: &ObjectName) {
        let mut ports = self.model.ports(service).iter();
        if !ports.any(|port| outlives_endpoints(port.name.protocol)) {
            return;
        }
        for (destinations, serving) in self.model.serving(service) {
            for destination in destinations {
                self.synced
                    .suspects
                    .insert(destination, serving.iter().copied());
            }
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
        };
        self.families.iter().map(frame).collect()
    }

    fn stage(&mut self, started: Instant, which: impl Fn(&mut Stages) -> &mut Duration) {
        *which(&mut self.synced.report.stages) += started.elapsed();
    }
}
