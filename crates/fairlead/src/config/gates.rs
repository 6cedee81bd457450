//! Feature gates: those that mean something here, and what happens to all others.

use std::collections::BTreeMap;

use super::near::nearest;

/// How far a feature is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Alpha,
    Beta,
    Stable,
}

/// A gate of kube-proxy 1.36.
struct Gate {
    name: &'static str,
    stage: Stage,
    default: bool,
    /// It can be given, but not another value.
    locked: bool,
    /// Why another value changes nothing here, if it does not.
    idle: Option<&'static str>,
}

/// The gates that mean something to a service proxy.
const GATES: [Gate; 12] = [
    gate("AllowServiceExternalIPs", Stage::Stable, true),
    locked("PreferSameTrafficDistribution"),
    locked("MultiCIDRServiceAllocator"),
    locked("NFTablesProxyMode"),
    gate("ComponentFlagz", Stage::Beta, true),
    gate("ComponentStatusz", Stage::Beta, true),
    Gate {
        idle: Some("histograms are in Prometheus' text format, which has no native ones"),
        ..gate("NativeHistograms", Stage::Alpha, false)
    },
    locked("WinDSR"),
    locked("WinOverlay"),
    Gate {
        idle: Some("a server that has no streaming lists is noticed and asked for pages"),
        ..gate("WatchListClient", Stage::Beta, true)
    },
    gate("LoggingAlphaOptions", Stage::Alpha, false),
    gate("LoggingBetaOptions", Stage::Beta, true),
];

/// Words that stand for all gates of a stage.
const GROUPS: [(&str, Stage); 2] = [("AllAlpha", Stage::Alpha), ("AllBeta", Stage::Beta)];

const fn gate(name: &'static str, stage: Stage, default: bool) -> Gate {
    Gate {
        name,
        stage,
        default,
        locked: false,
        idle: None,
    }
}

const fn locked(name: &'static str) -> Gate {
    Gate {
        locked: true,
        ..gate(name, Stage::Stable, true)
    }
}

impl Stage {
    /// As Kubernetes' metrics have it.
    fn word(self) -> &'static str {
        match self {
            Stage::Alpha => "ALPHA",
            Stage::Beta => "BETA",
            Stage::Stable => "",
        }
    }
}

/// A gate with its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gated {
    /// Its name.
    pub(crate) name: &'static str,
    /// `ALPHA`, `BETA` or empty.
    pub(crate) stage: &'static str,
    /// Its value.
    pub(crate) enabled: bool,
}

/// What a gate is, or a word for many.
#[cfg(test)]
pub(crate) struct Description {
    pub(crate) name: &'static str,
    pub(crate) stage: &'static str,
    pub(crate) default: bool,
    pub(crate) locked: bool,
    /// Whether another value changes nothing.
    pub(crate) idle: bool,
}

/// The values of the gates that mean something here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Gates(BTreeMap<&'static str, bool>);

impl Default for Gates {
    /// As they are unless told otherwise.
    fn default() -> Gates {
        Gates::of(&BTreeMap::new(), &mut Vec::new(), &mut Vec::new())
    }
}

impl Gates {
    /// The values with what was given. What is wrong is one error each; a gate that means nothing
    /// here is one warning each.
    pub(crate) fn of(
        given: &BTreeMap<String, bool>,
        errors: &mut Vec<String>,
        warnings: &mut Vec<String>,
    ) -> Gates {
        for (name, value) in given {
            match GATES.iter().find(|gate| gate.name == name) {
                Some(gate) if gate.locked && *value != gate.default => errors.push(format!(
                    "{name} cannot be {value}: it is locked to {}",
                    gate.default
                )),
                Some(gate) if *value != gate.default => {
                    let idle = gate.idle.map(|why| format!("{name} has no effect: {why}"));
                    warnings.extend(idle);
                }
                Some(_) => {}
                None if GROUPS.iter().any(|(group, _)| group == name) => {}
                None => warnings.push(unknown(name)),
            }
        }
        let value = |gate: &Gate| {
            let group = GROUPS.iter().find(|(_, stage)| *stage == gate.stage);
            let by_group = group.and_then(|(group, _)| given.get(*group));
            let value = given.get(gate.name).or(by_group);
            (gate.name, value.copied().unwrap_or(gate.default))
        };
        Gates(GATES.iter().map(value).collect())
    }

