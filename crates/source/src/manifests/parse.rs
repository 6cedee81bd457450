//! From a document to the object it describes.

use fairlead_core::api::{Change, Kind};

use super::documents::Document;
use super::piece::{Piece, Syntax, yaml_value};
use super::problem::Identity;
use super::yaml;
use crate::flaw::Flaw;
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
    let object = read(kind, &document.piece).map_err(broken)?;
    let identity = object
        .identity()
        .map_err(|error| broken(Flaw::new(document.piece.line, error.to_string())))?;
    let change = object.into_change(identity.1.clone());
    Ok((identity, change))
}

fn read(kind: Kind, piece: &Piece<'_>) -> Result<Object, Flaw> {
    let text = piece.text();
    let line = piece.line;
    if piece.syntax == Syntax::Json {
        let mut track = serde_path_to_error::Track::new();
        let mut json = serde_json::Deserializer::from_str(&text);
        let tracked = serde_path_to_error::Deserializer::new(&mut json, &mut track);
        return Object::read(kind, tracked)
            .map_err(|error| Flaw::json_at(&track.path(), &error, line));
    }
    let object = if text.contains("<<:") {
        yaml_value(&text).and_then(|value| Object::read(kind, value))
    } else {
        Object::read(kind, yaml_serde::Deserializer::from_str(&text))
    };
    object.map_err(|error| Flaw::yaml(&error, &text, line))
}

/// Which object a broken document was meant to describe: from its values if only their types are
/// wrong, and from its lines if it does not parse.
fn guess(document: &Document<'_>) -> Option<Identity> {
    let text = document.piece.text();
    if document.piece.syntax == Syntax::Json {
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
