//! Tests by the names of their functions, each with both variants of iptables.

use std::process::ExitCode;

use fairlead_lab::iptables::Variant;
use fairlead_lab::privilege;
use libtest_mimic::{Arguments, Failed, Trial};

/// A test and its name.
pub(crate) type Test = (&'static str, fn(Variant) -> Result<(), Failed>);

/// Runs them, so many at once if the arguments do not say otherwise.
pub(crate) fn run(threads: usize, groups: &[&[Test]]) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(threads);
    // Before there is a second thread.
    let allowed = privilege::obtain().map_err(|error| error.to_string());
    let tests = groups.concat().into_iter();
    let trials = tests.flat_map(|(name, test)| {
        Variant::BOTH.map(|variant| {
            let allowed = allowed.clone();
            Trial::test(format!("{name} ({variant})"), move || {
                allowed?;
                test(variant)
            })
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

/// The tests of a module, each with the name of its function.
#[macro_export]
macro_rules! tests {
    ($($test:ident),* $(,)?) => {
        pub(crate) const TESTS: &[$crate::trials::Test] =
            &[$((concat!(module_path!(), "::", stringify!($test)), $test)),*];
    };
}
