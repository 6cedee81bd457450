//! What kube-proxy was recorded to do, see `crates/lab/recorded/README.md`.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use fairlead_lab::conformance::{self, Case};
use fairlead_lab::outcome::Difference;
use fairlead_lab::{Lab, Outcome};
use fairlead_source::manifests::Manifests;
use libtest_mimic::Failed;

use crate::rig::FAIRLEAD;
use crate::rig::proxy::ruleset;

const RECORDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../lab/recorded");

const MODE: &str = "nftables";

/// In all cases.
pub(crate) fn is_met() -> Result<(), Failed> {
    let mut message = String::new();
    for case in conformance::cases(Path::new(RECORDED), MODE)? {
        message += &differences(&case)?;
    }
    match message.is_empty() {
        true => Ok(()),
        false => Err(message.into()),
    }
}

/// What clients of a case meet otherwise than they should, with what the node has then.
fn differences(case: &Case) -> Result<String, Failed> {
    let lab = Lab::new()?;
    let mut fairlead = Command::new(FAIRLEAD);
    fairlead.args(["run", "--once", "--proxy-mode", MODE, "--manifests"]);
    lab.run_on_node(fairlead.arg(&case.objects).args(&case.args))?;
    let mut objects = Vec::new();
    let problems =
        Manifests::open(&case.objects)?.changes(Instant::now(), &mut |change| objects.push(change));
    if let Some(problem) = problems.first() {
        return Err(problem.into());
    }
    let mut differences = case.differences(&lab, &objects)?;
    differences.retain(|difference| !is_of_speed(difference));
    if differences.is_empty() {
        return Ok(String::new());
    }
    let differences: String = differences.iter().map(ToString::to_string).collect();
    Ok(format!("{}\n{differences}{}\n", case.name, ruleset(&lab)))
}

/// Nobody answers here or there. Whether a socket hears of a refusal in time is a matter of speed,
/// and this machine has another than that of the record.
fn is_of_speed(difference: &Difference) -> bool {
    let nobody = |outcome: &Option<Outcome>| {
        outcome
            .as_ref()
            .is_some_and(|outcome| outcome.endpoints.is_empty())
    };
    nobody(&difference.expected) && nobody(&difference.got)
}
