//! Fairlead on Debian's kernel, which is older than most and has SCTP and IPVS.
//!
//! Each test switches a machine on, see `fairlead_lab::Machine`, and runs itself in it. Where
//! `scripts/vm-setup` has not been run they are skipped, unless `FAIRLEAD_VM=1` or `CI` say that
//! they must not be.

mod chains;
mod conformance;
mod device;
mod ipvs;
mod ipvs_handle;
mod leftovers;
mod many;
mod scenarios;
mod sctp;

#[path = "../rig/asking.rs"]
mod asking;
#[path = "../rig/flows.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod flows;
#[path = "../scenarios/happening.rs"]
mod happening;
#[path = "../../../kernel/tests/ipvs/cases.rs"]
mod ipvs_cases;
#[path = "../scenarios/modes.rs"]
mod modes;
#[path = "../rig/objects.rs"]
mod objects;
#[path = "../scenarios/question.rs"]
mod question;
#[path = "../rig/recorded.rs"]
mod recorded;
#[path = "../rig/mod.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod rig;
#[path = "../scenarios/scenario.rs"]
mod scenario;
#[path = "../rig/watch.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod watch;

use std::env;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use fairlead_lab::{Machine, wait_for_a_slow_machine};
use libtest_mimic::{Arguments, Failed, Trial};

/// A test and its name.
type Test = (&'static str, fn() -> Result<(), Failed>);

/// What runs in the machine, besides what is about ipvs mode.
const TESTS: &[Test] = &[
    ("chains_that_nothing_uses_go", chains::go_when_unused),
    ("clients_meet_what_was_recorded", conformance::is_met),
    ("dummy_device_holds_addresses", device::holds_addresses),
    (
        "iptables_has_what_was_recorded",
        conformance::is_met_by_iptables,
    ),
    (
        "ipvs_answers_as_the_fake_does",
        ipvs_handle::answers_as_the_fake_does,
    ),
    (
        "ipvs_is_loaded_when_it_is_asked",
        ipvs_handle::is_loaded_when_it_is_asked,
    ),
    (
        "ipvs_is_loaded_with_a_match_of_iptables",
        ipvs_handle::is_loaded_with_a_match,
    ),
    ("kube_proxys_ipvs_mode_is_cleaned_up", leftovers::of_ipvs_go),
    ("sctp_is_forwarded", sctp::is_forwarded),
    (
        "userspace_has_what_was_recorded",
        conformance::is_met_by_userspace,
    ),
];

fn tests() -> impl Iterator<Item = Test> {
    TESTS.iter().chain(ipvs::TESTS).copied()
}

/// Where `scripts/vm-setup` puts the machine.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/vm");

/// Says in the machine which test to run.
const INSIDE: &str = "FAIRLEAD_VM_TEST";

/// Part of the names of what alone is to be seen, where one test is about many things: recorded cases,
/// scenarios, and what the tests of ipvs mode are made of.
const ONLY: &str = "FAIRLEAD_VM_ONLY";

/// Runs the first of some programs, after the machine has made copies of them all, as it does of what
/// is opened for writing: somebody may build anew meanwhile.
const FROM_COPIES: &str = r#"for file in "$0" "$@"; do : >>"$file"; done; exec "$0""#;

/// For a test that hangs, with booting. They take two minutes at most on a host that does nothing
/// else, and many times that on one that is busy.
const LIMIT: Duration = Duration::from_mins(25);

fn main() -> ExitCode {
    match env::var(INSIDE) {
        Ok(name) => inside(&name),
        Err(_) => outside(),
    }
}

/// One after the other: two machines would share this host's processors, and time passes in them
/// as it does here.
fn outside() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(1);
    let machine = Machine::find(Path::new(FOLDER)).map_err(|error| error.to_string());
    let wanted = env::var_os("CI").is_some() || env::var_os("FAIRLEAD_VM").is_some();
    let skipped = machine.is_err() && !wanted;
    if let (Err(reason), true) = (&machine, skipped) {
        eprintln!("skipped: {reason}");
    }
    let trials = tests().map(|(name, _)| {
        let machine = machine.clone();
        Trial::test(name, move || passes_inside(&machine?, name)).with_ignored_flag(skipped)
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

fn passes_inside(machine: &Machine, name: &str) -> Result<(), Failed> {
    let mut command = Command::new("sh");
    command
        .args(["-c", FROM_COPIES])
        .arg(env::current_exe()?)
        .arg(rig::FAIRLEAD);
    command
        .env(INSIDE, name)
        .env(ONLY, env::var_os(ONLY).unwrap_or_default());
    let output = machine.run(&command, LIMIT)?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(format!("{}\n{}", output.status, String::from_utf8_lossy(&said)).into())
}

/// Whether something of this name is to be seen, see [`ONLY`].
fn is_wanted(name: &str) -> bool {
    env::var(ONLY).is_ok_and(|only| name.contains(&only))
}

fn inside(name: &str) -> ExitCode {
    let Some((_, test)) = tests().find(|(known, _)| *known == name) else {
        eprintln!("{INSIDE}: there is no test {name:?}");
        return ExitCode::FAILURE;
    };
    wait_for_a_slow_machine();
    match test() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            eprintln!("{}", failed.message().unwrap_or_default());
            ExitCode::FAILURE
        }
    }
}
