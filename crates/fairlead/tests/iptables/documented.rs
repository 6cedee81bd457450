//! Rules that are known from elsewhere than a record: from documentation, and from what is said of
//! kube-proxy's rules one by one.
//!
//! Each folder in `expected/` is a case as those in `crates/lab/recorded` are; on a host where
//! nothing was before.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use fairlead_core::address::Family;
use fairlead_lab::Lab;
use fairlead_lab::iptables::{Saved, Variant, compare};
use libtest_mimic::Failed;
use serde_json::json;

use crate::objects::{service, slice};
use crate::rig::{FAIRLEAD, Folder, Mode};
use crate::rules::run_once;
use crate::tests;

tests! {
    rules_are_as_expected,
    what_render_prints_can_be_loaded,
    what_is_expected_is_what_iptables_saves,
    large_clusters_have_fewer_comments,
}

const EXPECTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/iptables/expected");

/// So many endpoints a cluster has at least that is large.
const LARGE: usize = 1001;

fn rules_are_as_expected(variant: Variant) -> Result<(), Failed> {
    in_all_cases(|folder| {
        let lab = Lab::new()?;
        let mut command = Command::new(FAIRLEAD);
        command.args(["run", "--once"]);
        lab.run_on_node(asked(&mut command, Mode::Iptables(variant), folder)?)?;
        differences(&lab, variant, folder, &Family::BOTH, true)
    })
}

/// By `iptables-restore` and `ip6tables-restore`, of the same text. It counts nothing by name: that
/// loads only where somebody has made the counters.
fn what_render_prints_can_be_loaded(variant: Variant) -> Result<(), Failed> {
    in_all_cases(|folder| {
        let lab = Lab::new()?;
        let mut command = Command::new(FAIRLEAD);
        let mode = Mode::Iptables(variant);
        let rendered = lab.run_on_node(asked(command.arg("render"), mode, folder)?)?;
        let rendered = String::from_utf8(rendered.stdout)?;
        let families: &[Family] = match rendered.contains("-6 ") {
            true => &Family::BOTH,
            // There is nothing of a family that no Service is of.
            false => &[Family::V4],
        };
        for family in families {
            lab.restore(variant, *family, &rendered)?;
        }
        differences(&lab, variant, folder, families, false)
    })
}

/// Otherwise nobody could have them.
fn what_is_expected_is_what_iptables_saves(variant: Variant) -> Result<(), Failed> {
    in_all_cases(|folder| {
        let lab = Lab::new()?;
        lab.load_recorded(variant, &fs::read_to_string(folder.join("iptables.rules"))?)?;
        differences(&lab, variant, folder, &Family::BOTH, true)
    })
}

/// Those of endpoints' rules are left out, all others stay.
fn large_clusters_have_fewer_comments(variant: Variant) -> Result<(), Failed> {
    let mut folder = Folder::new(&[
        service(
            "web",
            &json!({"clusterIP": "10.96.34.1", "ports": [{"port": 80}]}),
        ),
        service(
            "small",
            &json!({"clusterIP": "10.96.34.2", "ports": [{"port": 80}]}),
        ),
        slice("small", "TCP", 8080, &["10.244.2.5"]),
    ])?;
    for (count, is_commented) in [(LARGE - 2, true), (LARGE - 1, false)] {
        let lab = Lab::new()?;
        let addresses = (0..count).map(|n| format!("10.20.{}.{}", n / 250, n % 250 + 1));
        let addresses: Vec<String> = addresses.collect();
        let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
        folder.apply(&slice("web", "TCP", 8080, &addresses))?;
        run_once(&lab, variant, &folder, &[])?;
        let saved = lab.saved(variant, Family::V4)?;
        let rules = saved
            .chains("nat")
            .flat_map(|chain| saved.rules("nat", chain));
        let (mut of_endpoints, mut of_services) = (0, 0);
        for rule in rules.filter(|rule| rule.starts_with("-A KUBE-S")) {
            let leads_to_endpoint = rule.contains("-A KUBE-SEP-") || rule.contains("-j KUBE-SEP-");
            match leads_to_endpoint {
                true if rule.contains("--comment") == is_commented => of_endpoints += 1,
                false if rule.contains("--comment") => of_services += 1,
                _ => return Err(format!("of {} endpoints: {rule}", count + 1).into()),
            }
        }
        // Two in the chain of each endpoint and one that leads there. Two Services, and node ports.
        assert_eq!((of_endpoints, of_services), (3 * (count + 1), 3));
    }
    Ok(())
}

fn in_all_cases(differences: impl Fn(&Path) -> Result<String, Failed>) -> Result<(), Failed> {
    let mut message = String::new();
    let mut count = 0;
    for folder in fs::read_dir(EXPECTED)? {
        let folder = folder?.path();
        let found = differences(&folder)?;
        if !found.is_empty() {
            writeln!(message, "{}\n{found}", folder.display())?;
        }
        count += 1;
    }
    assert!(count > 1, "there are no cases");
    match message.is_empty() {
        true => Ok(()),
        false => Err(message.into()),
    }
}

/// Asks Fairlead for a case's objects and flags.
fn asked<'a>(
    command: &'a mut Command,
    mode: Mode,
    folder: &Path,
) -> Result<&'a mut Command, Failed> {
    let flags: Vec<String> = serde_json::from_slice(&fs::read(folder.join("args.json"))?)?;
    let manifests = folder.join("objects.yaml");
    Ok(command
        .args(mode.flags())
        .args(&flags)
        .arg("--manifests")
        .arg(manifests))
}

/// How the node's rules differ from those of a case, with what counts by name or without.
fn differences(
    lab: &Lab,
    variant: Variant,
    folder: &Path,
    families: &[Family],
    counts: bool,
) -> Result<String, Failed> {
    let expected = fs::read_to_string(folder.join("iptables.rules"))?;
    // A case can be of a kernel that does not.
    let counts = counts && expected.contains("nfacct");
    let mut message = String::new();
    for family in families {
        let mut rules = [
            lab.as_recorded(&expected, *family)?,
            lab.saved(variant, *family)?,
        ];
        // And say nothing of a family.
        if rules[0] == Saved::default() {
            continue;
        }
        if !counts {
            rules = rules.map(Saved::without_accounting);
        }
        for difference in compare(&rules[0], &rules[1]) {
            write!(message, "{} {difference}", variant.program(*family))?;
        }
    }
    Ok(message)
}
