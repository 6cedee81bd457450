//! What is known to be installed, and the way from there to what should be.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::time::Instant;

use fairlead_core::address::Family;
use fairlead_core::api::ObjectName;
use fairlead_core::model::Destination;
use fairlead_core::report::IpvsCount;
use fairlead_kernel::ipvs::server::VirtualAddress;

use super::frame::Frame;
use super::leaving::Leaving;
use super::port::{Port, PortServers, Server};
use super::steps::Steps;
use super::wanted::{Before, Wanted};
use crate::nftables;
use crate::unheeded::Unheeded;

/// What a sync wants to be different.
pub(super) type Changes = crate::engine::Changes<Frame, Port, Survey>;

/// Real servers that were on their way out and have no connection left.
pub type Survey = Vec<(VirtualAddress, SocketAddr)>;

/// The kernel objects that are there, by what wants them.
#[derive(Debug, Default)]
pub struct Installed {
    pub(super) rules: nftables::Installed,
    pub(super) frames: BTreeMap<Family, Frame>,
    pub(super) groups: HashMap<ObjectName, Box<[PortServers]>>,
    pub(super) wanted: Wanted,
    pub(super) leaving: Leaving,
    /// What Services ask for in vain.
    pub(super) unheeded: Unheeded,
    counts: BTreeMap<Family, Counts>,
}

/// How much there is in IPVS, but for what leaves.
#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    servers: usize,
    reals: usize,
}

impl Installed {
    /// The way from here to what the changes want.
    pub(super) fn advance(mut self, mut changes: Changes) -> (Steps, Installed) {
        let now = changes.now;
        let mut steps = Steps::default();
        let idle = changes.chores.take();
        if idle.is_some() {
            self.leaving.looked_at(now);
        }
        let rules_due = self.rules.chores_due().is_some_and(|at| at <= now);
        let (before, rules) = self.take_in(changes, rules_due);
        (steps.rules, self.rules) = std::mem::take(&mut self.rules).advance(rules);
        self.exchange_all(before, now, &mut steps);
        if let Some(idle) = idle {
            self.dismiss(idle, &mut steps);
        }
        (steps, self)
    }

    /// Takes the changes in. Returns what was wanted before of what they touched, and what they
    /// mean for the companion table.
    pub(super) fn take_in(
        &mut self,
        changes: Changes,
        rules_due: bool,
    ) -> (Before, nftables::Changes) {
        let mut before = Before::default();
        let mut rules = nftables::Changes {
            frames: Vec::new(),
            groups: Vec::with_capacity(changes.groups.len()),
            chores: rules_due.then_some(()),
            now: changes.now,
        };
        let mut groups = Vec::with_capacity(changes.groups.len());
        for (service, ports) in changes.groups {
            let why = ports.iter().find_map(|port| port.unheeded.clone());
            self.unheeded.note(&service, why);
            let old = self.groups.remove(&service).unwrap_or_default();
            self.withdraw(&old, &mut before);
            let (servers, of_table): (Vec<_>, Vec<_>) = ports
                .into_iter()
                .map(|port| (port.servers, port.rules))
                .unzip();
            rules.groups.push((service.clone(), of_table.into()));
            groups.push((service, servers.into_boxed_slice()));
        }
        for frame in changes.frames {
            rules.frames.push(frame.rules.clone());
            self.reframe(&frame, &mut before);
        }
        for (service, ports) in groups {
            self.assert(&ports, &mut before);
            if !ports.is_empty() {
                self.groups.insert(service, ports);
            }
        }
        (before, rules)
    }

    /// A family has another frame: node ports may be elsewhere, and other addresses the host's.
    fn reframe(&mut self, frame: &Frame, before: &mut Before) {
        let family = frame.family();
        let is_elsewhere = |old: &Frame| {
            (&old.node_ips, &old.rules.host_ips) != (&frame.node_ips, &frame.rules.host_ips)
        };
        let Some(old) = self.frames.insert(family, frame.clone()) else {
            return;
        };
        if !is_elsewhere(&old) {
            return;
        }
        let ports = self.groups.values().flatten();
        for port in ports.filter(|port| port.family == family) {
            self.wanted.withdraw(port, &old, before);
            self.wanted.assert(port, frame, before);
        }
    }

    fn withdraw(&mut self, ports: &[PortServers], before: &mut Before) {
        for port in ports {
            if let Some(frame) = self.frames.get(&port.family) {
                self.wanted.withdraw(port, frame, before);
            }
        }
    }

    fn assert(&mut self, ports: &[PortServers], before: &mut Before) {
        for port in ports {
            if let Some(frame) = self.frames.get(&port.family) {
                self.wanted.assert(port, frame, before);
            }
        }
    }

    pub(super) fn recount(
        &mut self,
        at: VirtualAddress,
        was: Option<&Server>,
        is: Option<&Server>,
    ) {
        let counts = self.counts.entry(Family::of(at.address)).or_default();
        let reals = |server: Option<&Server>| server.map_or(0, |server| server.reals.len());
        let servers = |server: Option<&Server>| usize::from(server.is_some());
        counts.servers = (counts.servers + servers(is)).saturating_sub(servers(was));
        counts.reals = (counts.reals + reals(is)).saturating_sub(reals(was));
    }

    /// When something is to be done that waits.
    pub(super) fn chores_due(&self) -> Option<Instant> {
        let rules = self.rules.chores_due().into_iter();
        rules.chain(self.leaving.look_at()).min()
    }

    /// The real servers on their way out, by virtual server.
    pub fn leaving(&self) -> impl Iterator<Item = (VirtualAddress, &BTreeSet<SocketAddr>)> {
        self.leaving.iter()
    }

    /// What a Service is reached by.
    pub(super) fn destinations(
        &self,
        service: &ObjectName,
    ) -> impl Iterator<Item = Destination> + '_ {
        let ports = self.groups.get(service).into_iter().flatten();
        ports
            .flat_map(|port| &port.destinations)
            .map(|it| it.destination)
    }

    /// How much there is of each family.
    pub(super) fn counts(&self) -> Vec<IpvsCount> {
        let count = |family: &Family| {
            let counts = self.counts.get(family).copied().unwrap_or_default();
            let leaving = self.leaving.count(*family);
            IpvsCount {
                family: *family,
                virtual_servers: counts.servers,
                real_servers: counts.reals + leaving,
                leaving,
            }
        };
        self.frames.keys().map(count).collect()
    }
}
