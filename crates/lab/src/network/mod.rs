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

mod additions;
mod layout;

use std::path::Path;
use std::process;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use fairlead_kernel::netns::{self, NamedNetns, Netns};

pub use additions::Place;
pub use layout::{NODE_V4, NODE_V6, is_local_pod};
pub(crate) use layout::{outside, outside_allowed};

use crate::{Client, LabError};

/// The names of all namespaces begin so; then follow the process id, a number and a dash.
pub(crate) const PREFIX: &str = "fl-";

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
        network.lay_out()?;
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

    /// The namespace of a client.
    pub fn place_of(&self, client: Client) -> &Netns {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_dead_left_over_is_told_from_what_is_in_use() {
        // The init process lives; process ids end far below the other number (PID_MAX_LIMIT).
        for name in [
            "fl-1-0-n1",
            "fl-1",
            "fl-",
            "fl-x-0-n1",
            "other-4294967295-0-n1",
        ] {
            assert!(!is_left_over(name), "{name}");
        }
        assert!(is_left_over("fl-4294967295-0-n1"));
        assert!(is_left_over(&format!("fl-{}-0-n1", process::id())));
    }
}
