//! What kube-proxy was recorded to do, see `crates/lab/recorded/README.md`.

use fairlead_lab::iptables::Variant;
use fairlead_lab::outcome::Difference;
use fairlead_lab::{Outcome, Source};
use libtest_mimic::Failed;

use crate::many;
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

/// In some cases: that the kernel brings packets to listeners does not depend on the rest.
pub(crate) fn is_met_by_userspace() -> Result<(), Failed> {
    for seen in [Source::Masqueraded, Source::Kept] {
        all(Mode::Userspace(seen), |case| SOME.contains(&case))?;
    }
    Ok(())
}

/// In all cases; and virtual servers, real servers and addresses are kube-proxy's.
pub(crate) fn is_met_by_ipvs() -> Result<(), Failed> {
    all(Mode::Ipvs, |_| true)
}

fn all(mode: Mode, wanted: fn(&str) -> bool) -> Result<(), Failed> {
    let cases = cases(mode)?;
    let wanted = cases.iter().filter(|case| wanted(&case.name));
    many::each(wanted.map(|case| (&case.name, case)), |case| {
        does_as_kube_proxy_did(case, mode, is_of_speed)
            .map_err(|failed| format!("{mode} {}", failed.message().unwrap_or_default()).into())
    })
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
