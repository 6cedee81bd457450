//! From the text of a file to its documents, one for each object.
//!
//! A file holds YAML documents, JSON values one after the other, or both; lists are taken apart,
//! so that everything after this sees single objects, each with its line in the file. Objects
//! that are of no use are counted and left out.

use std::borrow::Cow;

use fairlead_core::api::Kind;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::piece::{Piece, Place, Syntax, yaml_value};
use super::{json, yaml};
use crate::flaw::Flaw;
use crate::wire::Content;

/// One object's text and what to make of it.
#[derive(Debug)]
pub(crate) struct Document<'a> {
    pub(crate) piece: Piece<'a>,
    /// What its header announces, or what is wrong with that.
    pub(crate) kind: Result<Kind, Flaw>,
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
    last_ignored: Option<Piece<'a>>,
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
        let (body, line) = (&text[start..], line + body_line);
        if !body.trim_start().starts_with('{') {
            return self.add(Piece::new(line, Syntax::Yaml, body), Place::Top);
        }
        let (values, error) = json::values(body);
        // Flow style YAML looks like JSON at first.
        if values.is_empty() && error.is_some() && yaml_serde::from_str::<IgnoredAny>(body).is_ok()
        {
            return self.add(Piece::new(line, Syntax::Yaml, body), Place::Top);
        }
        for (value_line, value) in values {
            self.add(
                Piece::new(line + value_line, Syntax::Json, value.get()),
                Place::Top,
            );
        }
        if let Some(error) = error {
            self.push(
                Piece::new(line, Syntax::Json, body),
                Err(Flaw::json(&error, line)),
            );
        }
    }

    fn add(&mut self, piece: Piece<'a>, place: Place) {
        self.last_ignored = None;
        match (piece.header(place), place) {
            (Ok(Content::Object(kind)), _) => self.push(piece, Ok(kind)),
            (Ok(Content::List(kind)), Place::Top) => self.add_items(piece, Place::List(kind)),
            (Ok(Content::List(_)), Place::List(_)) => {
                let message = "a list inside a list is not read: write its items out";
                let flaw = Flaw::new(piece.line, message);
                self.push(piece, Err(flaw));
            }
            (Ok(Content::Other), _) => {
                self.ignored += 1;
                self.last_ignored = Some(piece);
            }
            (Err(flaw), _) => self.push(piece, Err(flaw)),
        }
    }

    fn push(&mut self, piece: Piece<'a>, kind: Result<Kind, Flaw>) {
        self.list.push(Document { piece, kind });
    }

    fn add_items(&mut self, list: Piece<'a>, place: Place) {
        self.lists += 1;
        let line = list.line;
        match (list.syntax, list.raw) {
            (Syntax::Json, Cow::Borrowed(text)) => match json::items(text) {
                Ok(items) => {
                    for (item_line, item) in items {
                        self.add(
                            Piece::new(line + item_line, Syntax::Json, item.get()),
                            place,
                        );
                    }
                }
                Err(error) => self.push(
                    Piece::new(line, Syntax::Json, text),
                    Err(Flaw::json(&error, line)),
                ),
            },
            (Syntax::Yaml, Cow::Borrowed(text)) if let Some(items) = yaml::items(text) => {
                for (item_line, item) in items {
                    self.add(Piece::new(line + item_line, Syntax::YamlItem, item), place);
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
                    self.add(Piece::new(line, Syntax::Json, item.to_string()), place);
                }
            }
            Err(error) => {
                let flaw = Flaw::yaml(&error, &text, line);
                self.push(Piece::new(line, Syntax::Yaml, text), Err(flaw));
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
            let flaw = Flaw::yaml(&error, &last.text(), last.line);
            self.push(last, Err(flaw));
        }
    }
}

#[derive(Deserialize)]
#[serde(expecting = "a mapping with items")]
struct FlowList {
    items: Option<Vec<serde_json::Value>>,
}
