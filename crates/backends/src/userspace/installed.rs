//! What is known to be installed, and the way from there to what should be.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Instant;

use fairlead_core::address::Family;
use fairlead_core::api::ObjectName;
use fairlead_core::report::Unmet;
use fairlead_kernel::routing::RoutingOp;
use fairlead_relay::handle::{ListenerAddress, Op, Upstream, UpstreamName};

use super::frame::Frame;
use super::port::{Doors, Port, Served, Way, refuse};
use super::ports::Ports;
use super::relayed::{RelayOps, Relayed, has, with_here};
use super::routing::Rerouting;
use super::starved::{Starved, Survey};
use super::steps::Steps;
use crate::nftables::{self, Group, PortState, Portals};
use crate::unheeded::Unheeded;

/// What a sync wants to be different.
pub(super) type Changes = crate::engine::Changes<Frame, Port, Survey>;

/// What is there, by what wants it.
#[derive(Debug, Default)]
pub struct Installed {
    pub(super) rules: nftables::Installed,
    pub(super) frames: BTreeMap<Family, Frame>,
    pub(super) groups: HashMap<ObjectName, Vec<Relayed>>,
    pub(super) ports: Ports,
    pub(super) routing: Rerouting,
    /// What Services ask for in vain.
    pub(super) unheeded: Unheeded,
    /// Services for which no port was left.
    pub(super) starved: Starved,
}

impl Installed {
    /// The way from here to what the changes want.
    pub(super) fn advance(mut self, changes: Changes) -> (Steps, Installed) {
        let mut steps = Steps::default();
        let rules_due = self.rules.chores_due().is_some_and(|at| at <= changes.now);
        let (relay, mut rules) = self.take_in(changes, RelayOps::default());
        rules.chores = rules_due.then_some(());
        (steps.rules, self.rules) = std::mem::take(&mut self.rules).advance(rules);
        (steps.before_rules, steps.after_rules) = (relay.before, relay.after);
        steps.routing = self.reroute();
        steps.ports = self.range();
        (steps, self)
    }

    /// What makes the routing what the frames need.
    pub(super) fn reroute(&mut self) -> Vec<RoutingOp> {
        let wanted = Rerouting::of(self.frames.values());
        let ops = self.routing.exchange(&wanted);
        self.routing = wanted;
        ops
    }

    /// Takes the changes in. Returns what they mean for the relay, besides `ops`, and for the table.
    pub(super) fn take_in(
        &mut self,
        changes: Changes,
        mut ops: RelayOps,
    ) -> (RelayOps, nftables::Changes) {
        let mut rules = nftables::Changes {
            frames: Vec::with_capacity(changes.frames.len()),
            groups: Vec::with_capacity(changes.groups.len()),
            chores: None,
            now: changes.now,
        };
        for frame in changes.frames {
            rules.frames.push(frame.rules.clone());
            self.reframe(frame, &mut ops);
        }
        for (service, ports) in changes.groups {
            let group = self.take_service(&service, ports, &mut ops);
            rules.groups.push((service, group));
        }
        let freed = std::mem::take(&mut ops.freed);
        let vacated = changes.chores.unwrap_or_default();
        let is_busy = self.busy().next().is_some();
        let is_freed = !freed.is_empty();
        self.starved
            .planned(is_freed, vacated, is_busy, changes.now);
        freed.into_iter().for_each(|at| self.ports.free(at));
        (ops, rules)
    }

    /// A Service has other ports now. Returns what they have in the table.
    fn take_service(
        &mut self,
        service: &ObjectName,
        ports: Box<[Port]>,
        ops: &mut RelayOps,
    ) -> Group {
        let mut old = self.groups.remove(service).unwrap_or_default();
        let (mut relayed, mut group, mut why) = (Vec::new(), Vec::new(), None);
        self.starved.remove(service);
        for port in ports {
            why = why.or(port.unheeded);
            let mut state = port.rules;
            if let Some(served) = port.served {
                let old = take(&mut old, &served.name);
                match self.serve(served, old, &mut state, ops) {
                    Ok(it) => relayed.push(it),
                    Err(out_of_ports) => {
                        self.starved.insert(service);
                        why = Some(Unmet::Port(out_of_ports));
                    }
                }
            }
            group.push(state);
        }
        old.into_iter().for_each(|gone| ops.remove(gone));
        self.unheeded.note(service, why);
        if !relayed.is_empty() {
            self.groups.insert(service.clone(), relayed);
        }
        group.into()
    }

