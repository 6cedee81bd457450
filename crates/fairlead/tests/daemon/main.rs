//! Fairlead as a process: starting, stopping, starting again, and what happens around it.
//!
//! Each test has a lab of its own and asks with real packets; what clients of Services meet is in
//! `scenarios/`.

#[path = "../rig/asking.rs"]
mod asking;
#[path = "../rig/echo.rs"]
mod echo;
#[path = "../rig/flows.rs"]
mod flows;
#[path = "../rig/objects.rs"]
mod objects;
#[path = "../rig/mod.rs"]
mod rig;
#[path = "../rig/trials.rs"]
mod trials;
#[path = "../rig/watch.rs"]
mod watch;

mod churn;
mod configuration;
mod fallback;
mod health;
mod input;
mod life;
mod many;
mod metrics;
mod node;
mod node_ports;
mod parameters;
mod render;
mod sizes;
mod stale;
mod takeover;
mod tampering;
mod traffic;
mod userspace;

use std::process::ExitCode;

/// So many tests at once.
const THREADS: usize = 4;

fn main() -> ExitCode {
    trials::run(
        THREADS,
        &[
            churn::TESTS,
            configuration::TESTS,
            fallback::TESTS,
            health::TESTS,
            input::TESTS,
            life::TESTS,
            metrics::TESTS,
            node::TESTS,
            node_ports::TESTS,
            parameters::TESTS,
            render::TESTS,
            sizes::TESTS,
            stale::TESTS,
            takeover::TESTS,
            tampering::TESTS,
            traffic::TESTS,
            userspace::changes::TESTS,
            userspace::choices::TESTS,
            userspace::clashes::TESTS,
            userspace::crowds::TESTS,
            userspace::datagrams::TESTS,
            userspace::ending::TESTS,
            userspace::endpoints::TESTS,
            userspace::following::TESTS,
            userspace::forgotten::TESTS,
            userspace::mending::TESTS,
            userspace::modes::TESTS,
            userspace::sources::TESTS,
            userspace::told::TESTS,
        ],
    )
}
