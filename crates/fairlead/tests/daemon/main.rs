//! Fairlead as a process: starting, stopping, starting again, and what happens around it.
//!
//! Each test has a lab of its own and asks with real packets; what clients of Services meet is in
//! `scenarios/`.

#[path = "../rig/objects.rs"]
mod objects;
#[path = "../rig/mod.rs"]
mod rig;
#[path = "../rig/watch.rs"]
mod watch;

mod churn;
mod configuration;
mod flows;
mod health;
mod input;
mod life;
mod many;
mod metrics;
mod node;
mod parameters;
mod render;
mod sizes;
mod stale;
mod takeover;
mod tampering;
mod traffic;

use std::process::ExitCode;

use fairlead_lab::privilege;
use libtest_mimic::{Arguments, Failed, Trial};

/// So many tests at once: most of their time they wait.
const THREADS: usize = 4;

type Test = (&'static str, fn() -> Result<(), Failed>);

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);
    // Before there is a second thread.
    let allowed = privilege::obtain().map_err(|error| error.to_string());
    let trial = |(name, test): Test| {
        let allowed = allowed.clone();
        Trial::test(name, move || {
            allowed?;
            test()
        })
    };
    let tests = [
        churn::TESTS,
        configuration::TESTS,
        health::TESTS,
        input::TESTS,
        life::TESTS,
        metrics::TESTS,
        node::TESTS,
        parameters::TESTS,
        render::TESTS,
        sizes::TESTS,
        stale::TESTS,
        takeover::TESTS,
        tampering::TESTS,
        traffic::TESTS,
    ];
    libtest_mimic::run(&arguments, tests.concat().into_iter().map(trial).collect()).exit_code()
}

/// A test with the name of its function, in its module.
#[macro_export]
macro_rules! tests {
    ($($test:ident),* $(,)?) => {
        pub(crate) const TESTS: &[$crate::Test] = &[$((concat!(module_path!(), "::", stringify!($test)), $test)),*];
    };
}
