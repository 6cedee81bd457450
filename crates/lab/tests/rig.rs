//! Whether the lab sees what is there: it is shown what kube-proxy had programmed, and has to
//! find what kube-proxy's clients met.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use fairlead_core::api::Change;
use fairlead_lab::conformance::{self, Case};
use fairlead_lab::{Lab, privilege};
use fairlead_source::wire::{Content, Object};
use libtest_mimic::{Arguments, Failed, Trial};
use serde::Deserialize;

/// The recorded cases.
const RECORDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/recorded");

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    // Before there is a second thread.
    let allowed = privilege::obtain().map_err(|error| error.to_string());
    let trials = conformance::cases(Path::new(RECORDED), "nftables")
        .expect("the recorded cases")
        .into_iter()
        .filter(|case| case.rules.exists())
        .map(|case| {
            let allowed = allowed.clone();
            Trial::test(case.name.clone(), move || {
                allowed?;
                finds_what_was_recorded(&case)
            })
        });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

fn finds_what_was_recorded(case: &Case) -> Result<(), Failed> {
    let lab = Lab::new()?;
    lab.run_on_node(Command::new("nft").arg("-f").arg(&case.rules))?;
    let objects = objects(case)?;
    let differences = case.differences(&lab, &objects)?;
    if differences.is_empty() {
        return Ok(());
    }
    Err(differences
        .iter()
        .map(ToString::to_string)
        .collect::<String>()
        .into())
}

/// The case's objects. They were written by an API server, so what one of them lacks is an error.
fn objects(case: &Case) -> Result<Vec<Change>, Failed> {
    let text = fs::read_to_string(&case.objects)?;
    yaml_serde::Deserializer::from_str(&text)
        .map(|document| {
            let value = yaml_serde::Value::deserialize(document)?;
            let text_of = |key| {
                value
                    .get(key)
                    .and_then(|value| value.as_str())
                    .unwrap_or_default()
            };
            let content = Content::of(text_of("apiVersion"), text_of("kind"))?;
            let Content::Object(kind) = content else {
                return Err("not an object".into());
            };
            let object = Object::read(kind, value)?;
            let (_, name) = object.identity()?;
            Ok(object.into_change(name))
        })
        .collect()
}
