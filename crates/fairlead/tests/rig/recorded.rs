//! Recorded cases of what kube-proxy does, see `crates/lab/recorded/README.md`, asked of Fairlead.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use fairlead_core::address::Family;
use fairlead_core::api::Change;
use fairlead_lab::conformance::{self, Case};
use fairlead_lab::iptables::compare;
use fairlead_lab::ipvs::{self, Shown};
use fairlead_lab::outcome::Difference;
use fairlead_lab::{Lab, LabError, Source};
use fairlead_source::manifests::Manifests;
use libtest_mimic::Failed;

use crate::rig::proxy::ruleset;
use crate::rig::{FAIRLEAD, Mode, Proxy};
use crate::watch::await_health;

/// What cleaning up leaves, and the records were made with.
const RUN_BEFORE: &str = "*filter
:KUBE-FIREWALL - [0:0]
-A INPUT -j KUBE-FIREWALL
-A OUTPUT -j KUBE-FIREWALL
COMMIT
";

/// The same, in IPv4 alone.
const BLOCKED_BEFORE: &str = "*filter
-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m comment --comment \"block incoming localnet connections\" -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP
COMMIT
";

/// The cases as they were recorded in this mode.
pub(crate) fn cases(mode: Mode) -> Result<Vec<Case>, LabError> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../lab/recorded"));
    conformance::cases(&folder, mode.record())
}

/// Runs Fairlead once on a case's objects, and says what is otherwise than it was with kube-proxy:
/// rules first, where they are to be the same, then what clients meet, unless it is `forgiven`.
pub(crate) fn does_as_kube_proxy_did(
    case: &Case,
    mode: Mode,
    forgiven: fn(&Difference) -> bool,
) -> Result<(), Failed> {
    let lab = Lab::new()?;
    let (mut message, _running) = match mode {
        Mode::Userspace(_) => (String::new(), Some(carry(&lab, case, mode)?)),
        _ => (rules(&lab, case, mode)?, None),
    };
    let mut differences = case.differences(&lab, &objects(&case.objects)?)?;
    differences.retain(|difference| !forgiven(difference) && !is_chance(difference, mode));
    for difference in &differences {
        write!(message, "{difference}")?;
    }
    if message.is_empty() {
        return Ok(());
    }
    let (count, asked) = (differences.len(), case.expected.len());
    let rules = ruleset(&lab);
    Err(format!(
        "{}: {message}{count} of {asked} differ. The node has:\n{rules}",
        case.name
    )
    .into())
}

/// Programs a node, and compares its rules with the record.
fn rules(lab: &Lab, case: &Case, mode: Mode) -> Result<String, Failed> {
    let variant = match mode {
        Mode::Iptables(variant) => variant,
        Mode::Ipvs => return servers(lab, case),
        Mode::Nftables | Mode::Userspace(_) => {
            run_once(lab, case, mode)?;
            return Ok(String::new());
        }
    };
    for family in Family::BOTH {
        lab.restore(variant, family, RUN_BEFORE)?;
    }
    lab.restore(variant, Family::V4, BLOCKED_BEFORE)?;
    run_once(lab, case, mode)?;
    let recorded = fs::read_to_string(&case.rules)?;
    let mut message = String::new();
    for family in Family::BOTH {
        let expected = lab.as_recorded(&recorded, family)?;
        for difference in compare(&expected, &lab.saved(variant, family)?) {
            write!(message, "{} {difference}", variant.program(family))?;
        }
    }
    Ok(message)
}

/// The same for IPVS, where it was recorded.
fn servers(lab: &Lab, case: &Case) -> Result<String, Failed> {
    run_once(lab, case, Mode::Ipvs)?;
    let shown = lab.shown_by_ipvs()?;
    let mut differences = String::new();
    if case.rules.exists() {
        let recorded = Shown::parse(&fs::read_to_string(&case.rules)?);
        for difference in ipvs::compare(&recorded, &shown) {
            writeln!(differences, "{difference}")?;
        }
    }
    Ok(differences)
}

fn run_once(lab: &Lab, case: &Case, mode: Mode) -> Result<(), LabError> {
    lab.run_on_node(run(case, mode).arg("--once")).map(drop)
}

/// Runs it until what it returns is dropped: what carries traffic by itself has to be there.
fn carry<'a>(lab: &'a Lab, case: &Case, mode: Mode) -> Result<Proxy<'a>, Failed> {
    let proxy = Proxy::run(lab, run(case, mode))?;
    await_health(lab, &proxy, "/readyz", 200)?;
    Ok(proxy)
}

fn run(case: &Case, mode: Mode) -> Command {
    let mut command = Command::new(FAIRLEAD);
    command.arg("run").args(mode.flags());
    command
        .arg("--manifests")
        .arg(&case.objects)
        .args(&case.args);
    command
}

/// Whom an endpoint sees that is chosen by chance: one on the node may see the client, others cannot.
fn is_chance(difference: &Difference, mode: Mode) -> bool {
    let (Some(expected), Some(got)) = (&difference.expected, &difference.got) else {
        return false;
    };
    let by_chance = expected.endpoints.contains("1 sticky");
    let same = (&expected.endpoints, &expected.errors) == (&got.endpoints, &got.errors);
    mode == Mode::Userspace(Source::Kept) && by_chance && same
}

fn objects(manifests: &Path) -> Result<Vec<Change>, Failed> {
    let mut objects = Vec::new();
    let problems =
        Manifests::open(manifests)?.changes(Instant::now(), &mut |change| objects.push(change));
    match problems.first() {
        Some(problem) => Err(problem.into()),
        None => Ok(objects),
    }
}
