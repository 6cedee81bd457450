//! The way from what was found to what should be there.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use fairlead_core::address::{Family, Protocol};
use fairlead_core::api::ObjectName;
use fairlead_kernel::routing::ObservedRouting;
use fairlead_relay::handle::{self, ListenerAddress};

use super::installed::{Changes, Installed};
use super::port::Way;
use super::relayed::{RelayOps, Relayed};
use super::steps::Steps;
use crate::engine::Mode;
use crate::nftables::{Findings, Nftables};

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// The table.
    pub rules: Findings,
    /// The ports that it leads to.
    pub led: BTreeMap<Family, BTreeSet<u16>>,
    /// What this process does already.
    pub relayed: handle::Relayed,
    /// What keeps packets with the mark on this host.
    pub routing: ObservedRouting,
}

impl Installed {
    /// The way from what was found to what should be there. Listeners keep their ports.
    pub(super) fn rebuild(found: Found, mut changes: Changes) -> (Steps, Installed) {
        let (mut installed, mut steps) = (Installed::default(), Steps::default());
        let mut ops = RelayOps {
            freed: installed.reserve(&found),
            ..RelayOps::default()
        };
        let is_in_range = |at: &ListenerAddress| {
            let mut frames = changes.frames.iter();
            frames.any(|frame| frame.ports.contains(&at.port))
        };
        let surplus = installed.adopt(found.relayed, is_in_range);
        surplus.into_iter().for_each(|at| ops.close(at));
        let wanted: BTreeSet<&ObjectName> = changes.groups.iter().map(|(it, _)| it).collect();
        let gone = installed.groups.keys().filter(|it| !wanted.contains(it));
        let gone: Vec<ObjectName> = gone.cloned().collect();
        let nothing = gone.into_iter().map(|service| (service, Box::default()));
        changes.groups.extend(nothing);
        let (relay, rules) = installed.take_in(changes, ops);
        (steps.rules, installed.rules) = Nftables::rebuild(found.rules, rules);
        (steps.before_rules, steps.after_rules) = (relay.before, relay.after);
        installed.routing = found.routing.into();
        steps.routing = installed.reroute();
        steps.ports = installed.range();
        (steps, installed)
    }

    /// Keeps everybody from the ports that the table of an earlier process leads to, until it does not:
    /// what is brought there is for the Services of that time. Returns them.
    fn reserve(&mut self, found: &Found) -> Vec<ListenerAddress> {
        let ports = found.led.iter();
        let ports = ports.flat_map(|(family, ports)| ports.iter().map(|port| (*family, *port)));
        let both = [Protocol::Tcp, Protocol::Udp];
        let led = ports.flat_map(|(family, port)| {
            both.map(|protocol| ListenerAddress {
                family,
                protocol,
                port,
            })
        });
        let free = |at: &ListenerAddress| !found.relayed.listeners.contains_key(at);
        let led: Vec<_> = led.filter(free).collect();
        led.iter().for_each(|at| self.ports.keep(*at));
        led
    }

    /// Takes over what the relay does. Returns the listeners for which there are others: those that
    /// were to go when a sync failed that moved them.
    fn adopt(
        &mut self,
        relayed: handle::Relayed,
        is_in_range: impl Fn(&ListenerAddress) -> bool,
    ) -> Vec<ListenerAddress> {
        let mut surplus = Vec::new();
        let mut listeners: HashMap<_, BTreeMap<_, _>> = HashMap::new();
        for (at, listener) in relayed.listeners {
            let way = Way {
                pool: listener.pool,
                source: listener.source,
            };
            self.ports.keep(at);
            let of = listeners.entry(listener.upstream).or_default();
            match of.get(&way) {
                Some(other) if is_in_range(other) => surplus.push(at),
                _ => surplus.extend(of.insert(way, at)),
            }
        }
        for (name, upstream) in relayed.upstreams {
            let service = name.port.service.clone();
            let adopted = Relayed {
                listeners: listeners.remove(&name).unwrap_or_default(),
                on_node: Arc::clone(&upstream.here),
                upstream,
                name,
            };
            self.groups.entry(service).or_default().push(adopted);
        }
        surplus
    }
}
