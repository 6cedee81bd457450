//! Whether clients meet with Fairlead what they meet with kube-proxy.
//!
//! One test for each recorded case, see `crates/lab/recorded/README.md`: the binary runs once on
//! the case's objects in the node's namespace of a fresh lab, then every question is asked.
//! `cargo test -p fairlead --test conformance -- --list` names the cases.

use std::fmt::Write;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Instant;

use fairlead_core::api::Change;
use fairlead_lab::conformance::{self, Case};
use fairlead_lab::{Lab, privilege};
use fairlead_source::manifests::Manifests;
use libtest_mimic::{Arguments, Failed, Trial};

/// The recorded cases.
const RECORDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../lab/recorded");

const MODE: &str = "nftables";

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    // Before there is a second thread.
    let allowed = privilege::obtain().map_err(|error| error.to_string());
    let cases = conformance::cases(Path::new(RECORDED), MODE).expect("the recorded cases");
    let trials = cases.into_iter().map(|case| {
        let allowed = allowed.clone();
        Trial::test(case.name.clone(), move || {
            allowed?;
            does_as_kube_proxy_did(&case)
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

fn does_as_kube_proxy_did(case: &Case) -> Result<(), Failed> {
    let lab = Lab::new()?;
    lab.run_on_node(&mut fairlead(case))?;
    let differences = case.differences(&lab, &objects(case)?)?;
    if differences.is_empty() {
        return Ok(());
    }
    let mut message = String::new();
    for difference in &differences {
        write!(message, "{difference}")?;
    }
    let asked = case.expected.len();
    write!(
        message,
        "{} of {asked} differ. The node has:\n{}",
        differences.len(),
        rules(&lab)
    )?;
    Err(message.into())
}

fn fairlead(case: &Case) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fairlead"));
    command.args(["run", "--once", "--proxy-mode", MODE, "--manifests"]);
    command.arg(&case.objects).args(&case.args);
    command
}

fn objects(case: &Case) -> Result<Vec<Change>, Failed> {
    let mut objects = Vec::new();
    let problems =
        Manifests::open(&case.objects)?.changes(Instant::now(), &mut |change| objects.push(change));
    match problems.first() {
        Some(problem) => Err(problem.into()),
        None => Ok(objects),
    }
}

/// What is programmed, to look at when it is wrong.
fn rules(lab: &Lab) -> String {
    match lab.run_on_node(Command::new("nft").args(["list", "ruleset"])) {
        Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
        Err(error) => error.to_string(),
    }
}
