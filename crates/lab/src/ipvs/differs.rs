//! What clients should meet in ipvs mode: what they meet in nftables mode, but for what each case
//! names.

use std::path::Path;

use serde::Deserialize;

use crate::LabError;
use crate::outcome::{self, Outcomes, read_json};

/// Questions that kube-proxy answers otherwise in ipvs mode than in nftables mode.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Differs {
    /// In which mode the right answer was recorded.
    like: Like,
    /// Why.
    #[allow(dead_code, reason = "for who reads the case")]
    reason: String,
    /// The names of the questions.
    probes: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Like {
    Nftables,
    Ipvs,
}

/// Overwrites what is expected in nftables mode with what has to be otherwise in ipvs mode. A case
/// that was not recorded in that mode says nothing of it.
pub(crate) fn expected(folder: &Path, mut expected: Outcomes) -> Result<Outcomes, LabError> {
    let differs = folder.join("ipvs.differs.json");
    if !differs.exists() {
        return Ok(expected);
    }
    let recorded = outcome::read(&folder.join("ipvs.outcomes.json"))?;
    let differs: Vec<Differs> = read_json(&differs)?;
    let otherwise = differs.iter().filter(|differs| differs.like == Like::Ipvs);
    for question in otherwise.flat_map(|differs| &differs.probes) {
        if let Some(outcome) = recorded.get(question) {
            expected.insert(question.clone(), outcome.clone());
        }
    }
    Ok(expected)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use super::*;
    use crate::conformance::Case;

    const RECORDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/recorded");

    #[test]
    fn each_difference_of_the_modes_has_its_reason() {
        for entry in fs::read_dir(RECORDED).unwrap() {
            let folder = entry.unwrap().path();
            let outcomes = folder.join("ipvs.outcomes.json");
            if !outcomes.exists() {
                continue;
            }
            let nftables = Case::read(&folder, "nftables").unwrap().expected;
            let differences = outcome::compare(&nftables, &outcome::read(&outcomes).unwrap());
            let found: BTreeSet<String> = differences
                .into_iter()
                .map(|difference| difference.question)
                .collect();
            let named = match folder.join("ipvs.differs.json") {
                named if named.exists() => read_json::<Vec<Differs>>(&named).unwrap(),
                _ => Vec::new(),
            };
            assert!(named.iter().all(|differs| differs.reason.ends_with('.')));
            let named = named.into_iter().flat_map(|differs| differs.probes);
            assert_eq!(found, named.collect(), "{}", folder.display());
        }
    }

    #[test]
    fn a_case_has_the_answers_of_the_mode_that_is_right() {
        let case = |name: &str, mode: &str| {
            Case::read(&Path::new(RECORDED).join(name), mode)
                .unwrap()
                .expected
        };
        let differ = |name| outcome::compare(&case(name, "nftables"), &case(name, "ipvs")).len();
        assert_eq!(["itp-local", "dual-stack", "slices"].map(differ), [2, 0, 0]);
    }
}
