//! Fairlead in iptables mode, as a process among other programs that write rules.
//!
//! Each test runs with both variants of iptables, in a lab of its own. Which rules there are is in
//! `crates/lab/recorded`, what clients meet in `scenarios/`.

#[path = "../rig/asking.rs"]
mod asking;
#[path = "../rig/echo.rs"]
mod echo;
#[path = "../rig/objects.rs"]
mod objects;
#[path = "../rig/mod.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod rig;
#[path = "../rig/watch.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod watch;

mod documented;
mod flushed;
mod rules;
mod switched;
mod takeover;
mod trials;
mod untouched;
mod writers;

use std::process::ExitCode;

/// So many tests at once.
const THREADS: usize = 3;

fn main() -> ExitCode {
    trials::run(
        THREADS,
        &[
            documented::TESTS,
            flushed::TESTS,
            switched::TESTS,
            takeover::TESTS,
            untouched::TESTS,
            writers::TESTS,
        ],
    )
}
