//! The node daemon as it runs in a cluster: the real binary, an API server, real packets.
//!
//! Each test has a lab of its own with an API server in the node's network namespace. What clients
//! of Services meet in all cases is in `scenarios/`; here is what the API has to do with it.

#[path = "../rig/objects.rs"]
mod objects;
#[path = "../rig/proxy.rs"]
mod rig;
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

use fairlead_lab::privilege;
use libtest_mimic::{Arguments, Failed, Trial};

/// So many tests at once: most of their time they wait.
const THREADS: usize = 6;

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
    // Those that take longest begin first.
    let tests = [
        long::TESTS,
        away::TESTS,
        node::TESTS,
        start::TESTS,
        changes::TESTS,
        input::TESTS,
        kubeadm::TESTS,
        live::TESTS,
        told::TESTS,
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
