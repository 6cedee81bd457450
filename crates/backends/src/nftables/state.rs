//! The kernel objects a Service wants, typed and grouped by Service.

use std::net::IpAddr;

use ipnet::IpNet;

use fairlead_core::address::Family;
use fairlead_core::model::{Destination, ServicePortName};
use fairlead_core::route::Target;

use super::chains::DispatchChain;
use super::layout::Layout;

/// What one Service has in the tables: its ports, in both families.
pub type Group = Box<[PortState]>;

/// What one service port has in the table of its family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortState {
    /// Whose it is.
    pub name: ServicePortName,
    /// In which family's table.
    pub family: Family,
    /// Its endpoints in their slots.
    pub layout: Layout,
    /// The endpoints of this node that could be sent back to themselves.
    pub hairpin: Vec<Target>,
    /// What it is reached by.
    pub destinations: Vec<DestinationState>,
    /// Whether its connections and their packets are counted.
    pub count_traffic: bool,
}

/// What one destination of a service port has in the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestinationState {
    /// The destination.
    pub destination: Destination,
    /// The cluster IP, if the destination is one.
    pub cluster_ip: Option<IpAddr>,
    /// The address, if ipvs mode's device holds it.
    pub device_ip: Option<IpAddr>,
    /// The chain that connections go on to.
    pub service: Option<DispatchChain>,
    /// The chain that connections from outside go on to before.
    pub outside: Option<DispatchChain>,
    /// Who listens for them, in userspace mode.
    pub portals: Option<Portals>,
    /// What becomes of them if there is nowhere to go on.
    pub refused: Option<Refused>,
    /// Who may use it, if not everybody; in as few networks as can say it, sorted, since an
    /// interval set takes no two that overlap.
    pub sources: Option<Vec<IpNet>>,
}

/// The ports of the listeners that a destination's connections are brought to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Portals {
    /// For all.
    pub all: u16,
    /// For pods of this node, if it is another one.
    pub pods: Option<u16>,
    /// For what comes from outside, if it is another one.
    pub outside: Option<u16>,
}

/// How a connection is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The client is told.
    Reject,
    /// It is not.
    Drop,
}

impl PortState {
    /// The dispatch chains that its elements refer to.
    pub fn chains(&self) -> impl Iterator<Item = DispatchChain> + '_ {
        self.destinations
            .iter()
            .flat_map(|state| [state.service, state.outside])
            .flatten()
    }
}
