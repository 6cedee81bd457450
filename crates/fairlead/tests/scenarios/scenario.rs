//! A scenario as its file has it; `scenarios/README.md` explains the format.

use std::path::Path;
use std::{fs, io};

use libtest_mimic::Failed;
use serde::Deserialize;
use serde_json::Value;

use crate::modes::Modes;
use crate::question::Question;
use crate::rig::Mode;

/// The folder of scenarios.
pub(crate) const SCENARIOS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scenarios");

/// What a file describes.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) header: Header,
    /// The objects at the beginning.
    pub(crate) objects: Vec<Value>,
}

/// The first document.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Header {
    /// What is so, in a sentence.
    pub(crate) title: String,
    /// The modes in which it is.
    #[serde(default)]
    pub(crate) mode: Modes,
    /// Flags of Fairlead.
    #[serde(default)]
    pub(crate) flags: Vec<String>,
    /// Files in `objects/` with more objects that are there at the beginning.
    #[serde(default)]
    pub(crate) objects: Vec<String>,
    /// What is asked at first.
    #[serde(default)]
    pub(crate) ask: Vec<Question>,
    /// What happens then.
    #[serde(default)]
    pub(crate) then: Vec<Step>,
}

/// Something that happens, and what is so afterwards.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Step {
    /// Objects that come or change.
    #[serde(default)]
    pub(crate) apply: Vec<Value>,
    /// Objects that go, each `KIND NAME`.
    #[serde(default)]
    pub(crate) delete: Vec<String>,
    /// Seconds to wait.
    #[serde(default)]
    pub(crate) wait: f32,
    /// What is asked after it.
    #[serde(default)]
    pub(crate) ask: Vec<Question>,
}

impl Scenario {
    /// The modes in which it happens.
    pub(crate) fn modes(&self) -> impl Iterator<Item = Mode> {
        let all = Mode::ALL.into_iter();
        all.filter(|mode| self.header.mode.have(*mode))
    }
}

impl Step {
    /// Whether Fairlead has to take something in.
    pub(crate) fn changes_objects(&self) -> bool {
        !self.apply.is_empty() || !self.delete.is_empty()
    }
}

/// The names of all scenarios in a folder.
pub(crate) fn names(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if let (Some("yaml"), Some(name)) = (
            path.extension().and_then(|end| end.to_str()),
            path.file_stem().and_then(|name| name.to_str()),
        ) {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Reads a scenario in a folder.
pub(crate) fn read(folder: &Path, name: &str) -> Result<Scenario, Failed> {
    let mut documents = documents(&folder.join(name))?.into_iter();
    let header = documents.next().ok_or_else(|| format!("{name} is empty"))?;
    let header: Header =
        serde_json::from_value(header).map_err(|error| format!("{name}: {error}"))?;
    let mut objects = Vec::new();
    for file in &header.objects {
        objects.extend(self::documents(&folder.join("objects").join(file))?);
    }
    objects.extend(documents);
    Ok(Scenario { header, objects })
}

fn documents(path: &Path) -> Result<Vec<Value>, Failed> {
    let path = path.with_extension("yaml");
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let documents = yaml_serde::Deserializer::from_str(&text).map(Value::deserialize);
    documents
        .collect::<Result<_, _>>()
        .map_err(|error| format!("{}: {error}", path.display()).into())
}
