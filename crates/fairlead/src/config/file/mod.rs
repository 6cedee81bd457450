//! Reads a `KubeProxyConfiguration` file, strictly, and finds all that is wrong with it.

use std::collections::BTreeMap;

mod shape;
mod tree;

use super::near::did_you_mean;
use super::v1alpha1::{API_VERSION, KIND, KubeProxyConfiguration};
use shape::Flaw;
use tree::{Node, Value};

/// Fields that earlier releases had, and what became of them.
const PAST: [(&str, &str); 3] = [
    (
        "resourceContainer",
        "kube-proxy 1.21 was the last to have it",
    ),
    (
        "conntrack.max",
        "conntrack.maxPerCore and conntrack.min took its place",
    ),
    (
        "logging.sanitization",
        "kube-proxy 1.24 was the last to have it",
    ),
];

/// A file that is what it should be, if not in all its fields.
#[derive(Debug, Default)]
pub(crate) struct File {
    /// What it says; what it does not say is empty.
    pub(crate) config: KubeProxyConfiguration,
    /// The line of every field.
    pub(crate) lines: BTreeMap<String, u64>,
    /// What has no effect in it.
    pub(crate) warnings: Vec<String>,
    /// What is wrong, as `name:line: field: ...`. Such a field counts as not given.
    pub(crate) errors: Vec<String>,
}

/// Reads the contents of the file of this name. The error is that it is something else.
pub(crate) fn read(name: &str, text: &str) -> Result<File, String> {
    let tree = tree::parse(text).map_err(|error| {
        let line = error
            .line
            .map_or_else(String::new, |line| format!(":{line}"));
        format!("{name}{line}: not valid YAML: {}", error.message)
    })?;
    identify(&tree).map_err(|error| format!("{name}:{}: {error}", tree.line))?;
    let (config, mut found) = shape::take::<KubeProxyConfiguration>(&tree);
    let mut warnings = Vec::new();
    for (flaw, known) in found.unknown {
        match PAST.iter().find(|(path, _)| *path == flaw.path) {
            Some((path, fate)) => warnings.push(format!(
                "{name}:{}: {path} has no effect: {fate}",
                flaw.line
            )),
            None => found.flaws.push(unknown(flaw, known)),
        }
    }
    found.flaws.sort();
    let said = |flaw: &Flaw| format!("{name}:{}: {}: {}", flaw.line, flaw.path, flaw.message);
    Ok(File {
        config,
        lines: found.lines,
        warnings,
        errors: found.flaws.iter().map(said).collect(),
    })
}

fn unknown(flaw: Flaw, known: &[&'static str]) -> Flaw {
    let last = flaw.path.rsplit('.').next().unwrap_or_default();
    let hint = did_you_mean(last, known.iter().copied(), "");
    Flaw {
        message: format!("unknown field{hint}"),
        ..flaw
    }
}

/// Makes sure that the file is what it should be, before its fields are looked at.
fn identify(tree: &Node) -> Result<(), String> {
    let Value::Map(entries) = &tree.value else {
        return Err(format!("is {} instead of a {KIND}", tree.value));
    };
    for (field, wanted) in [("apiVersion", API_VERSION), ("kind", KIND)] {
        let found = entries.iter().find(|(key, _)| key.name == field);
        match found.map(|(_, node)| &node.value) {
            Some(Value::Text(text)) if text == wanted => {}
            Some(Value::Text(text)) if !text.is_empty() => {
                return Err(format!("{field}: is {text}, and only {wanted} is read"));
            }
            _ => return Err(format!("{field}: is missing; write {field}: {wanted}")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
