//! The node daemon as it runs in a cluster: the real binary, an API server, real packets.
//!
//! Each test has a lab of its own with an API server in the node's network namespace. What clients
//! of Services meet in all cases is in `scenarios/`; here is what the API has to do with it.

#[path = "../rig/objects.rs"]
mod objects;
#[path = "../rig/proxy.rs"]
mod rig;
#[path = "../rig/trials.rs"]
mod trials;
#[path = "../rig/watch.rs"]
mod watch;

mod away;
mod changes;
mod fixture;
mod footprint;
mod input;
mod kubeadm;
mod live;
mod long;
mod node;
mod snapshot;
mod start;
mod told;
mod world;

use std::process::ExitCode;

/// So many tests at once.
const THREADS: usize = 6;

fn main() -> ExitCode {
    trials::run(
        THREADS,
        &[
            // Those that take longest begin first.
            long::TESTS,
            away::TESTS,
            node::TESTS,
            start::TESTS,
            changes::TESTS,
            input::TESTS,
            kubeadm::TESTS,
            live::TESTS,
            told::TESTS,
        ],
    )
}
