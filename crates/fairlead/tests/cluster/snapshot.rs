//! What a node's tables mean, as lines that can be compared.

use std::collections::BTreeMap;

use fairlead_lab::Lab;
use libtest_mimic::Failed;

use crate::watch::on_node;

/// Maps whose keys end in the slot of an endpoint. Which slot it has depends on who came first.
const SLOTS: [&str; 4] = [
    "endpoints",
    "nodeport-endpoints",
    "sticky-choices",
    "sticky-nodeport-choices",
];

/// Everything that the node's ruleset says, sorted, without what counts, slots, and clients that
/// are remembered.
pub(crate) fn snapshot(lab: &Lab) -> Result<Vec<String>, Failed> {
    let text = on_node(lab, "nft --stateless list ruleset")?;
    let (mut table, mut container) = (String::new(), String::new());
    let mut lines = Vec::new();
    for line in text.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        match words[..] {
            ["table", family, _, "{"] => family.clone_into(&mut table),
            ["set" | "map" | "chain", name, "{"] => {
                name.clone_into(&mut container);
                lines.push(format!("{table} {line}"));
            }
            ["}"] => container.clear(),
            _ if container == "affinity" && line.contains("expires") => {}
            _ => {
                let line = line.replace("elements = {", "");
                let parts = line
                    .split(',')
                    .map(|part| part.trim_matches(['{', '}', ' ', '\t']));
                let parts = parts.filter(|part| !part.is_empty());
                lines.extend(parts.map(|part| {
                    let part = match SLOTS.contains(&&*container) {
                        true => without_slot(part),
                        false => part.to_owned(),
                    };
                    format!("{table} {container}: {part}")
                }));
            }
        }
    }
    lines.sort();
    Ok(lines)
}

/// `10.96.0.10 . tcp . 80 . 1 : 10.244.2.6 . 8080` without the 1.
fn without_slot(element: &str) -> String {
    let parts = element.split_once(" : ");
    let shorter = parts.and_then(|(key, value)| Some((key.rsplit_once(" . ")?.0, value)));
    shorter.map_or_else(
        || element.to_owned(),
        |(key, value)| format!("{key} : {value}"),
    )
}

/// What one has and the other has not.
pub(crate) fn differences(one: &[String], other: &[String]) -> String {
    let mut counts: BTreeMap<&str, i32> = BTreeMap::new();
    for line in one {
        *counts.entry(line).or_default() -= 1;
    }
    for line in other {
        *counts.entry(line).or_default() += 1;
    }
    let differ = counts.into_iter().filter(|(_, count)| *count != 0);
    let lines = differ.map(|(line, count)| format!("{count:+} {line}\n"));
    lines.collect()
}
