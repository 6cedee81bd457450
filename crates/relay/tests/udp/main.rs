//! Datagrams over real sockets, brought by rules, in network namespaces.

mod carrying;
mod crowds;
mod elsewhere;
#[path = "../harness/mod.rs"]
mod harness;
mod leaving;
mod narrow;
mod world;

use std::process::ExitCode;

pub(crate) use harness::{Tests, tests};

fn main() -> ExitCode {
    harness::run(&[
        ("carrying", carrying::TESTS),
        ("crowds", crowds::TESTS),
        ("elsewhere", elsewhere::TESTS),
        ("leaving", leaving::TESTS),
        ("narrow", narrow::TESTS),
    ])
}
