//! Runs the tests of a binary in network namespaces of their own.

use std::process::ExitCode;

use fairlead_kernel::netns::{self, Netns};
use libtest_mimic::{Arguments, Trial};

/// Tests by their names.
pub(crate) type Tests = &'static [(&'static str, fn())];

/// Runs the tests of these files, by their names.
pub(crate) fn run(files: &[(&'static str, Tests)]) -> ExitCode {
    let arguments = Arguments::from_args();
    // Before there is a second thread.
    let allowed = match Netns::anonymous() {
        Ok(_) => Ok(()),
        Err(_) => netns::become_root_in_private(),
    };
    let allowed = allowed.map_err(|error| format!("{error} ({})", netns::USER_NAMESPACE_HINT));
    let tests = files
        .iter()
        .flat_map(|(file, tests)| tests.iter().map(move |test| (file, *test)));
    let trials = tests.map(|(file, (name, test))| {
        let allowed = allowed.clone();
        Trial::test(format!("{file}::{name}"), move || {
            allowed?;
            test();
            Ok(())
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

/// The functions of a file that are tests, by their names.
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        pub(crate) const TESTS: crate::Tests = &[$((stringify!($name), $name)),*];
    };
}
pub(crate) use tests;
