//! The answers of /healthz, /livez and /readyz.
//!
//! The first two are kube-proxy's to the byte: load balancers and probes read them. The third is
//! ours: kube-proxy says that it is healthy before it has programmed anything. All of them are open
//! to whoever reaches the node, so none says in words what is wrong: names of Services, addresses
//! and the kernel's and the API server's answers are at /statusz and in the log.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Moment;
use super::state::State;

/// What is told as the last update when there was none: the zero of Go's clock.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Whether all is well.
    pub(crate) ok: bool,
    /// JSON.
    pub(crate) body: String,
}

/// The body of /healthz and /livez. The order of the fields is part of it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    last_updated: String,
    current_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    node_eligible: Option<bool>,
    healthy: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    status: BTreeMap<String, FamilyStatus>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FamilyStatus {
    last_updated: String,
    healthy: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Readiness {
    ready: bool,
    current_time: String,
    missing: Vec<&'static str>,
    stale: Vec<String>,
    /// When the last sync failed, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_failure: Option<String>,
    /// How many Services the kernel refuses.
    not_served: usize,
    /// Whether something is wrong with where the objects come from.
    source_problems: bool,
}

/// Well when no change waits too long and load balancers may send traffic here.
pub(super) fn healthz(state: &State, now: Moment) -> Answer {
    let eligible = state.is_node_eligible();
    answer(state, now, eligible, Some(eligible))
}

/// Well when no change waits too long, whatever becomes of the Node.
pub(super) fn livez(state: &State, now: Moment) -> Answer {
    answer(state, now, true, None)
}

/// Well when everything was in the kernel once and no change waits too long since.
pub(super) fn readyz(state: &State, now: Moment) -> Answer {
    let (missing, late) = (state.missing(), late(state, now));
    let ok = missing.is_empty() && late.is_empty();
    let trouble = state.trouble();
    let failure = trouble.failure.as_ref();
    let readiness = Readiness {
        ready: ok,
        current_time: now.date.to_string(),
        missing,
        stale: late,
        last_failure: failure.map(|failure| failure.at.to_string()),
        not_served: trouble.excluded.len(),
        source_problems: !trouble.source.is_empty(),
    };
    Answer {
        ok,
        body: json(&readiness),
    }
}

fn answer(state: &State, now: Moment, eligible: bool, told: Option<bool>) -> Answer {
    let fresh = state.is_fresh(now.at);
    let ok = fresh && eligible;
    let newest = state
        .families()
        .map(|(_, freshness)| freshness.updated)
        .max();
    // Once this was when the loop last went round, whether or not there was anything to do, and
    // who looked at its age still finds it young.
    let updated = if ok { Some(now.date) } else { newest };
    let status = state.families().map(|(family, freshness)| {
        let status = FamilyStatus {
            last_updated: freshness.updated.to_string(),
            healthy: !state.is_stale(family, now.at),
        };
        (family.to_string(), status)
    });
    let body = Body {
        last_updated: updated.map_or_else(|| NEVER.to_owned(), |date| date.to_string()),
        current_time: now.date.to_string(),
        node_eligible: told,
        healthy: fresh,
        status: status.collect(),
    };
    Answer {
        ok,
        body: json(&body),
    }
}

fn late(state: &State, now: Moment) -> Vec<String> {
    let families = state.families().map(|(family, _)| family);
    families
        .filter(|family| state.is_stale(*family, now.at))
        .map(|family| family.to_string())
        .collect()
}

/// These cannot fail: all keys are text and all numbers are finite.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests;
