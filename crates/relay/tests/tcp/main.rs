//! Connections over real sockets, in network namespaces.

mod carrying;
mod choosing;
#[path = "../harness/mod.rs"]
mod harness;
mod limits;
mod listening;
mod resets;
mod transparent;
mod world;

use std::process::ExitCode;

pub(crate) use harness::{Tests, tests};

fn main() -> ExitCode {
    harness::run(&[
        ("carrying", carrying::TESTS),
        ("choosing", choosing::TESTS),
        ("limits", limits::TESTS),
        ("listening", listening::TESTS),
        ("resets", resets::TESTS),
        ("transparent", transparent::TESTS),
    ])
}
