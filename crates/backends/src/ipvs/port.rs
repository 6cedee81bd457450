//! What one service port has: virtual servers, addresses, and rows of the companion table.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use fairlead_core::address::{self, Family};
use fairlead_core::model::{Destination, DestinationKind, ServicePortName};
use fairlead_core::report::Unmet;
use fairlead_core::route::{Pool, Route, Routes, Target, Verdict};
use fairlead_core::scheduling::Scheduling;
use fairlead_kernel::ipvs::server::{
    Flags, Protocol, SchedulerName, VirtualAddress, VirtualServer,
};

use super::frame::Frame;
use crate::nftables::{self, render_for_ipvs};

/// What a service port has in the kernel.
#[derive(Debug)]
pub struct Port {
    /// In IPVS and on the device.
    pub(super) servers: PortServers,
    /// In the companion table.
    pub(super) rules: nftables::PortState,
    /// What of its wishes cannot be met.
    pub(super) unheeded: Option<Unmet>,
}

/// The virtual servers of a service port, in one family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PortServers {
    pub(super) name: ServicePortName,
    pub(super) family: Family,
    pub(super) destinations: Vec<DestinationServers>,
}

/// What one destination of a service port has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DestinationServers {
    pub(super) destination: Destination,
    pub(super) kind: DestinationKind,
    pub(super) server: Server,
}

/// A virtual server, wherever it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) settings: ServerSettings,
    /// Sorted.
    pub(super) reals: Arc<[SocketAddr]>,
    /// Rules keep away what comes from outside.
    pub(super) closed: bool,
}

/// How a virtual server does its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ServerSettings {
    pub(super) scheduler: SchedulerName,
    pub(super) flags: Flags,
    pub(super) persistence: Option<u32>,
}

impl ServerSettings {
    pub(super) fn at(self, address: VirtualAddress) -> VirtualServer {
        VirtualServer {
            address,
            scheduler: self.scheduler,
            flags: self.flags,
            persistence: self.persistence,
        }
    }
}

impl From<&VirtualServer> for ServerSettings {
    fn from(server: &VirtualServer) -> ServerSettings {
        ServerSettings {
            scheduler: server.scheduler,
            flags: server.flags,
            persistence: server.persistence,
        }
    }
}

impl Port {
    /// Says the routes of a service port, whose endpoints are chosen as `scheduling` says.
    pub(super) fn render(routes: Routes, family: Family, scheduling: Scheduling) -> Port {
        let rules = render_for_ipvs(&routes, family);
        let settings = ServerSettings {
            // All of them have room: the kernel would not know them else.
            scheduler: SchedulerName::new(scheduling.scheduler.name()).unwrap_or_default(),
            flags: flags(scheduling),
            persistence: routes.affinity_seconds,
        };
        let (cluster, local) = (reals(&routes.cluster), reals(&routes.local));
        let nobody: Arc<[SocketAddr]> = Arc::from([]);
        let server = |route: &Route| Server {
            settings,
            reals: Arc::clone(match route.one_pool() {
                Some(Pool::Cluster) => &cluster,
                Some(Pool::Local) => &local,
                None => &nobody,
            }),
            closed: !matches!(route.verdicts.elsewhere, Verdict::Forward { .. }),
        };
        let destinations = routes.routes.iter().map(|route| DestinationServers {
            destination: route.destination,
            kind: route.kind,
            server: server(route),
        });
        let servers = PortServers {
            family,
            destinations: destinations.collect(),
            name: routes.name,
        };
        Port {
            servers,
            rules,
            unheeded: None,
        }
    }
}

impl PortServers {
    /// The virtual servers, and whether each is at an address of the Service's own.
    pub(super) fn at<'a>(
        &'a self,
        frame: &'a Frame,
    ) -> impl Iterator<Item = (VirtualAddress, bool, &'a Server)> {
        self.destinations.iter().flat_map(move |it| {
            let (ips, protocol, port) = match it.destination {
                Destination::Address(ip, protocol, port) => (Ips::One(ip), protocol, port),
                Destination::NodePort(_, protocol, port) => (Ips::All(frame), protocol, port),
            };
            let own = matches!(ips, Ips::One(_));
            let protocol = kernel_protocol(protocol);
            ips.into_iter().map(move |address| {
                let address = VirtualAddress {
                    address,
                    protocol,
                    port,
                };
                (address, own, &it.server)
            })
        })
    }

    /// The addresses that the device holds for it. What a load balancer or a router sends here may
    /// be the host's already.
    pub(super) fn held<'a>(&'a self, frame: &'a Frame) -> impl Iterator<Item = IpAddr> + 'a {
        self.destinations
            .iter()
            .filter_map(|it| match it.destination {
                Destination::Address(ip, ..) => {
                    let held = it.kind == DestinationKind::ClusterIp || !frame.is_hosts(&ip);
                    held.then_some(ip)
                }
                Destination::NodePort(..) => None,
            })
    }
}

/// Where a destination is.
enum Ips<'a> {
    One(IpAddr),
    All(&'a Frame),
}

impl<'a> Ips<'a> {
    fn into_iter(self) -> impl Iterator<Item = IpAddr> + 'a {
        let (one, all) = match self {
            Ips::One(ip) => (Some(ip), None),
            Ips::All(frame) => (None, Some(frame.node_ips.iter().copied())),
        };
        one.into_iter().chain(all.into_iter().flatten())
    }
}

fn reals(targets: &[Target]) -> Arc<[SocketAddr]> {
    let address = |target: &Target| SocketAddr::new(target.address, target.port);
    let mut reals: Vec<SocketAddr> = targets.iter().map(address).collect();
    reals.sort_unstable();
    reals.into()
}

fn flags(scheduling: Scheduling) -> Flags {
    let given = |is: bool, flag| if is { flag } else { Flags::default() };
    given(scheduling.fallback, Flags::FALLBACK).with(given(scheduling.port, Flags::PORT))
}

fn kernel_protocol(protocol: address::Protocol) -> Protocol {
    match protocol {
        address::Protocol::Tcp => Protocol::Tcp,
        address::Protocol::Udp => Protocol::Udp,
        address::Protocol::Sctp => Protocol::Sctp,
    }
}
