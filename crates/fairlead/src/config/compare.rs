//! What of a new configuration can come into effect while the program runs, and what cannot.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::mode::is_userspace;
use super::v1alpha1::KubeProxyConfiguration;
use crate::cli::flags::{Flag, Standing, all};

/// Fields, or whole sections, that can change at any time.
const LIVE: [&str; 22] = [
    "clusterCIDR",
    "conntrack",
    "detectLocal",
    "detectLocalMode",
    "iptables.localhostNodePorts",
    "iptables.masqueradeAll",
    "iptables.masqueradeBit",
    "iptables.minSyncPeriod",
    "iptables.syncPeriod",
    "ipvs.excludeCIDRs",
    "ipvs.minSyncPeriod",
    "ipvs.scheduler",
    "ipvs.syncPeriod",
    "logging.verbosity",
    "nftables.masqueradeAll",
    "nftables.masqueradeBit",
    "nftables.minSyncPeriod",
    "nftables.syncPeriod",
    "nodePortAddresses",
    "oomScoreAdj",
    "portRange",
    "udpIdleTimeout",
];

/// Sections of modes.
const OF_A_MODE: [&str; 3] = ["iptables", "ipvs", "nftables"];

/// Fields that have no effect and no flag.
const IDLE: [&str; 1] = ["clientConnection.acceptContentTypes"];

/// Fields that count in userspace mode alone.
const OF_USERSPACE: [&str; 2] = ["portRange", "udpIdleTimeout"];

/// In userspace mode the sockets and connections that are open have the marks of when they began.
const FIXED_IN_USERSPACE: &str = "iptables.masqueradeBit";

/// What became of a new configuration, by paths of fields.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Live {
    /// What changed and came into effect.
    pub(crate) applied: Vec<String>,
    /// What the file says otherwise, and is not so until the program is started again.
    pub(crate) needs_restart: Map<String, Value>,
}

/// Compares what runs with what is wanted.
pub(crate) fn compare(
    running: &KubeProxyConfiguration,
    wanted: &KubeProxyConfiguration,
) -> Result<Live, serde_json::Error> {
    let (running, wanted) = (
        serde_json::to_value(running)?,
        serde_json::to_value(wanted)?,
    );
    let mut paths = Vec::new();
    differences(&running, &wanted, "", &mut paths);
    paths.retain(|path| !is_idle(path));
    // What a mode finds in its section comes with the mode.
    let same_mode = running["mode"] == wanted["mode"];
    if !same_mode {
        paths.retain(|path| !is_within(path, &OF_A_MODE));
    }
    let is_userspace = same_mode && wanted["mode"].as_str().is_some_and(is_userspace);
    if !is_userspace {
        paths.retain(|path| !is_within(path, &OF_USERSPACE));
    }
    let may_change = |path: &String| is_live(path) && !(is_userspace && path == FIXED_IN_USERSPACE);
    let (applied, others): (Vec<_>, Vec<_>) = paths.into_iter().partition(may_change);
    let with_value = |path: String| {
        let value = wanted.pointer(&pointer(&path)).cloned();
        (path, value.unwrap_or(Value::Null))
    };
    Ok(Live {
        applied,
        needs_restart: others.into_iter().map(with_value).collect(),
    })
}

fn pointer(path: &str) -> String {
    format!("/{}", path.replace('.', "/"))
}

/// What runs, with all that is wanted and can change.
pub(super) fn merge(
    running: &KubeProxyConfiguration,
    wanted: &KubeProxyConfiguration,
    applied: &[String],
) -> Result<KubeProxyConfiguration, serde_json::Error> {
    let (mut merged, wanted) = (
        serde_json::to_value(running)?,
        serde_json::to_value(wanted)?,
    );
    for path in applied {
        let pointer = pointer(path);
        if let (Some(to), Some(from)) = (merged.pointer_mut(&pointer), wanted.pointer(&pointer)) {
            to.clone_from(from);
        }
    }
    serde_json::from_value(merged)
}

fn differences(one: &Value, other: &Value, path: &str, paths: &mut Vec<String>) {
    let (Value::Object(fields), Value::Object(others)) = (one, other) else {
        if one != other {
            paths.push(path.to_owned());
        }
        return;
    };
    let names: BTreeSet<&String> = fields.keys().chain(others.keys()).collect();
    for name in names {
        let path = match path {
            "" => name.clone(),
            path => format!("{path}.{name}"),
        };
        let of = |fields: &serde_json::Map<String, Value>| {
            fields.get(name).cloned().unwrap_or(Value::Null)
        };
        differences(&of(fields), &of(others), &path, paths);
    }
}

