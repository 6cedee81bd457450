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

use crate::rig::{FAIRLEAD, Mode};
use crate::tests;

tests! {
    rules_are_as_expected,
}

const EXPECTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/iptables/expected");

fn rules_are_as_expected(variant: Variant) -> Result<(), Failed> {
    let mut message = String::new();
    let mut count = 0;
    for folder in fs::read_dir(EXPECTED)? {
        let folder = folder?.path();
        let differences = differences(variant, &folder)?;
        if !differences.is_empty() {
            write!(message, "{}\n{differences}", folder.display())?;
        }
        count += 1;
    }
    assert!(count > 1, "there are no cases");
    match message.is_empty() {
        true => Ok(()),
        false => Err(message.into()),
    }
}

fn differences(variant: Variant, folder: &Path) -> Result<String, Failed> {
    let lab = Lab::new()?;
    let flags: Vec<String> = serde_json::from_slice(&fs::read(folder.join("args.json"))?)?;
    let mut fairlead = Command::new(FAIRLEAD);
    fairlead
        .args(["run", "--once"])
        .args(Mode::Iptables(variant).flags());
    fairlead.arg("--manifests").arg(folder.join("objects.yaml"));
    lab.run_on_node(fairlead.args(&flags))?;
    let expected = fs::read_to_string(folder.join("iptables.rules"))?;
    let mut message = String::new();
    for family in Family::BOTH {
        let (wanted, found) = (
            lab.as_recorded(&expected, family)?,
            lab.saved(variant, family)?,
        );
        // Of a kernel that does not count by name.
        let found = match expected.contains("nfacct") {
            true => found,
            false => found.without_accounting(),
        };
        if wanted != Saved::default() {
            for difference in compare(&wanted, &found) {
                write!(message, "{} {difference}", variant.program(family))?;
            }
        }
    }
    Ok(message)
}
