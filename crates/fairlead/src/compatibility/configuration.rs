//! Flags, fields and gates.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Row, Verdict, compare, hold, list, table};
use crate::cli::flags::{Flag, Flags, Standing, all};
use crate::config::duration::GoDuration;
use crate::config::userspace::UDP_IDLE;
use crate::config::v1alpha1::{KubeProxyConfiguration, VmoduleItem};
use crate::config::{Gates, is_built, is_idle, is_live, with_defaults};

const FLAGS: &str = include_str!("../../tests/kube-proxy/flags.txt");
const FIELDS: &str = include_str!("../../tests/kube-proxy/fields.txt");
const GATES: &str = include_str!("../../tests/kube-proxy/gates.txt");

/// The flags by the names that the document has for them.
fn flags() -> BTreeMap<String, &'static Flag> {
    all().map(|flag| (flag.to_string(), flag)).collect()
}

fn default_of(flag: &Flag) -> String {
    flag.slot.show(&mut Flags::default())
}

#[test]
fn flags_are_those_of_kube_proxy_and_ours() {
    let mut rows = hold("Flags", list(FLAGS));
    rows.extend(table("Flags of Fairlead"));
    // What is absent is taken, so it is compared as well.
    for row in &mut rows {
        let flag = flags().get(row.name()).copied();
        let flag = flag.unwrap_or_else(|| panic!("{} is not taken", row.name()));
        let has_effect =
            !matches!(flag.standing, Standing::Never(_)) && !is_of_an_absent_mode(flag);
        let is_past = row.verdict == Verdict::Added && !has_effect;
        assert!(has_effect == row.verdict.is_there() || is_past, "{flag}");
        row.verdict = Verdict::Same;
    }
    let program = flags().into_iter();
    let program = program.map(|(name, flag)| (name, vec![default_of(flag)]));
    compare("Flags", &rows, &program.collect());
}

/// Whether all that a flag stands for is in sections of modes that are not built.
fn is_of_an_absent_mode(flag: &Flag) -> bool {
    !flag.fields.is_empty() && flag.fields.iter().all(|field| !has_effect(field))
}

/// Whether a field is of a mode that is built, or of none.
fn has_effect(field: &str) -> bool {
    let section = field.split_once('.').map_or("", |(section, _)| section);
    !matches!(section, "iptables" | "ipvs") || is_built(section)
}

#[test]
fn deprecated_flags_say_so() {
    for row in super::cells("Flags") {
        let [name, .., why] = &row[..] else {
            panic!("{row:?}")
        };
        let deprecated = matches!(flags()[name].standing, Standing::Deprecated(_));
        assert_eq!(why.contains("deprecated"), deprecated, "{name}");
    }
}

/// Every field by its path, with its default. Fields that are left out where they are empty are
/// taken from a configuration in which they are not.
fn fields() -> BTreeMap<String, Vec<String>> {
    let config = with_defaults(KubeProxyConfiguration::default());
    let mut full = config.clone();
    full.feature_gates.insert("A".to_owned(), true);
    full.logging.vmodule.push(VmoduleItem::default());
    full.logging.options.text.split_stream = true;
    full.logging.options.json.split_stream = true;
    full.windows_run_as_service = true;
    full.udp_idle_timeout = UDP_IDLE;
    let mut fields = BTreeMap::new();
    leaves(&json!(full), &json!(config), "", &mut fields);
    fields
}

fn leaves(full: &Value, config: &Value, path: &str, fields: &mut BTreeMap<String, Vec<String>>) {
    match full {
        Value::Object(map) if path != "featureGates" => {
            for (name, value) in map {
                let below = match path {
                    "" => name.clone(),
                    path => format!("{path}.{name}"),
                };
                leaves(value, &config[name], &below, fields);
            }
        }
        full => {
            let default = match (config, full) {
                (Value::String(text), _) => text.clone(),
                (Value::Null, Value::Object(_)) => "{}".to_owned(),
                (Value::Null, Value::Array(_)) => "[]".to_owned(),
                (Value::Null, Value::Bool(_)) => "false".to_owned(),
                (Value::Null, Value::String(_)) => GoDuration::ZERO.to_string(),
                (other, _) => other.to_string(),
            };
            fields.insert(path.to_owned(), vec![default]);
        }
    }
}

#[test]
fn fields_are_those_of_kube_proxy_and_ours() {
    let mut rows = hold("Fields", list(FIELDS));
    rows.extend(table("Fields of Fairlead"));
    let taken = |row: &Row| Row {
        verdict: Verdict::Same,
        ..row.clone()
    };
    let all_taken: Vec<Row> = rows.iter().map(taken).collect();
    compare("Fields", &all_taken, &fields());
    for row in rows {
        let has_effect = has_effect(row.name()) && !is_idle(row.name());
        assert_eq!(has_effect, row.verdict.is_there(), "{}", row.name());
    }
}

#[test]
fn what_is_live_is_said_to_be() {
    for row in super::cells("Fields") {
        let [name, _, verdict, why] = &row[..] else {
            panic!("{row:?}")
        };
        let told = why.split("; ").any(|part| part == "live");
        let live = is_live(name) && verdict != "absent";
        assert_eq!(told, live, "{name}");
    }
}

#[test]
fn gates_are_those_of_kube_proxy_that_mean_something() {
    let rows = hold("Feature gates", list(GATES));
    let program = Gates::described().map(|gate| {
        let facts = [gate.default.to_string(), gate.stage.to_lowercase()];
        let lock = if gate.locked { "locked" } else { "" };
        (
            gate.name.to_owned(),
            [&facts[..], &[lock.to_owned()]].concat(),
        )
    });
    let program: BTreeMap<_, _> = program.collect();
    for row in &rows {
        let gate = Gates::described().find(|gate| gate.name == row.name());
        let idle = gate.is_some_and(|gate| gate.idle);
        assert_eq!(idle, !row.verdict.is_there(), "{}", row.name());
    }
    let taken = rows.into_iter().map(|row| Row {
        verdict: Verdict::Same,
        ..row
    });
    compare("Feature gates", &taken.collect::<Vec<_>>(), &program);
}
