//! The rules of a node, and those that it should have.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::process::Command;

use fairlead_core::address::Family;
use fairlead_lab::Lab;
use fairlead_lab::iptables::{Saved, Variant, compare};
use libtest_mimic::Failed;

use crate::rig::{FAIRLEAD, Folder, Mode};
use crate::watch::on_node;

/// The rules of both families.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rules([Saved; 2]);

/// What the jumps to KUBE-FIREWALL are when they were there before: kube-proxy leaves them, since
/// the kubelet has them too, and does not move them.
pub(crate) const FIREWALL_JUMPS: &str = "*filter
:KUBE-FIREWALL - [0:0]
-A INPUT -j KUBE-FIREWALL
-A OUTPUT -j KUBE-FIREWALL
COMMIT
";

impl Rules {
    /// What the node has.
    pub(crate) fn of(lab: &Lab, variant: Variant) -> Result<Rules, Failed> {
        Rules::without(lab, variant, &[])
    }

    /// What the node has but for lines with one of these words: of other programs.
    pub(crate) fn without(lab: &Lab, variant: Variant, others: &[&str]) -> Result<Rules, Failed> {
        let [v4, v6] = Family::BOTH.map(|family| -> Result<Saved, Failed> {
            let text = on_node(lab, &format!("{}-save", variant.program(family)))?;
            let lines = text.lines();
            let ours = lines.filter(|line| !others.iter().any(|word| line.contains(word)));
            Ok(Saved::parse(&ours.collect::<Vec<_>>().join("\n"))?)
        });
        Ok(Rules([v4?, v6?]))
    }

    /// What a node gets that had `before` and on which Fairlead starts now.
    pub(crate) fn fresh(variant: Variant, folder: &Folder, before: &str) -> Result<Rules, Failed> {
        let lab = Lab::new()?;
        if !before.is_empty() {
            restore(&lab, variant, before)?;
        }
        run_once(&lab, variant, folder, &[])?;
        Rules::of(&lab, variant)
    }

    /// How these rules differ from those that are wanted.
    pub(crate) fn differences(&self, wanted: &Rules) -> String {
        let mut message = String::new();
        for ((family, wanted), found) in Family::BOTH.iter().zip(&wanted.0).zip(&self.0) {
            for difference in compare(wanted, found) {
                let _ = write!(message, "{family} {difference}");
            }
        }
        message
    }

    /// The names of all chains in both families, each once.
    pub(crate) fn chains(&self) -> BTreeSet<&str> {
        let tables = ["nat", "filter", "mangle"];
        let mut names = BTreeSet::new();
        for saved in &self.0 {
            names.extend(tables.iter().flat_map(|table| saved.chains(table)));
        }
        names
    }
}

/// Adds rules to those of the node, in both families.
pub(crate) fn restore(lab: &Lab, variant: Variant, rules: &str) -> Result<(), Failed> {
    for family in Family::BOTH {
        lab.restore(variant, family, rules)?;
    }
    Ok(())
}

/// Lets Fairlead program the node and end.
pub(crate) fn run_once(
    lab: &Lab,
    variant: Variant,
    folder: &Folder,
    flags: &[String],
) -> Result<(), Failed> {
    let mut command = Command::new(FAIRLEAD);
    command
        .args(["run", "--once", "--hostname-override=node1"])
        .args(Mode::Iptables(variant).flags())
        .args(flags)
        .arg("--manifests")
        .arg(folder.path());
    lab.run_on_node(&mut command)?;
    Ok(())
}
