//! From a document to the object it describes.

use fairlead_core::api::{Change, Kind};

use super::documents::{Document, Syntax, yaml_value};
use super::flaw::Flaw;
use super::problem::Identity;
use super::yaml;
use crate::wire::{Object, object_name};

/// A document that describes no object as it is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    /// Which object it was meant to describe, if that can be told.
    pub(crate) identity: Option<Identity>,
    /// Why it does not.
    pub(crate) flaw: Flaw,
}

/// Reads the object of a document.
pub(crate) fn parse(document: &Document<'_>) -> Result<(Identity, Change), Broken> {
    let broken = |flaw| Broken {
        identity: guess(document),
        flaw,
    };
    let kind = document.kind.clone().map_err(broken)?;
    let object = read(kind, document).map_err(broken)?;
    let identity = object
        .identity()
        .map_err(|error| broken(Flaw::new(document.line, error.to_string())))?;
    let change = object.into_change(identity.1.clone());
    Ok((identity, change))
}

fn read(kind: Kind, document: &Document<'_>) -> Result<Object, Flaw> {
    let text = document.text();
    let line = document.line;
    if document.syntax == Syntax::Json {
        let object = Object::read(kind, &mut serde_json::Deserializer::from_str(&text));
        return object.map_err(|_| json_flaw(kind, &text, line));
    }
    if text.contains("<<:") {
        let object = yaml_value(&text).and_then(|value| Object::read(kind, value));
        return object.map_err(|error| Flaw::yaml(&error, &text, line));
    }
    Object::read(kind, yaml_serde::Deserializer::from_str(&text))
        .map_err(|error| Flaw::yaml(&error, &text, line))
}

/// Reads once more, keeping track of the path of fields.
fn json_flaw(kind: Kind, text: &str, line: usize) -> Flaw {
    let mut track = serde_path_to_error::Track::new();
    let mut json = serde_json::Deserializer::from_str(text);
    match Object::read(
        kind,
        serde_path_to_error::Deserializer::new(&mut json, &mut track),
    ) {
        Ok(_) => Flaw::new(line, "could not be read"),
        Err(error) => Flaw::json_at(&serde_path_to_error::Error::new(track.path(), error), line),
    }
}

/// Which object a broken document was meant to describe: from its values if only their types are
/// wrong, and from its lines if it does not parse.
fn guess(document: &Document<'_>) -> Option<Identity> {
    let text = document.text();
    if document.syntax == Syntax::Json {
        let value: serde_json::Value = serde_json::from_str(&text).ok()?;
        let text_at = |path| value.pointer(path).and_then(|value| value.as_str());
        return identity(
            document,
            text_at("/kind"),
            text_at("/metadata/namespace"),
            text_at("/metadata/name"),
        );
    }
    if let Ok(value) = yaml_value(&text) {
        let metadata = value.get("metadata");
        let in_metadata = |key| {
            metadata
                .and_then(|metadata| metadata.get(key))
                .and_then(|value| value.as_str())
        };
        let kind = value.get("kind").and_then(|value| value.as_str());
        return identity(
            document,
            kind,
            in_metadata("namespace"),
            in_metadata("name"),
        );
    }
    let [kind] = yaml::fields(&text, ["kind"]);
    let [namespace, name] = yaml::fields_of(&text, "metadata", ["namespace", "name"]);
    identity(document, kind, namespace, name)
}

fn identity(
    document: &Document<'_>,
    kind: Option<&str>,
    namespace: Option<&str>,
    name: Option<&str>,
) -> Option<Identity> {
    let spelled = || {
        Kind::ALL
            .into_iter()
            .find(|known| kind == Some(&known.to_string()))
    };
    let kind = document.kind.as_ref().ok().copied().or_else(spelled)?;
    let name = name.filter(|name| !name.is_empty())?;
    Some((kind, object_name(kind, namespace, name)))
}
