//! What can be set of a relay.

use std::time::Duration;

pub use fairlead_kernel::transparent::Keepalive;

/// How a relay goes about its work. What is changed holds for new connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How long an endpoint has to answer, one after the other. There are as many attempts.
    pub dial_timeouts: Vec<Duration>,
    /// How long a client of datagrams is remembered after the last one.
    pub udp_idle: Duration,
    /// How many connections and clients of datagrams there may be; 0: as many as there are
    /// descriptors for.
    pub max_connections: usize,
    /// How many threads carry, at most [`Settings::MOST_THREADS`]; 0: one a CPU, at most 4. Not
    /// changed while it runs.
    pub threads: usize,
    /// The mark (`SO_MARK`) of what is sent to endpoints, by which rules know not to bring it back;
    /// 0: none.
    pub own_mark: u32,
    /// When peers are asked whether they are still there.
    pub keepalive: Keepalive,
    /// Whether connections that were made to a listener's own address are carried: for where no
    /// rules bring any. With rules they come from somebody who has guessed the port, and are closed.
    pub takes_direct: bool,
}

impl Settings {
    /// More threads than these are of no use to one node.
    pub const MOST_THREADS: usize = 64;
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            dial_timeouts: [250, 500, 1000, 2000].map(Duration::from_millis).to_vec(),
            udp_idle: Duration::from_secs(30),
            max_connections: 0,
            threads: 0,
            own_mark: 0,
            keepalive: Keepalive {
                idle: Duration::from_mins(1),
                interval: Duration::from_secs(15),
                probes: 4,
            },
            takes_direct: false,
        }
    }
}
