//! What is told of the objects of one kind, given their text: pure.

use std::collections::HashMap;

use fairlead_core::api::{Change, Kind, ObjectName};

use super::answer::Header;
use super::news::News;
use super::roll::Roll;
use crate::flaw::Flaw;
use crate::wire::Object;

/// So many objects of a kind that cannot be read are named. When all are broken in the same way,
/// the first few tell enough.
const NAMED_FLAWS: usize = 20;

/// What follows from what was heard.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) changes: Vec<Change>,
    pub(super) news: Vec<News>,
}

/// The objects of one kind.
#[derive(Debug)]
pub(super) struct Telling {
    kind: Kind,
    roll: Roll,
    /// What is wrong with objects that exist and cannot be read.
    flaws: HashMap<ObjectName, String>,
    /// Whether nothing in the list, or the watch, can have been told already.
    fresh: bool,
    /// The list has an object without a name, which may be any of those that it seems to lack.
    nameless: bool,
    synced: bool,
}

impl Telling {
    pub(super) fn new(kind: Kind) -> Telling {
        Telling {
            kind,
            roll: Roll::default(),
            flaws: HashMap::new(),
            fresh: true,
            nameless: false,
            synced: false,
        }
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether every object was told once.
    pub(super) fn is_synced(&self) -> bool {
        self.synced
    }

    /// A list begins.
    pub(super) fn begin(&mut self) {
        self.roll.begin();
        self.fresh = self.roll.is_empty();
        self.nameless = false;
    }

    /// A list is complete: who is on the roll and was not in it is gone.
    pub(super) fn complete(&mut self, said: &mut Said) {
        let gone = match self.nameless {
            true => Vec::new(),
            false => self.roll.complete(),
        };
        for name in gone {
            self.flaws.remove(&name);
            said.changes.push(Change::Deleted(self.kind, name));
        }
        // What a watch says is news by nature.
        self.fresh = true;
        self.synced(said);
    }

    /// All there is was told.
    pub(super) fn synced(&mut self, said: &mut Said) {
        if !std::mem::replace(&mut self.synced, true) {
            said.changes.push(Change::Synced(self.kind));
        }
    }

    /// Tells an object if it is new and can be read, and returns its resource version.
    pub(super) fn upsert(&mut self, text: &str, said: &mut Said) -> String {
        if !self.fresh {
            let header = header(text);
            let name = header.name(self.kind);
            if name.is_some_and(|name| self.roll.is_told(&name, header.revision())) {
                return header.revision().to_owned();
            }
        }
        match self.read(text) {
            Ok((name, object)) => {
                let revision = object.revision().to_owned();
                let name = self.roll.told(name, &revision);
                self.flaws.remove(&name);
                said.changes.push(object.into_change(name));
                revision
            }
            Err(flaw) => {
                let header = header(text);
                self.unread(header.name(self.kind), flaw, said);
                header.revision().to_owned()
            }
        }
    }

    /// Tells that an object is gone, and returns the resource version of that.
    pub(super) fn deleted(&mut self, text: &str, said: &mut Said) -> String {
        let header = header(text);
        if let Some(name) = header.name(self.kind) {
            self.flaws.remove(&name);
            if self.roll.gone(&name) {
                said.changes.push(Change::Deleted(self.kind, name));
            }
        }
        header.revision().to_owned()
    }

    fn read(&self, text: &str) -> Result<(ObjectName, Object), String> {
        let mut json = serde_json::Deserializer::from_str(text);
        let object = Object::read(self.kind, &mut json).map_err(|_| self.flaw(text))?;
        let (_, name) = object.identity().map_err(|error| error.to_string())?;
        Ok((name, object))
    }

    /// Reads what could not be read once more, to say which field is to blame.
    fn flaw(&self, text: &str) -> String {
        let mut track = serde_path_to_error::Track::new();
        let mut json = serde_json::Deserializer::from_str(text);
        let tracked = serde_path_to_error::Deserializer::new(&mut json, &mut track);
        match Object::read(self.kind, tracked) {
            Ok(_) => String::new(),
            Err(error) => Flaw::json_at(&track.path(), &error, 1).message,
        }
    }

    fn unread(&mut self, name: Option<ObjectName>, flaw: String, said: &mut Said) {
        let kind = self.kind;
        let Some(name) = name else {
            self.nameless = true;
            let text = format!("{kind} without a name: {flaw}; it is passed over");
            return said.news.push(News::warning(text));
        };
        self.roll.unread(&name);
        if self.flaws.get(&name) == Some(&flaw) {
            return;
        }
        let text = format!(
            "{kind} {name}: {flaw}; it stays as it was until it can be read (mend the object)"
        );
        self.flaws.insert(name, flaw);
        match self.flaws.len() {
            ..=NAMED_FLAWS => said.news.push(News::warning(text)),
            count if count == NAMED_FLAWS + 1 => said.news.push(News::warning(format!(
                "more objects of kind {kind} cannot be read; no more of them are named"
            ))),
            _ => {}
        }
    }
}

/// A header that cannot be read is that of an object without a name.
pub(super) fn header(text: &str) -> Header<'_> {
    serde_json::from_str(text).unwrap_or_default()
}
