//! Datagrams over real sockets, brought by rules, in network namespaces.

mod carrying;
mod crowds;
mod elsewhere;
mod leaving;
mod world;

use std::process::ExitCode;

use fairlead_kernel::netns::{self, Netns};
use libtest_mimic::{Arguments, Trial};

type Tests = &'static [(&'static str, fn())];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    // Before there is a second thread.
    let allowed = match Netns::anonymous() {
        Ok(_) => Ok(()),
        Err(_) => netns::become_root_in_private(),
    };
    let allowed = allowed.map_err(|error| format!("{error} ({})", netns::USER_NAMESPACE_HINT));
    let files: [(&str, Tests); 4] = [
        ("carrying", carrying::TESTS),
        ("crowds", crowds::TESTS),
        ("elsewhere", elsewhere::TESTS),
        ("leaving", leaving::TESTS),
    ];
    let tests = files
        .into_iter()
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