/// Whether a field has no effect, so that it is nothing to anyone when it changes.
pub(crate) fn is_idle(path: &str) -> bool {
    let of_flag =
        |flag: &Flag| matches!(flag.standing, Standing::Never(_)) && flag.fields.contains(&path);
    IDLE.contains(&path) || all().any(of_flag)
}

/// Whether a field can change at any time.
pub(crate) fn is_live(path: &str) -> bool {
    is_within(path, &LIVE)
}

/// Whether a field is one of these, or in one of these sections.
fn is_within(path: &str, all: &[&str]) -> bool {
    all.iter().any(|one| {
        let rest = path.strip_prefix(one);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::with_defaults;

    #[test]
    fn what_changes_is_applied_or_waits_or_is_nothing_to_anyone() {
        let running = with_defaults(KubeProxyConfiguration::default());
        let mut wanted = running.clone();
        assert_eq!(compare(&running, &wanted).unwrap(), Live::default());
        wanted.conntrack.min = Some(7);
        "10.0.0.0/8".clone_into(&mut wanted.cluster_cidr);
        "1-2".clone_into(&mut wanted.port_range);
        wanted.client_connection.burst = 11;
        wanted.enable_profiling = true;
        wanted.feature_gates.insert("A".to_owned(), true);
        let live = compare(&running, &wanted).unwrap();
        assert_eq!(live.applied, ["clusterCIDR", "conntrack.min"]);
        let waiting: Vec<_> = live.needs_restart.keys().collect();
        assert_eq!(waiting, ["enableProfiling", "featureGates"]);
        let merged = merge(&running, &wanted, &live.applied).unwrap();
        assert_eq!(
            (merged.conntrack.min, &*merged.cluster_cidr),
            (Some(7), "10.0.0.0/8")
        );
        assert!(!merged.enable_profiling);
    }

    #[test]
    fn a_section_of_a_mode_comes_with_the_mode() {
        let mut running = with_defaults(KubeProxyConfiguration::default());
        "nftables".clone_into(&mut running.mode);
        let mut wanted = running.clone();
        wanted.iptables.masquerade_bit = Some(7);
        wanted.iptables.localhost_node_ports = Some(false);
        let live = compare(&running, &wanted).unwrap();
        let fields = ["iptables.localhostNodePorts", "iptables.masqueradeBit"];
        assert_eq!(live.applied, fields);
        "iptables".clone_into(&mut wanted.mode);
        wanted.conntrack.min = Some(7);
        let live = compare(&running, &wanted).unwrap();
        assert_eq!(live.applied, ["conntrack.min"]);
        let waiting: Vec<_> = live.needs_restart.keys().collect();
        assert_eq!(waiting, ["mode"]);
    }

    #[test]
    fn what_is_of_userspace_mode_counts_there_alone() {
        for (mode, expected) in [("nftables", &[][..]), ("userspace", &["portRange"])] {
            let mut running = KubeProxyConfiguration::default();
            mode.clone_into(&mut running.mode);
            let mut wanted = with_defaults(running.clone());
            let running = with_defaults(running);
            "1-2".clone_into(&mut wanted.port_range);
            let live = compare(&running, &wanted).unwrap();
            assert_eq!(live.applied, expected, "{mode}");
            assert!(live.needs_restart.is_empty());
        }
    }

    #[test]
    fn connections_of_userspace_mode_keep_their_marks_until_a_restart() {
        for (mode, live) in [("iptables", true), ("userspace", false)] {
            let mut running = KubeProxyConfiguration::default();
            mode.clone_into(&mut running.mode);
            let running = with_defaults(running);
            let mut wanted = running.clone();
            wanted.iptables.masquerade_bit = Some(12);
            wanted.iptables.masquerade_all = true;
            let said = compare(&running, &wanted).unwrap();
            let bit = "iptables.masqueradeBit".to_owned();
            assert_eq!(said.applied.contains(&bit), live, "{mode}");
            assert_eq!(said.needs_restart.contains_key(&bit), !live, "{mode}");
            assert!(said.applied.contains(&"iptables.masqueradeAll".to_owned()));
        }
    }

    #[test]
    fn a_part_of_a_name_is_no_section() {
        assert!(is_live("conntrack.min") && is_live("detectLocalMode"));
        assert!(!is_live("conntrackish") && !is_live("logging.format"));
    }
}
