//! The text of one object, and what its header announces.

use std::borrow::Cow;

use fairlead_core::api::Kind;

use super::{json, yaml};
use crate::flaw::Flaw;
use crate::wire::{Content, ContentError};

/// The text of one object, or of a list of them.
#[derive(Debug)]
pub(crate) struct Piece<'a> {
    /// The first line in the file, from 1.
    pub(crate) line: usize,
    pub(crate) syntax: Syntax,
    /// As it stands in the file.
    pub(crate) raw: Cow<'a, str>,
}

/// How a piece is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Syntax {
    Yaml,
    /// An item of a YAML list, with its dash.
    YamlItem,
    Json,
}

/// Where a piece stands.
#[derive(Clone, Copy)]
pub(crate) enum Place {
    Top,
    /// In a list, of one kind or of any.
    List(Option<Kind>),
}

impl<'a> Piece<'a> {
    pub(super) fn new(line: usize, syntax: Syntax, raw: impl Into<Cow<'a, str>>) -> Piece<'a> {
        let raw = raw.into();
        Piece { line, syntax, raw }
    }

    /// The text to be parsed. The dash of a list's item gives way to a space: what is left is
    /// a mapping, indented.
    pub(crate) fn text(&self) -> Cow<'_, str> {
        match self.syntax {
            Syntax::Yaml | Syntax::Json => Cow::Borrowed(&self.raw),
            Syntax::YamlItem => Cow::Owned(self.raw.replacen('-', " ", 1)),
        }
    }

    /// What `apiVersion` and `kind` say of it.
    pub(super) fn header(&self, place: Place) -> Result<Content, Flaw> {
        let text = self.text();
        if self.syntax == Syntax::Json {
            let header: json::Header<'_> =
                serde_json::from_str(&text).map_err(|error| Flaw::json(&error, self.line))?;
            return self.content(header.api_version.as_deref(), header.kind.as_deref(), place);
        }
        let [api_version, kind] = yaml::fields(&text, ["apiVersion", "kind"]);
        if api_version.is_some() && kind.is_some() {
            return self.content(api_version, kind, place);
        }
        let value = yaml_value(&text).map_err(|error| Flaw::yaml(&error, &text, self.line))?;
        let [api_version, kind] =
            ["apiVersion", "kind"].map(|key| value.get(key).and_then(|value| value.as_str()));
        self.content(api_version, kind, place)
    }

    fn content(
        &self,
        api_version: Option<&str>,
        kind: Option<&str>,
        place: Place,
    ) -> Result<Content, Flaw> {
        let content = Content::of(api_version.unwrap_or_default(), kind.unwrap_or_default());
        match (content, place) {
            // The objects in a ServiceList, as an API server sends it, do not repeat their kind.
            (Err(ContentError::NoKind | ContentError::NoVersion(..)), Place::List(Some(kind))) => {
                Ok(Content::Object(kind))
            }
            (content, _) => content.map_err(|error| Flaw::new(self.line, error.to_string())),
        }
    }
}

/// Parses YAML without knowing what to expect, and carries out its merge keys (`<<`).
pub(crate) fn yaml_value(text: &str) -> Result<yaml_serde::Value, yaml_serde::Error> {
    let mut value: yaml_serde::Value = yaml_serde::from_str(text)?;
    value.apply_merge()?;
    Ok(value)
}
