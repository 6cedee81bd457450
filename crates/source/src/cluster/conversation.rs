//! The conversation about one kind: bytes in, changes out. Pure: what to ask and how long to wait
//! is the reflector's, who is known the roll's, and this connects them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use fairlead_core::api::{Change, Kind, ObjectName};

use super::answer::{Event, Header, List, Status};
use super::news::News;
use super::patience::Pauses;
use super::pieces::{Items, Lines};
use super::reflector::{Ask, End, Mark, Reaction, Reflector};
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

/// The conversation about one kind.
#[derive(Debug)]
pub(super) struct Conversation {
    kind: Kind,
    reflector: Reflector,
    roll: Roll,
    /// What is wrong with objects that exist and cannot be read.
    flaws: HashMap<ObjectName, String>,
    /// Whether the roll was empty when the list began: nothing can be unchanged then.
    fresh: bool,
    /// The list has an object without a name, which may be any of those that it seems to lack.
    nameless: bool,
    synced: bool,
    answer: Answer,
}

/// The answer that is being read.
#[derive(Debug)]
enum Answer {
    Events(Lines),
    Page(Items),
}

/// How an answer ended before its end, with words for it if it is a failure.
#[derive(Debug)]
pub(super) struct Break {
    pub(super) end: End,
    pub(super) why: String,
}

impl Conversation {
    pub(super) fn new(kind: Kind, pauses: Pauses) -> Conversation {
        Conversation {
            kind,
            reflector: Reflector::new(pauses, kind == Kind::ServiceCidr),
            roll: Roll::default(),
            flaws: HashMap::new(),
            fresh: true,
            nameless: false,
            synced: false,
            answer: Answer::Events(Lines::default()),
        }
    }

    /// What to ask now.
    pub(super) fn ask(&mut self, now: Instant) -> Ask {
        let (ask, begins) = self.reflector.ask(now);
        if begins {
            self.roll.begin();
            self.fresh = self.roll.is_empty();
            self.nameless = false;
        }
        self.answer = match ask {
            Ask::Page(_) => Answer::Page(Items::default()),
            Ask::Stream | Ask::Watch(_) => Answer::Events(Lines::default()),
        };
        ask
    }

    /// Whether every object was told once.
    pub(super) fn is_synced(&self) -> bool {
        self.synced
    }

    /// Whether a streaming list is under way.
    pub(super) fn is_listing(&self) -> bool {
        self.reflector.is_streaming()
    }

    /// Takes in a part of the answer.
    pub(super) fn hear(&mut self, chunk: &[u8], said: &mut Said) -> Result<(), Break> {
        match std::mem::replace(&mut self.answer, Answer::Events(Lines::default())) {
            Answer::Events(mut lines) => {
                let mut heard = Ok(());
                let cut = lines.push(chunk, |line| {
                    if heard.is_ok() && !line.trim_ascii().is_empty() {
                        heard = self.event(line, said);
                    }
                });
                self.answer = Answer::Events(lines);
                heard?;
                cut.map_err(|uncut| mangled(&uncut.to_string()))
            }
            Answer::Page(mut items) => {
                let cut = items.push(chunk, |item| {
                    self.upsert(&String::from_utf8_lossy(item), said);
                });
                self.answer = Answer::Page(items);
                cut.map_err(|uncut| broken(&uncut.to_string(), Duration::ZERO))
            }
        }
    }

    /// Takes note that the answer is complete, `lived` after it was asked for. A page may be the
    /// last, a watch is to be asked for again: neither is a failure.
    pub(super) fn close(&mut self, lived: Duration, said: &mut Said) -> Result<Option<End>, Break> {
        match std::mem::replace(&mut self.answer, Answer::Events(Lines::default())) {
            Answer::Events(lines) => match lines.is_between() {
                true => Ok(Some(End::Over { lived })),
                false => Err(broken("it ended in the middle of an object", lived)),
            },
            Answer::Page(items) => {
                let list = items.rest();
                let list = list.and_then(|list| serde_json::from_slice::<List>(&list).ok());
                let list = list.ok_or_else(|| broken("it ended in the middle of a list", lived))?;
                let (revision, token) = list.into_parts();
                if self.reflector.page(&revision, &token) {
                    self.complete(said);
                }
                Ok(None)
            }
        }
    }

