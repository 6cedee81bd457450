//! Pods and addresses that the network does not have from the start.

use std::net::IpAddr;

use fairlead_core::address::Family;
use fairlead_kernel::error::CallError;
use fairlead_kernel::link::Route;
use ipnet::IpNet;
use nix::libc;

use super::Network;
use super::layout::{Host, OTHER_NODE};
use crate::LabError;

/// Where a pod is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// On the node.
    Node,
    /// On another.
    Elsewhere,
}

impl Network {
    /// Gives the node one more address, by which everybody reaches it. One that it has is fine;
    /// that of the other node is not the other node's any more.
    pub fn add_node_address(&self, address: IpAddr) -> Result<(), LabError> {
        if address == OTHER_NODE.addr() {
            let mut world = Host::open(&self.world)?;
            unless(
                libc::EADDRNOTAVAIL,
                world.0.remove_address("eth0", OTHER_NODE),
            )?;
        }
        let mut node = Host::open(&self.node)?;
        unless(libc::EEXIST, node.0.add_address("eth0", address.into()))
    }

    /// Lets a pod at this address answer as the others do, whatever network the address is of.
    ///
    /// # Errors
    /// `EEXIST` when the address belongs to something else in the network, or to a pod that was
    /// added before.
    pub fn add_pod(&self, address: IpAddr, place: Place) -> Result<(), LabError> {
        let (home, gateway, device) = match (place, Family::of(address)) {
            (Place::Node, Family::V4) => (&self.local_pods, None, "vethp1"),
            (Place::Node, Family::V6) => (&self.local_pods, Some("fe80::2"), "vethp1"),
            (Place::Elsewhere, Family::V4) => (&self.world, Some("192.0.2.1"), "eth0"),
            (Place::Elsewhere, Family::V6) => (&self.world, Some("2001:db8:2::1"), "eth0"),
        };
        let pod = IpNet::from(address).to_string();
        let mut node = Host::open(&self.node)?;
        match gateway {
            None => node.on_link(&pod, device)?,
            Some(gateway) => node.via(&pod, gateway, device)?,
        }
        let mut home = Host::open(home)?;
        let own = Route::local(address.into()).dev("lo");
        unless(libc::EEXIST, home.0.add_route(&own))
    }
}

/// What was so before is fine.
fn unless(already: i32, done: Result<(), CallError>) -> Result<(), LabError> {
    match done {
        Err(error) if error.errno == already => Ok(()),
        done => Ok(done?),
    }
}
