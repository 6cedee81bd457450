//! The network of a lab: a node, pods on it, and the rest of the world.
//!
//! ```text
//!  client pod ──veth── vethpc ┌──────┐
//!                             │ node │ eth0 ──veth── eth0 world: remote pods, another node,
//!  local pods ──veth── vethp1 └──────┘                           clients outside
//! ```
//!
//! Each box is a network namespace. Every pod address answers, whether an object names it or not.
//! Addresses are those that the recorded outcomes were made with; both families are there.

use std::fmt::{self, Display};
use std::net::IpAddr;
use std::path::Path;
use std::process;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use fairlead_core::address::Family;
use fairlead_kernel::netns::{self, NamedNetns, Netns};

use crate::LabError;
use crate::layout::{self, Places};

/// The names of all namespaces begin so; then follow the process id, a number and a dash.
const PREFIX: &str = "fl-";

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
            Client::Outside => Some(layout::outside(family)),
            Client::OutsideAllowed => Some(layout::outside_allowed(family)),
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

/// The namespaces and what joins them. Gone when dropped; what a killed process left over goes
/// when the next network is made.
#[derive(Debug)]
pub struct Network {
    node: NamedNetns,
    client_pod: NamedNetns,
    local_pods: NamedNetns,
    world: NamedNetns,
}

impl Network {
    /// Builds a network with names of its own, so that any number of them can be up.
    pub fn new() -> Result<Network, LabError> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        remove_leftovers();
        let own = format!(
            "{PREFIX}{}-{}-",
            process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let namespace = |place: &str| NamedNetns::create(&format!("{own}{place}"));
        let network = Network {
            node: namespace("n1")?,
            client_pod: namespace("pc")?,
            local_pods: namespace("p1")?,
            world: namespace("net")?,
        };
        layout::lay_out(&Places {
            node: network.node(),
            client_pod: network.client_pod.netns(),
            local_pods: network.local_pods(),
            world: network.world(),
        })?;
        Ok(network)
    }

    /// The node under test.
    pub fn node(&self) -> &Netns {
        self.node.netns()
    }

    /// The pods on the node that can be endpoints.
    pub fn local_pods(&self) -> &Netns {
        self.local_pods.netns()
    }

    /// Pods of other nodes, another node, and clients beyond the node's network.
    pub fn world(&self) -> &Netns {
        self.world.netns()
    }

    /// The node's name for `ip netns exec`.
    pub fn node_name(&self) -> &str {
        self.node.name()
    }

    pub(crate) fn place_of(&self, client: Client) -> &Netns {
        match client {
            Client::Pod => self.client_pod.netns(),
            Client::Node => self.node(),
            Client::Outside | Client::OutsideAllowed => self.world(),
            Client::Hairpin(_) => self.local_pods(),
        }
    }
}

/// Removes the names that processes left over which were killed.
fn remove_leftovers() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for name in netns::list(PREFIX).unwrap_or_default() {
            if is_left_over(&name) {
                // Another process may be doing the same.
                let _ = netns::delete(&name);
            }
        }
    });
}

/// Called before this process makes its first: one with its number is of another process, dead.
fn is_left_over(name: &str) -> bool {
    let number = name
        .strip_prefix(PREFIX)
        .and_then(|rest| rest.split('-').next());
    let Some(Ok(number)) = number.map(str::parse::<u32>) else {
        return false;
    };
    number == process::id() || !Path::new("/proc").join(number.to_string()).exists()
}