    /// Gives a service port its listeners, and its rows their ports.
    ///
    /// # Errors
    /// No port is left. Then all of it is refused.
    fn serve(
        &mut self,
        served: Served,
        old: Option<Relayed>,
        state: &mut PortState,
        ops: &mut RelayOps,
    ) -> Result<Relayed, String> {
        let frame = self.frames.get(&served.name.family);
        let before = old.as_ref().map(|old| &old.listeners);
        let mut listeners = BTreeMap::new();
        for way in served.ways() {
            let had = before.and_then(|before| before.get(&way)).copied();
            let kept = had.filter(|at| frame.is_some_and(|frame| frame.ports.contains(&at.port)));
            let protocol = served.name.port.protocol;
            let new = || self.ports.take(protocol, frame?);
            // One outside the range is better than none.
            let Some(at) = kept.or_else(new).or(had) else {
                let new = listeners.into_iter();
                let new = new.filter(|(way, at)| !has(before, *way, *at));
                new.for_each(|(_, at)| self.ports.free(at));
                old.into_iter().for_each(|gone| ops.remove(gone));
                state.destinations.iter_mut().for_each(refuse);
                return Err(out_of_ports(frame));
            };
            listeners.insert(way, at);
        }
        let is_host = |ip: &IpAddr| frame.is_some_and(|frame| frame.host_ips.contains(ip));
        let now = Relayed {
            upstream: with_here(served.upstream.clone(), is_host),
            on_node: served.upstream.here,
            name: served.name,
            listeners,
        };
        ops.exchange(old, &now);
        lead(state, &served.doors, &now.listeners);
        Ok(now)
    }

    /// A family has another frame: other endpoints may have addresses of the host.
    fn reframe(&mut self, frame: Frame, ops: &mut RelayOps) {
        let family = frame.family();
        let old = self.frames.insert(family, frame);
        let Some(frame) = self.frames.get(&family) else {
            return;
        };
        if old.is_none_or(|old| old.host_ips == frame.host_ips) {
            return;
        }
        let all = self.groups.values_mut().flatten();
        for relayed in all.filter(|it| it.name.family == family && !it.on_node.is_empty()) {
            let all_here = Upstream {
                here: Arc::clone(&relayed.on_node),
                ..relayed.upstream.clone()
            };
            let now = with_here(all_here, |ip| frame.host_ips.contains(ip));
            if now != relayed.upstream {
                relayed.upstream = now.clone();
                ops.before.push(Op::SetUpstream(relayed.name.clone(), now));
            }
        }
    }

    /// The ports that listeners may have, in either family.
    pub(super) fn range(&self) -> Option<RangeInclusive<u16>> {
        Some(self.frames.values().next()?.ports.clone())
    }

    /// The ports that listeners could have, if somebody else did not have them.
    fn busy(&self) -> impl Iterator<Item = ListenerAddress> {
        self.frames.values().flat_map(Frame::busy)
    }

    /// Ports that somebody else had, and that Services could have if they were free.
    pub(super) fn worth_a_look(&self) -> Vec<ListenerAddress> {
        if self.starved.is_empty() {
            return Vec::new();
        }
        let vacated = self.starved.vacated();
        self.busy().filter(|at| !vacated.contains(at)).collect()
    }

    /// When something is to be done that waits.
    pub(super) fn chores_due(&self) -> Option<Instant> {
        let dues = [self.rules.chores_due(), self.starved.due()];
        dues.into_iter().flatten().min()
    }
}

fn take(from: &mut Vec<Relayed>, name: &UpstreamName) -> Option<Relayed> {
    let at = from.iter().position(|it| it.name == *name)?;
    Some(from.swap_remove(at))
}

/// Writes the ports of listeners into the rows of the destinations that lead there.
fn lead(
    state: &mut PortState,
    doors: &[Option<Doors>],
    listeners: &BTreeMap<Way, ListenerAddress>,
) {
    let port = |way: Way| listeners.get(&way).map(|at| at.port);
    for (destination, doors) in state.destinations.iter_mut().zip(doors) {
        let portals = doors.as_ref().and_then(|doors| {
            Some(Portals {
                all: port(doors.all)?,
                pods: doors.pods.and_then(port),
                outside: doors.outside.and_then(port),
            })
        });
        destination.portals = portals;
    }
}

fn out_of_ports(frame: Option<&Frame>) -> String {
    let range = frame.map(|frame| format!(" in {}-{}", frame.ports.start(), frame.ports.end()));
    let range = range.unwrap_or_default();
    format!("no port is left for its listener{range} (--proxy-port-range); it is refused")
}
