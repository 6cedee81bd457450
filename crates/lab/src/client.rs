//! Who asks.

use std::fmt::{self, Display};
use std::net::IpAddr;

use fairlead_core::address::Family;

use crate::network;

/// A kind of client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Client {
    /// A pod on the node, no endpoint of anything.
    Pod,
    /// The node itself.
    Node,
    /// Somebody beyond the node's network.
    Outside,
    /// Somebody beyond the node's network, inside the source ranges that recorded cases allow.
    OutsideAllowed,
    /// A pod on the node with this address, which asks for a Service that it is an endpoint of.
    Hairpin(IpAddr),
}

impl Client {
    /// The address it has to use. The kernel chooses where there is nothing to choose.
    pub(crate) fn source(self, family: Family) -> Option<IpAddr> {
        match self {
            Client::Pod | Client::Node => None,
            Client::Outside => Some(network::outside(family)),
            Client::OutsideAllowed => Some(network::outside_allowed(family)),
            Client::Hairpin(address) => Some(address),
        }
    }
}

impl Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Client::Pod => "pod",
            Client::Node => "node",
            Client::Outside => "outside",
            Client::OutsideAllowed => "outside-allowed",
            Client::Hairpin(_) => "hairpin",
        })
    }
}