    /// Takes note of how a request ended, and says how long to wait until the next.
    pub(super) fn ended(
        &mut self,
        end: End,
        now: Instant,
        chance: f64,
        said: &mut Said,
    ) -> Duration {
        let unserved = self.is_unserved(end);
        if unserved && !self.synced {
            self.synced = true;
            said.changes.push(Change::Synced(self.kind));
        }
        self.reflector.ended(end, now, chance)
    }

    /// Whether this answer means that the server does not know a kind that it may do without.
    pub(super) fn is_unserved(&self, end: End) -> bool {
        self.kind == Kind::ServiceCidr
            && matches!(
                end,
                End::Refused {
                    code: 404,
                    event: false,
                    ..
                }
            )
    }

    fn event(&mut self, line: &[u8], said: &mut Said) -> Result<(), Break> {
        let event: Event<'_> =
            serde_json::from_slice(line).map_err(|error| mangled(&error.to_string()))?;
        let object = event.object.get();
        match &*event.r#type {
            "ADDED" | "MODIFIED" => {
                let revision = self.upsert(object, said);
                self.mark(
                    Mark::Object {
                        revision: &revision,
                    },
                    said,
                )
            }
            "DELETED" => {
                let header = header(object);
                if let Some(name) = header.name(self.kind) {
                    self.deleted(name, said);
                }
                self.mark(
                    Mark::Object {
                        revision: header.revision(),
                    },
                    said,
                )
            }
            "BOOKMARK" => {
                let header = header(object);
                let mark = Mark::Bookmark {
                    revision: header.revision(),
                    end: header.ends_initial_events(),
                };
                self.mark(mark, said)
            }
            "ERROR" => Err(refused(&Status::read(object.as_bytes()))),
            _ => Ok(()),
        }
    }

    fn mark(&mut self, mark: Mark<'_>, said: &mut Said) -> Result<(), Break> {
        match self.reflector.event(mark) {
            Reaction::Go => Ok(()),
            Reaction::Complete => {
                self.complete(said);
                Ok(())
            }
            Reaction::Ignored => Err(Break {
                end: End::Ignored,
                why: String::new(),
            }),
        }
    }

    /// Tells an object if it can be read, and returns its resource version.
    fn upsert(&mut self, text: &str, said: &mut Said) -> String {
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

    fn deleted(&mut self, name: ObjectName, said: &mut Said) {
        self.flaws.remove(&name);
        if self.roll.gone(&name) {
            said.changes.push(Change::Deleted(self.kind, name));
        }
    }

    /// A list is complete: who is on the roll and was not in it is gone.
    fn complete(&mut self, said: &mut Said) {
        let gone = match self.nameless {
            true => Vec::new(),
            false => self.roll.complete(),
        };
        for name in gone {
            self.flaws.remove(&name);
            said.changes.push(Change::Deleted(self.kind, name));
        }
        if !std::mem::replace(&mut self.synced, true) {
            said.changes.push(Change::Synced(self.kind));
        }
        // What a watch says is news by nature.
        self.fresh = true;
    }
}

/// A header that cannot be read is that of an object without a name.
fn header(text: &str) -> Header<'_> {
    serde_json::from_str(text).unwrap_or_default()
}

fn broken(why: &str, lived: Duration) -> Break {
    Break {
        end: End::Broken { lived },
        why: why.to_owned(),
    }
}

/// What is not an event cannot be passed over: it may have been about any object.
fn mangled(why: &str) -> Break {
    Break {
        end: End::Refused {
            code: 500,
            retry_after: None,
            event: true,
        },
        why: format!("it sent what is not an event: {why}"),
    }
}

fn refused(status: &Status) -> Break {
    Break {
        end: End::Refused {
            code: status.code(),
            retry_after: status.retry_after(),
            event: true,
        },
        why: match status.message() {
            "" => format!("status {}", status.code()),
            message => message.to_owned(),
        },
    }
}
