//! What the tests of connections and of datagrams share: each has a network namespace of its own.

pub(crate) mod upstreams;

use std::process::{Child, Command, ExitCode, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

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

/// Longer than anything takes that is not stuck.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// Waits until something is so.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < LONG, "not in time: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// How often an endpoint that never answers may have been tried so long after it was first: again a
/// second after the first failure, two seconds after the next, four after that. A test that is held up
/// comes upon these trials, too.
pub(crate) fn most_failures(since: Instant) -> u64 {
    u64::from((1 + since.elapsed().as_secs()).ilog2()) + 1
}

/// Runs a script, which must succeed.
pub(crate) fn sh(script: &str) {
    let output = output(Command::new("sh").args(["-ec", script]));
    assert!(output.status.success(), "{script}: {output:?}");
}

/// Runs a program to its end.
pub(crate) fn output(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let child = start(command.stderr(Stdio::piped()));
    child.wait_with_output().unwrap()
}

/// Starts a program.
pub(crate) fn start(command: &mut Command) -> Child {
    let _alone = nothing_starts();
    command.spawn().unwrap()
}

/// While this is held no test starts a program. One that starts has copies of all descriptors until it
/// runs (execve(2)): a socket that is closed meanwhile keeps its port.
pub(crate) fn nothing_starts() -> MutexGuard<'static, ()> {
    static STARTING: Mutex<()> = Mutex::new(());
    STARTING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The functions of a file that are tests, by their names.
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        pub(crate) const TESTS: crate::Tests = &[$((stringify!($name), $name)),*];
    };
}
pub(crate) use tests;
