//! Who wants which virtual server and which address.
//!
//! A node port and a Service with one of the node's addresses may want the same virtual server:
//! then the Service has it. Many ports may want the same address.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use fairlead_kernel::ipvs::server::VirtualAddress;

use super::frame::Frame;
use super::port::{PortServers, Server};

/// What is wanted.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    servers: HashMap<VirtualAddress, Claims>,
    /// By how many.
    ips: HashMap<IpAddr, u32>,
}

/// Who wants a virtual server.
#[derive(Debug, Default)]
struct Claims {
    by_address: Option<Server>,
    by_node_port: Option<Server>,
}

/// What was wanted before some changes, of what they touched.
#[derive(Debug, Default)]
pub(super) struct Before {
    pub(super) servers: BTreeMap<VirtualAddress, Option<Server>>,
    /// Whether somebody wanted it.
    pub(super) ips: BTreeMap<IpAddr, bool>,
}

impl Wanted {
    /// The virtual server at an address.
    pub(super) fn server(&self, at: &VirtualAddress) -> Option<&Server> {
        let claims = self.servers.get(at)?;
        claims.by_address.as_ref().or(claims.by_node_port.as_ref())
    }

    /// Whether somebody wants the device to hold an address.
    pub(super) fn holds(&self, ip: &IpAddr) -> bool {
        self.ips.contains_key(ip)
    }

    /// A port wants its own.
    pub(super) fn assert(&mut self, port: &PortServers, frame: &Frame, before: &mut Before) {
        for (at, own, server) in port.at(frame) {
            self.note(at, before);
            *self.claim(at, own) = Some(server.clone());
        }
        for ip in port.held(frame) {
            before.ips.entry(ip).or_insert(self.ips.contains_key(&ip));
            *self.ips.entry(ip).or_insert(0) += 1;
        }
    }

    /// A port does not want what it wanted in this frame any more.
    pub(super) fn withdraw(&mut self, port: &PortServers, frame: &Frame, before: &mut Before) {
        for (at, own, _) in port.at(frame) {
            self.note(at, before);
            *self.claim(at, own) = None;
            let is_unwanted =
                |claims: &Claims| claims.by_address.is_none() && claims.by_node_port.is_none();
            if self.servers.get(&at).is_some_and(is_unwanted) {
                self.servers.remove(&at);
            }
        }
        for ip in port.held(frame) {
            before.ips.entry(ip).or_insert(self.ips.contains_key(&ip));
            if let Some(count) = self.ips.get_mut(&ip) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.ips.remove(&ip);
                }
            }
        }
    }

    fn note(&self, at: VirtualAddress, before: &mut Before) {
        let now = || self.server(&at).cloned();
        before.servers.entry(at).or_insert_with(now);
    }

    fn claim(&mut self, at: VirtualAddress, own: bool) -> &mut Option<Server> {
        let claims = self.servers.entry(at).or_default();
        match own {
            true => &mut claims.by_address,
            false => &mut claims.by_node_port,
        }
    }
}
