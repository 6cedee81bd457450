//! From the text of a file to its documents, one for each object.
//!
//! A file holds YAML documents, JSON values one after the other, or both; lists are taken apart,
//! so that everything after this sees single objects, each with its line in the file. Objects
//! that are of no use are counted and left out.

use std::borrow::Cow;

use fairlead_core::api::Kind;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::flaw::Flaw;
use super::{json, yaml};
use crate::wire::{Content, ContentError};

/// One object's text.
#[derive(Debug)]
pub(crate) struct Document<'a> {
    /// The first line in the file, from 1.
    pub(crate) line: usize,
    /// What its header announces, or what is wrong with that.
    pub(crate) kind: Result<Kind, Flaw>,
    pub(crate) syntax: Syntax,
    raw: Cow<'a, str>,
}

/// How a document is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Syntax {
    Yaml,
    /// An item of a YAML list, with its dash.
    YamlItem,
    Json,
}

/// The documents of a file.
#[derive(Debug, Default)]
pub(crate) struct Documents<'a> {
    /// In their order.
    pub(crate) list: Vec<Document<'a>>,
    /// How many objects of other kinds there are.
    pub(crate) ignored: usize,
    /// How many lists were taken apart.
    lists: usize,
    /// The last document if it is of another kind. Such documents are not parsed, but the last
    /// one shows whether the file is whole.
    last_ignored: Option<Document<'a>>,
}

/// Where a document stands.
#[derive(Clone, Copy)]
enum Place {
    Top,
    /// In a list, of one kind or of any.
    List(Option<Kind>),
}

/// Takes a file apart.
pub(crate) fn split(file: &str) -> Documents<'_> {
    let file = file.strip_prefix('\u{feff}').unwrap_or(file);
    let mut documents = Documents::default();
    for (line, text) in yaml::documents(file) {
        documents.add_chunk(line + 1, text);
    }
    documents.check_last();
    documents
}

impl<'a> Documents<'a> {
    /// Whether the file says nothing of the watched kinds, not even that there are none.
    pub(crate) fn is_silent(&self) -> bool {
        self.list.is_empty() && self.lists == 0
    }

    /// Adds what stands between two document markers: YAML, or JSON values.
    fn add_chunk(&mut self, line: usize, text: &'a str) {
        let (start, body_line) = yaml::body(text).unwrap_or_default();
        let body = &text[start..];
        let line = line + body_line;
        if !body.trim_start().starts_with('{') {
            let document = Document::new(line, Cow::Borrowed(body), Syntax::Yaml);
            return self.add(document, Place::Top);
        }
        let (values, error) = json::values(body);
        let no_json = values.is_empty();
        for (value_line, value) in values {
            let document =
                Document::new(line + value_line, Cow::Borrowed(value.get()), Syntax::Json);
            self.add(document, Place::Top);
        }
        if let Some(error) = error {
            let document = Document::new(line, Cow::Borrowed(body), Syntax::Yaml);
            // Flow style YAML looks like JSON at first.
            if no_json && yaml_serde::from_str::<IgnoredAny>(body).is_ok() {
                self.add(document, Place::Top);
            } else {
                self.list.push(Document {
                    kind: Err(Flaw::json(&error, line)),
                    syntax: Syntax::Json,
                    ..document
                });
            }
        }
    }

    fn add(&mut self, mut document: Document<'a>, place: Place) {
        self.last_ignored = None;
        match document.header(place) {
            Ok(Content::Object(kind)) => {
                document.kind = Ok(kind);
                self.list.push(document);
            }
            Ok(Content::List(kind)) => match place {
                Place::Top => self.add_items(document, kind),
                Place::List(_) => {
                    let message = "a list inside a list is not read: write its items out";
                    document.kind = Err(Flaw::new(document.line, message));
                    self.list.push(document);
                }
            },
            Ok(Content::Other) => {
                self.ignored += 1;
                self.last_ignored = Some(document);
            }
            Err(flaw) => {
                document.kind = Err(flaw);
                self.list.push(document);
            }
        }
    }

    fn add_items(&mut self, list: Document<'a>, kind: Option<Kind>) {
        self.lists += 1;
        let line = list.line;
        let place = Place::List(kind);
        match (list.syntax, list.raw) {
            (Syntax::Json, Cow::Borrowed(text)) => match json::items(text) {
                Ok(items) => {
                    for (item_line, item) in items {
                        let text = Cow::Borrowed(item.get());
                        self.add(Document::new(line + item_line, text, Syntax::Json), place);
                    }
                }
                Err(error) => {
                    let kind = Err(Flaw::json(&error, line));
                    self.list.push(Document {
                        line,
                        kind,
                        syntax: Syntax::Json,
                        raw: Cow::Borrowed(text),
                    });
                }
            },
            (_, Cow::Borrowed(text)) if let Some(items) = yaml::items(text) => {
                for (item_line, item) in items {
                    let text = Cow::Borrowed(item);
                    self.add(
                        Document::new(line + item_line, text, Syntax::YamlItem),
                        place,
                    );
                }
            }
            (_, text) => self.add_flow_items(line, text, place),
        }
    }

    /// Items whose borders only the parser finds; all of them are said to be on the list's line.
    fn add_flow_items(&mut self, line: usize, text: Cow<'a, str>, place: Place) {
        match yaml_value(&text).and_then(FlowList::deserialize) {
            Ok(list) => {
                for item in list.items.unwrap_or_default() {
                    self.add(
                        Document::new(line, Cow::Owned(item.to_string()), Syntax::Json),
                        place,
                    );
                }
            }
            Err(error) => {
                let kind = Err(Flaw::yaml(&error, &text, line));
                self.list.push(Document {
                    line,
                    kind,
                    syntax: Syntax::Yaml,
                    raw: text,
                });
            }
        }
    }

    fn check_last(&mut self) {
        let Some(last) = self.last_ignored.take() else {
            return;
        };
        if last.syntax != Syntax::Json
            && let Err(error) = yaml_serde::from_str::<IgnoredAny>(&last.text())
        {
            self.list.push(Document {
                kind: Err(Flaw::yaml(&error, &last.text(), last.line)),
                ..last
            });
        }
    }
}

#[derive(Deserialize)]
#[serde(expecting = "a mapping with items")]
struct FlowList {
    items: Option<Vec<serde_json::Value>>,
}

impl<'a> Document<'a> {
    fn new(line: usize, raw: Cow<'a, str>, syntax: Syntax) -> Document<'a> {
        Document {
            line,
            kind: Err(Flaw::new(line, String::new())),
            syntax,
            raw,
        }
    }

    /// The text to be parsed. The dash of a list's item gives way to a space: what is left is
    /// a mapping, indented.
    pub(crate) fn text(&self) -> Cow<'_, str> {
        match self.syntax {
            Syntax::Yaml | Syntax::Json => Cow::Borrowed(&self.raw),
            Syntax::YamlItem => Cow::Owned(self.raw.replacen('-', " ", 1)),
        }
    }

    /// The text as it stands in the file.
    pub(crate) fn raw(&self) -> &str {
        &self.raw
    }

    fn header(&self, place: Place) -> Result<Content, Flaw> {
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
        match (
            Content::of(api_version.unwrap_or_default(), kind.unwrap_or_default()),
            place,
        ) {
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
