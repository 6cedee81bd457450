//! The conversation about one kind: bytes in, changes out. Pure: what to ask and how long to wait
//! is the reflector's, what an object means for what was told before is `telling`'s.

use std::time::{Duration, Instant};

use fairlead_core::api::Kind;

use super::answer::{Event, List, Status};
use super::patience::Pauses;
use super::pieces::{Items, Lines};
use super::reflector::{Ask, End, Mark, Reaction, Reflector};
use super::telling::{Said, Telling, header};

/// The conversation about one kind.
#[derive(Debug)]
pub(super) struct Conversation {
    reflector: Reflector,
    telling: Telling,
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
            reflector: Reflector::new(pauses, kind == Kind::ServiceCidr),
            telling: Telling::new(kind),
            answer: Answer::Events(Lines::default()),
        }
    }

    /// What to ask now.
    pub(super) fn ask(&mut self, now: Instant) -> Ask {
        let (ask, begins) = self.reflector.ask(now);
        if begins {
            self.telling.begin();
        }
        self.answer = match ask {
            Ask::Page(_) => Answer::Page(Items::default()),
            Ask::Stream | Ask::Watch(_) => Answer::Events(Lines::default()),
        };
        ask
    }

    /// Whether every object was told once.
    pub(super) fn is_synced(&self) -> bool {
        self.telling.is_synced()
    }

    /// Whether a streaming list is under way.
    pub(super) fn is_streaming(&self) -> bool {
        self.reflector.is_streaming()
    }

    /// Whether the server sends bookmarks in watches.
    pub(super) fn has_bookmarks(&self) -> bool {
        self.reflector.has_bookmarks()
    }

    /// Takes in a part of the answer.
    pub(super) fn hear(&mut self, chunk: &[u8], said: &mut Said) -> Result<(), Break> {
        let (reflector, telling) = (&mut self.reflector, &mut self.telling);
        match &mut self.answer {
            Answer::Events(lines) => {
                let mut heard = Ok(());
                let cut = lines.push(chunk, |line| {
                    if heard.is_ok() && !line.trim_ascii().is_empty() {
                        heard = event(line, reflector, telling, said);
                    }
                });
                heard?;
                cut.map_err(|uncut| mangled(&uncut.to_string()))
            }
            Answer::Page(items) => {
                let cut = items.push(chunk, |item| {
                    telling.upsert(&String::from_utf8_lossy(item), said);
                });
                cut.map_err(|uncut| broken(&format!("it is {uncut}"), Duration::ZERO))
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
                let list = list.ok_or_else(|| broken("it ended in the middle of a list", lived))?;
                let (revision, token) = List::read(&list, self.telling.kind())
                    .ok_or_else(|| broken("the server sent something else", lived))?;
                if self.reflector.page(&revision, &token) {
                    self.telling.complete(said);
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
        if self.is_unserved(end) {
            self.telling.synced(said);
        }
        self.reflector.ended(end, now, chance)
    }

    /// Whether this answer means that the server does not know a kind that it may do without.
    pub(super) fn is_unserved(&self, end: End) -> bool {
        self.telling.kind() == Kind::ServiceCidr
            && matches!(
                end,
                End::Refused {
                    code: 404,
                    event: false,
                    ..
                }
            )
    }
}

/// Takes in an event.
fn event(
    line: &[u8],
    reflector: &mut Reflector,
    telling: &mut Telling,
    said: &mut Said,
) -> Result<(), Break> {
    let event: Event<'_> =
        serde_json::from_slice(line).map_err(|error| mangled(&error.to_string()))?;
    let object = event.object.get();
    let reaction = match &*event.r#type {
        "ADDED" | "MODIFIED" => {
            let revision = telling.upsert(object, said);
            reflector.event(Mark::Object {
                revision: &revision,
            })
        }
        "DELETED" => {
            let revision = telling.deleted(object, said);
            reflector.event(Mark::Object {
                revision: &revision,
            })
        }
        "BOOKMARK" => {
            let header = header(object);
            reflector.event(Mark::Bookmark {
                revision: header.revision(),
                end: header.ends_initial_events(),
            })
        }
        "ERROR" => return Err(refused(&Status::read(object.as_bytes()))),
        _ => Reaction::Go,
    };
    match reaction {
        Reaction::Go => {}
        Reaction::Complete => telling.complete(said),
        Reaction::Ignored => {
            return Err(Break {
                end: End::Ignored,
                why: String::new(),
            });
        }
    }
    Ok(())
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
