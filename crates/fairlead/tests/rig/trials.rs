//! Tests by the names of their functions, as root of what they make.

use std::process::ExitCode;

use fairlead_lab::{privilege, wait_for_a_slow_machine};
use libtest_mimic::{Arguments, Failed, Trial};

/// A test and its name.
pub(crate) type Test = (&'static str, fn() -> Result<(), Failed>);

/// Runs them, so many at once if the arguments do not say otherwise: most of their time they wait.
pub(crate) fn run(threads: usize, groups: &[&[Test]]) -> ExitCode {
    // A third of a second, which was enough for the records, is less than some machines pause for.
    wait_for_a_slow_machine();
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(threads);
    // Before there is a second thread.
    let allowed = privilege::obtain().map_err(|error| error.to_string());
    let trial = |(name, test): Test| {
        let allowed = allowed.clone();
        Trial::test(name, move || {
            allowed?;
            test()
        })
    };
    libtest_mimic::run(&arguments, groups.concat().into_iter().map(trial).collect()).exit_code()
}

/// The tests of a module, each with the name of its function.
#[macro_export]
macro_rules! tests {
    ($($test:ident),* $(,)?) => {
        pub(crate) const TESTS: &[$crate::trials::Test] =
            &[$((concat!(module_path!(), "::", stringify!($test)), $test)),*];
    };
}
