//! The way from what was found to what should be.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Instant;

use fairlead_core::address::{self, Family};
use fairlead_core::model::Destination;
use fairlead_kernel::ipvs::handle::Op;
use fairlead_kernel::ipvs::server::{
    ObservedReal, Protocol, RealServer, VirtualAddress, VirtualServer,
};
use fairlead_kernel::link::DeviceOp;

use super::exchange::serving;
use super::installed::{Changes, Installed};
use super::leaving::has_connections;
use super::port::{Server, ServerSettings};
use super::steps::Steps;
use crate::engine::Mode;
use crate::nftables::{Findings, Nftables};

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// The companion table.
    pub rules: Findings,
    /// All virtual servers.
    pub servers: Vec<FoundServer>,
    /// The device's addresses; `None` if there is no device.
    pub held: Option<Vec<IpAddr>>,
}

/// A virtual server with its real servers.
#[derive(Debug, Clone)]
pub struct FoundServer {
    /// The virtual server.
    pub server: VirtualServer,
    /// Its real servers.
    pub reals: Vec<ObservedReal>,
}

impl Found {
    /// What was found to be reachable. What the device does not hold is at an address of the
    /// host's own: as far as can be told, a node port.
    pub(super) fn former(&self) -> Vec<Destination> {
        let held: BTreeSet<IpAddr> = self.held.iter().flatten().copied().collect();
        let destination = |found: &FoundServer| {
            let VirtualAddress {
                address,
                protocol,
                port,
            } = found.server.address;
            let protocol = match protocol {
                Protocol::Tcp => address::Protocol::Tcp,
                Protocol::Udp => address::Protocol::Udp,
                Protocol::Sctp => address::Protocol::Sctp,
            };
            match held.contains(&address) {
                true => Destination::Address(address, protocol, port),
                false => Destination::NodePort(Family::of(address), protocol, port),
            }
        };
        self.servers.iter().map(destination).collect()
    }
}

impl Installed {
    /// The way from what was found to what should be there. Whoever made a virtual server that
    /// somebody wants, it and its connections stay.
    pub(super) fn rebuild(found: Found, changes: Changes) -> (Steps, Installed) {
        let (mut installed, mut steps) = (Installed::default(), Steps::default());
        let now = changes.now;
        let (mut before, rules) = installed.take_in(changes, false);
        (steps.rules, installed.rules) = Nftables::rebuild(found.rules, rules);
        for found in found.servers {
            let at = found.server.address;
            if installed.wanted.server(&at).is_some() || !installed.is_others(at.address) {
                let was = installed.adopt(found, now, &mut steps);
                before.servers.insert(at, Some(was));
            }
        }
        if found.held.is_none() {
            steps.device.push(DeviceOp::Create);
        }
        for ip in found.held.into_iter().flatten() {
            if installed.frames.contains_key(&Family::of(ip)) {
                before.ips.insert(ip, true);
            }
        }
        installed.exchange_all(before, now, &mut steps);
        (steps, installed)
    }

    /// Whether virtual servers at an address are not ours to remove.
    fn is_others(&self, ip: IpAddr) -> bool {
        let frame = self.frames.get(&Family::of(ip));
        frame.is_none_or(|frame| frame.excluded.iter().any(|net| net.contains(&ip)))
    }

    /// Takes a virtual server over as it was found. What is wrong with its real servers is planned
    /// to be put right.
    fn adopt(&mut self, found: FoundServer, now: Instant, steps: &mut Steps) -> Server {
        let at = found.server.address;
        let mut serves = Vec::with_capacity(found.reals.len());
        for real in found.reals {
            let RealServer { address, weight } = real.server;
            match (real.translated, weight) {
                (true, 0) if has_connections(at.protocol) => self.leaving.insert(at, address, now),
                (false, _) | (true, 0) => steps.before_rules.push(Op::RemoveReal(at, address)),
                (true, 1) => serves.push(address),
                (true, 2..) => {
                    serves.push(address);
                    steps.before_rules.push(Op::EditReal(at, serving(address)));
                }
            }
        }
        serves.sort_unstable();
        let was = Server {
            settings: ServerSettings::from(&found.server),
            reals: serves.into(),
            closed: false,
        };
        self.recount(at, None, Some(&was));
        was
    }
}
