//! What kube-proxy was recorded to do, see `crates/lab/recorded/README.md`.

use fairlead_lab::Outcome;
use fairlead_lab::iptables::Variant;
use fairlead_lab::outcome::Difference;
use libtest_mimic::Failed;

use crate::recorded::{cases, does_as_kube_proxy_did};
use crate::rig::Mode;

/// In iptables mode so many cases show that the kernel takes the rules: a machine takes its time.
const SOME: [&str; 4] = ["affinity", "dual-stack", "etp-local", "loadbalancer"];

/// In all cases.
pub(crate) fn is_met() -> Result<(), Failed> {
    all(Mode::Nftables, |_| true)
}

/// In some cases of each variant.
pub(crate) fn is_met_by_iptables() -> Result<(), Failed> {
    for variant in Variant::BOTH {
        all(Mode::Iptables(variant), |case| SOME.contains(&case))?;
    }
    Ok(())
}

fn all(mode: Mode, wanted: fn(&str) -> bool) -> Result<(), Failed> {
    let cases = cases(mode)?.into_iter();
    let failures = cases
        .filter(|case| wanted(&case.name))
        .filter_map(|case| does_as_kube_proxy_did(&case, mode, is_of_speed).err());
    let failures: Vec<String> = failures
        .map(|failed| format!("{mode} {}", failed.message().unwrap_or_default()))
        .collect();
    match failures.is_empty() {
        true => Ok(()),
        false => Err(failures.join("\n").into()),
    }
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
