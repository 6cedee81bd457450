//! Who has an address and port when several Services claim it.
//!
//! Addresses can be claimed twice: two Services may list the same external IP, or one may list
//! another's cluster IP. kube-proxy lets the Service it happens to visit last have it. Here a
//! cluster IP comes before a load balancer's address and that before an external IP, so that
//! nobody can take a cluster IP away by listing it; then the older Service, then the name.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::{ServicePort, ServicePortName};
use crate::address::{Family, Protocol};
use crate::api::ObjectName;
use crate::route::Routes;

/// What a packet is addressed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Destination {
    /// One address and port.
    Address(IpAddr, Protocol, u16),
    /// A port of this node's addresses.
    NodePort(Family, Protocol, u16),
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Destination::Address(ip, protocol, port) => {
                write!(f, "{}/{protocol}", SocketAddr::new(*ip, *port))
            }
            Destination::NodePort(family, protocol, port) => {
                write!(f, "{family} node port {port}/{protocol}")
            }
        }
    }
}

/// What kind of address a Service has there. In the order of who wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DestinationKind {
    /// `spec.clusterIPs`.
    ClusterIp,
    /// `spec.ports[].nodePort`.
    NodePort,
    /// `status.loadBalancer.ingress[].ip`.
    LoadBalancer,
    /// `spec.externalIPs`.
    ExternalIp,
}

/// A service port's claim on a destination. Smaller wins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Claim {
    kind: DestinationKind,
    /// Seconds since 1970; a Service without a creation time comes after those that have one.
    created: i64,
    name: ServicePortName,
}

/// All claims by destination, sorted: the first has it.
#[derive(Debug, Default)]
pub(super) struct Claims {
    by_destination: HashMap<Destination, Vec<Claim>>,
    /// How many claims do not win.
    lost: usize,
}

impl Claims {
    /// Adds the claims of a Service's ports. Where they win, marks the Services that lose: all
    /// others at the destination, for each of them says in its routes who has it.
    pub(super) fn assert(
        &mut self,
        ports: &[ServicePort],
        created: Option<i64>,
        dirty: &mut BTreeSet<ObjectName>,
    ) {
        for (destination, claim) in claims(ports, created) {
            let claims = self.by_destination.entry(destination).or_default();
            if let Err(rank) = claims.binary_search(&claim) {
                if rank == 0 {
                    dirty.extend(services(claims));
                }
                self.lost += usize::from(!claims.is_empty());
                // Nearly always the only one.
                claims.reserve_exact(1);
                claims.insert(rank, claim);
            }
        }
    }

    /// Takes the claims of a Service's ports back. Where they had won, marks the Services at the
    /// destination: one gains it, and the others have another winner.
    pub(super) fn withdraw(
        &mut self,
        ports: &[ServicePort],
        created: Option<i64>,
        dirty: &mut BTreeSet<ObjectName>,
    ) {
        for (destination, claim) in claims(ports, created) {
            let Some(claims) = self.by_destination.get_mut(&destination) else {
                continue;
            };
            if let Ok(rank) = claims.binary_search(&claim) {
                claims.remove(rank);
                self.lost -= usize::from(!claims.is_empty());
                if rank == 0 {
                    dirty.extend(services(claims));
                }
            }
            if claims.is_empty() {
                self.by_destination.remove(&destination);
            }
        }
    }

    /// How many claims do not win.
    pub(super) fn lost(&self) -> usize {
        self.lost
    }

    /// Takes out of a port's routes what another service port has, and says which has it.
    pub(super) fn yield_contested(&self, port: &ServicePort, routes: &mut Routes) {
        let mut contested = Vec::new();
        routes
            .routes
            .retain(|route| match self.owner(route.destination) {
                Some(owner) if owner.name != port.name => {
                    contested.push((route.destination, owner.name.clone()));
                    false
                }
                _ => true,
            });
        routes.contested = contested;
    }

    /// Whether a service port has a destination that it claims.
    pub(super) fn grant(&self, destination: Destination, port: &ServicePort) -> bool {
        self.owner(destination)
            .is_some_and(|owner| owner.name == port.name)
    }

    fn owner(&self, destination: Destination) -> Option<&Claim> {
        self.by_destination.get(&destination)?.first()
    }
}

fn services(claims: &[Claim]) -> impl Iterator<Item = ObjectName> + '_ {
    claims.iter().map(|claim| claim.name.service.clone())
}

fn claims(
    ports: &[ServicePort],
    created: Option<i64>,
) -> impl Iterator<Item = (Destination, Claim)> + '_ {
    let created = created.unwrap_or(i64::MAX);
    ports.iter().flat_map(move |port| {
        let claim = move |(destination, kind)| {
            (
                destination,
                Claim {
                    kind,
                    created,
                    name: port.name.clone(),
                },
            )
        };
        destinations(port).into_iter().map(claim)
    })
}

/// Everything a port can be reached by, each once, the most exclusive kind first.
pub(crate) fn destinations(port: &ServicePort) -> Vec<(Destination, DestinationKind)> {
    let protocol = port.name.protocol;
    let at = |ip: IpAddr| Destination::Address(ip, protocol, port.port);
    let mut found = vec![(at(port.cluster_ip), DestinationKind::ClusterIp)];
    let node_port = |number| Destination::NodePort(port.family, protocol, number);
    found.extend(
        port.node_port
            .map(|number| (node_port(number), DestinationKind::NodePort)),
    );
    let balanced = port
        .load_balancer_ips
        .iter()
        .map(|ip| (at(*ip), DestinationKind::LoadBalancer));
    let external = port
        .external_ips
        .iter()
        .map(|ip| (at(*ip), DestinationKind::ExternalIp));
    for (destination, kind) in balanced.chain(external) {
        if found.iter().all(|(known, _)| *known != destination) {
            found.push((destination, kind));
        }
    }
    found
}
