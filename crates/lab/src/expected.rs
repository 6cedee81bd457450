//! What clients should meet in each mode: what they were recorded to meet in it; and in a mode that
//! is right where it differs from kube-proxy, or that kube-proxy has no more, what they meet in
//! nftables mode, but for what each case names.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;

use serde::Deserialize;

use crate::LabError;
use crate::network::is_local_pod;
use crate::outcome::{self, Outcome, Outcomes, Source, read_json};

/// The name of userspace mode where endpoints see this node.
pub const USERSPACE: &str = "userspace";
/// The same where those on this node see the client.
pub const USERSPACE_CLIENT: &str = "userspace-client";

/// Questions that are answered otherwise in a mode than in nftables mode.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Differs {
    /// In which mode the right answer was recorded.
    like: Option<Like>,
    /// The right answer, where it was recorded in none.
    outcome: Option<Outcome>,
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

/// What is expected of a case in this mode.
pub(crate) fn of(folder: &Path, mode: &str) -> Result<Outcomes, LabError> {
    match mode {
        "ipvs" => but_for_named(folder, mode, recorded(folder, "nftables")?),
        USERSPACE | USERSPACE_CLIENT => {
            let mut expected = recorded(folder, "nftables")?;
            for outcome in expected.values_mut() {
                relay(outcome, mode == USERSPACE_CLIENT);
            }
            but_for_named(folder, USERSPACE, expected)
        }
        mode => recorded(folder, mode),
    }
}

/// What clients met; what was asked again stands instead of what was recorded.
fn recorded(folder: &Path, mode: &str) -> Result<Outcomes, LabError> {
    let mut outcomes = outcome::read(&folder.join(format!("{mode}.outcomes.json")))?;
    let again = folder.join(format!("{mode}.again.json"));
    if again.exists() {
        outcomes.extend(outcome::read(&again)?);
    }
    Ok(outcomes)
}

/// Overwrites what has to be otherwise in a mode. A case that was not recorded in that mode says
/// nothing of it.
fn but_for_named(folder: &Path, mode: &str, mut expected: Outcomes) -> Result<Outcomes, LabError> {
    let differs = folder.join(format!("{mode}.differs.json"));
    if !differs.exists() {
        return Ok(expected);
    }
    let differs: Vec<Differs> = read_json(&differs)?;
    let recorded = match differs.iter().any(|differs| differs.like.is_some()) {
        true => outcome::read(&folder.join(format!("{mode}.outcomes.json")))?,
        false => Outcomes::new(),
    };
    for differs in &differs {
        for question in &differs.probes {
            let like_itself = (differs.like == Some(Like::Ipvs)).then(|| recorded.get(question));
            if let Some(outcome) = differs.outcome.as_ref().or(like_itself.flatten()) {
                expected.insert(question.clone(), outcome.clone());
            }
        }
    }
    Ok(expected)
}

/// What an answer is when it comes by way of a relay: the endpoint sees the relay's node. Where it
/// is to see the client it does so if it is a pod of this node, by which its answers pass.
fn relay(outcome: &mut Outcome, to_client: bool) {
    if outcome.source != BTreeSet::from([Source::Kept]) {
        return;
    }
    let source_at = |endpoint: &String| {
        let address: Option<IpAddr> = endpoint.split(' ').next().and_then(|it| it.parse().ok());
        match address.is_some_and(is_local_pod) && to_client {
            true => Source::Kept,
            false => Source::Masqueraded,
        }
    };
    outcome.source = outcome.endpoints.iter().map(source_at).collect();
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::conformance::Case;

    const RECORDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/recorded");

    fn named(folder: &Path, mode: &str) -> Vec<Differs> {
        match folder.join(format!("{mode}.differs.json")) {
            named if named.exists() => read_json(&named).unwrap(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn each_difference_of_ipvs_mode_has_its_reason() {
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
            let named = named(&folder, "ipvs");
            assert!(named.iter().all(|differs| differs.like.is_some()));
            let named = named.into_iter().flat_map(|differs| differs.probes);
            assert_eq!(found, named.collect(), "{}", folder.display());
        }
    }

    #[test]
    fn each_difference_is_one_and_has_its_reason() {
        for entry in fs::read_dir(RECORDED).unwrap() {
            let folder = entry.unwrap().path();
            if !folder.is_dir() {
                continue;
            }
            let nftables = Case::read(&folder, "nftables").unwrap().expected;
            for mode in ["ipvs", USERSPACE] {
                for differs in named(&folder, mode) {
                    assert!(differs.reason.ends_with('.'), "{}", differs.reason);
                    assert!(differs.like.is_some() != differs.outcome.is_some());
                    for probe in differs.probes {
                        let before = nftables.get(&probe);
                        assert!(before.is_some(), "{}: {probe}", folder.display());
                        assert_ne!(before, differs.outcome.as_ref(), "{probe}");
                    }
                }
            }
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

    #[test]
    fn behind_a_relay_endpoints_see_the_node_or_those_on_it_the_client() {
        let outcome = |endpoints: &[&str], source| Outcome {
            endpoints: endpoints.iter().map(ToString::to_string).collect(),
            source: BTreeSet::from([source]),
            ..Outcome::default()
        };
        let (here, there) = ("10.244.1.130 8080", "10.244.2.5 8080");
        let relayed = |mut outcome: Outcome, to_client| {
            relay(&mut outcome, to_client);
            outcome.source.into_iter().collect::<Vec<_>>()
        };
        let kept = outcome(&[here, there], Source::Kept);
        assert_eq!(relayed(kept.clone(), false), [Source::Masqueraded]);
        assert_eq!(relayed(kept, true), [Source::Kept, Source::Masqueraded]);
        let masqueraded = outcome(&[here], Source::Masqueraded);
        assert_eq!(relayed(masqueraded, true), [Source::Masqueraded]);
    }
}
