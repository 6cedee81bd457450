//! JSON text: the values in it, their lines, and the items of lists, without copying any.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// What announces the content of an object.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "a Kubernetes object")]
pub(super) struct Header<'a> {
    #[serde(borrow)]
    pub(super) api_version: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) kind: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct List<'a> {
    #[serde(borrow)]
    items: Option<Vec<&'a RawValue>>,
}

/// The JSON values of a text with their lines, counted from 0, and what ended it too early.
pub(super) fn values(text: &str) -> (Vec<(usize, &RawValue)>, Option<serde_json::Error>) {
    let mut values = Vec::new();
    let mut lines = LineCount::of(text);
    for value in serde_json::Deserializer::from_str(text).into_iter::<&RawValue>() {
        match value {
            Ok(value) => values.push((lines.before(value.get()), value)),
            Err(error) => return (values, Some(error)),
        }
    }
    (values, None)
}

/// The items of a list with their lines, counted from 0.
pub(super) fn items(text: &str) -> Result<Vec<(usize, &RawValue)>, serde_json::Error> {
    let list: List<'_> = serde_json::from_str(text)?;
    let mut lines = LineCount::of(text);
    Ok(list
        .items
        .unwrap_or_default()
        .into_iter()
        .map(|item| (lines.before(item.get()), item))
        .collect())
}

/// Counts the lines before parts of a text that are asked for from first to last.
struct LineCount<'a> {
    text: &'a str,
    offset: usize,
    lines: usize,
}

impl<'a> LineCount<'a> {
    fn of(text: &'a str) -> LineCount<'a> {
        LineCount {
            text,
            offset: 0,
            lines: 0,
        }
    }

    fn before(&mut self, part: &'a str) -> usize {
        let start = part.as_ptr() as usize - self.text.as_ptr() as usize;
        self.lines += self.text[self.offset..start].matches('\n').count();
        self.offset = start;
        self.lines
    }
}