    /// The gates with their values.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Gated> {
        GATES.iter().map(|gate| Gated {
            name: gate.name,
            stage: gate.stage.word(),
            enabled: self.enabled(gate.name),
        })
    }

    /// What there is, with the words that stand for a stage.
    #[cfg(test)]
    pub(crate) fn described() -> impl Iterator<Item = Description> {
        let gates = GATES.iter().map(|gate| Description {
            name: gate.name,
            stage: gate.stage.word(),
            default: gate.default,
            locked: gate.locked,
            idle: gate.idle.is_some(),
        });
        let groups = GROUPS.iter().map(|(name, stage)| Description {
            name,
            stage: stage.word(),
            default: false,
            locked: false,
            idle: false,
        });
        gates.chain(groups)
    }

    /// Whether external IPs are programmed.
    pub(crate) fn external_ips(&self) -> bool {
        self.enabled("AllowServiceExternalIPs")
    }

    /// Whether /flagz is served.
    pub(crate) fn flagz(&self) -> bool {
        self.enabled("ComponentFlagz")
    }

    /// Whether /statusz is served.
    pub(crate) fn statusz(&self) -> bool {
        self.enabled("ComponentStatusz")
    }

    /// Whether details of the log's formats may be given.
    pub(crate) fn log_options(&self) -> bool {
        self.enabled("LoggingAlphaOptions")
    }

    fn enabled(&self, name: &str) -> bool {
        self.0.get(name).copied().unwrap_or_default()
    }
}

fn unknown(name: &str) -> String {
    let near = nearest(name, GATES.iter().map(|gate| gate.name));
    let hint = near.map_or_else(String::new, |near| format!(" (did you mean {near}?)"));
    format!("{name} is unknown here and ignored{hint}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gates(given: &[(&str, bool)]) -> (Gates, Vec<String>, Vec<String>) {
        let given = given
            .iter()
            .map(|(name, value)| ((*name).to_owned(), *value));
        let (mut errors, mut warnings) = (Vec::new(), Vec::new());
        let gates = Gates::of(&given.collect(), &mut errors, &mut warnings);
        (gates, errors, warnings)
    }

    #[test]
    fn external_ips_are_allowed_unless_told_otherwise() {
        assert!(gates(&[]).0.external_ips());
        assert!(
            !gates(&[("AllowServiceExternalIPs", false)])
                .0
                .external_ips()
        );
        assert!(gates(&[("AllBeta", false)]).0.external_ips());
    }

    #[test]
    fn a_word_stands_for_a_stage_and_a_name_counts_more() {
        let enabled = |given: &[(&str, bool)], name| gates(given).0.enabled(name);
        assert!(!enabled(&[], "NativeHistograms"));
        assert!(enabled(&[("AllAlpha", true)], "NativeHistograms"));
        assert!(!enabled(
            &[("AllAlpha", true), ("NativeHistograms", false)],
            "NativeHistograms"
        ));
        assert!(!enabled(&[("AllBeta", false)], "ComponentFlagz"));
        assert!(enabled(&[("AllBeta", false)], "WinDSR"));
    }

    #[test]
    fn a_locked_gate_keeps_its_value() {
        let (_, errors, warnings) = gates(&[("NFTablesProxyMode", false), ("WinDSR", true)]);
        assert_eq!(
            errors,
            ["NFTablesProxyMode cannot be false: it is locked to true"]
        );
        assert!(warnings.is_empty());
    }

    #[test]
    fn a_gate_that_changes_nothing_is_a_warning() {
        let (gates, errors, warnings) =
            gates(&[("NativeHistograms", true), ("WatchListClient", true)]);
        assert!(gates.enabled("NativeHistograms") && errors.is_empty());
        let [warning] = &warnings[..] else {
            panic!("{warnings:?}")
        };
        assert!(warning.starts_with("NativeHistograms has no effect: "));
    }

    #[test]
    fn a_gate_of_something_else_is_a_warning() {
        let (_, errors, warnings) = gates(&[("CPUManager", true), ("NFTableProxyMode", true)]);
        assert!(errors.is_empty());
        assert_eq!(
            warnings,
            [
                "CPUManager is unknown here and ignored",
                "NFTableProxyMode is unknown here and ignored (did you mean NFTablesProxyMode?)"
            ]
        );
    }
}
