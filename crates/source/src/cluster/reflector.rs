//! What to ask the API server next, given what came back and the time: pure.
//!
//! ```text
//!             ┌──────────── refused ────────────┐
//!  Start ──▶ Streaming ──end of the list──▶ Watching ◀──last page── Paging
//!    ▲           │                              │                      │
//!    └─ broken ──┘         410, ERROR event ────┴──▶ Start ◀── 410 ────┘
//! ```
//!
//! A list that did not complete says nothing about what is missing from it, so whatever happens,
//! only [`Reaction::Complete`] and the last page allow deletions.

use std::time::{Duration, Instant};

use super::backoff::Backoff;
use super::patience::Pauses;

/// How long a server that refused a streaming list is not asked for one again. It may have been
/// upgraded since.
const REFUSED_FOR: Duration = Duration::from_hours(1);

/// After so many streaming lists that broke off, pages are tried: what one has got of those stays
/// got.
const BROKEN_STREAMS: u32 = 3;

/// A watch that ends properly after less than this is a failure, else a server that ends each at
/// once would be asked in a loop.
const SHORT_WATCH: Duration = Duration::from_secs(1);

/// How long to leave a server alone that does not serve a kind which not every server does.
const NOT_SERVED_FOR: Duration = Duration::from_mins(10);

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ask {
    /// A list as a stream of events, which goes on as a watch.
    Stream,
    /// A part of a list.
    Page(Page),
    /// What changes from this resource version on.
    Watch(String),
}

/// Which part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Page {
    /// The first of many.
    First,
    /// All of it, after the token for a further part expired.
    Whole,
    /// The one that this token leads to.
    Next(String),
}

/// What an event of a stream is to the conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark<'a> {
    /// About an object.
    Object { revision: &'a str },
    /// A bookmark, and whether it ends the initial events.
    Bookmark { revision: &'a str, end: bool },
}

/// What follows from an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reaction {
    /// It counts, and the stream goes on.
    Go,
    /// What has been told since the list began is all there is.
    Complete,
    /// The server does not know of streaming lists, so the end of this one would never be known.
    Ignored,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// By an answer other than 200, or an ERROR event with this code.
    Refused {
        code: u16,
        retry_after: Option<Duration>,
        event: bool,
    },
    /// Without an answer, or with one that broke off.
    Broken { lived: Duration },
    /// Properly, which only watches do in the course of things.
    Over { lived: Duration },
    /// The server does not know of streaming lists.
    Ignored,
}

/// The conversation about one kind.
#[derive(Debug)]
pub(super) struct Reflector {
    state: State,
    backoff: Backoff,
    /// Lists are asked for in pages until then.
    pages_until: Option<Instant>,
    broken_streams: u32,
    /// A token for a further page expired: the next list is asked for as a whole.
    whole: bool,
    /// Whether a server that does not know the kind is at peace.
    optional: bool,
    /// Whether a watch had a bookmark, so that more are to be expected.
    bookmarks: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Start,
    Streaming,
    Paging(Page),
    Watching(String),
}

impl Reflector {
    pub(super) fn new(pauses: Pauses, optional: bool) -> Reflector {
        Reflector {
            state: State::Start,
            backoff: Backoff::new(pauses),
            pages_until: None,
            broken_streams: 0,
            whole: false,
            optional,
            bookmarks: false,
        }
    }

    /// What to ask now, and whether a list begins with it.
    pub(super) fn ask(&mut self, now: Instant) -> (Ask, bool) {
        let begins = matches!(
            self.state,
            State::Start | State::Paging(Page::First | Page::Whole)
        );
        if self.state == State::Start {
            self.state = if self.pages_until.is_some_and(|until| now < until) {
                State::Paging(if self.whole { Page::Whole } else { Page::First })
            } else {
                self.pages_until = None;
                State::Streaming
            };
        }
        let ask = match &self.state {
            State::Start | State::Streaming => Ask::Stream,
            State::Paging(page) => Ask::Page(page.clone()),
            State::Watching(revision) => Ask::Watch(revision.clone()),
        };
        (ask, begins)
    }

    /// Whether a streaming list is under way.
    pub(super) fn is_streaming(&self) -> bool {
        self.state == State::Streaming
    }

    /// Whether the server sends bookmarks in watches.
    pub(super) fn has_bookmarks(&self) -> bool {
        self.bookmarks
    }

    /// Takes note of an event.
    pub(super) fn event(&mut self, mark: Mark<'_>) -> Reaction {
        match (&mut self.state, mark) {
            (State::Streaming, Mark::Bookmark { end: false, .. }) => Reaction::Ignored,
            (
                State::Streaming,
                Mark::Bookmark {
                    revision,
                    end: true,
                },
            ) => {
                self.listed(revision);
                Reaction::Complete
            }
            (
                State::Watching(known),
                Mark::Object { revision } | Mark::Bookmark { revision, .. },
            ) => {
                self.bookmarks |= matches!(mark, Mark::Bookmark { .. });
                if !revision.is_empty() {
                    revision.clone_into(known);
                }
                Reaction::Go
            }
            (State::Streaming | State::Start | State::Paging(_), _) => Reaction::Go,
        }
    }

    /// Takes note of a page that arrived as a whole. True when it was the last.
    pub(super) fn page(&mut self, revision: &str, token: &str) -> bool {
        if token.is_empty() {
            self.listed(revision);
            return true;
        }
        self.state = State::Paging(Page::Next(token.to_owned()));
        false
    }

    /// Takes note of how a request ended, and says how long to wait before the next.
    pub(super) fn ended(&mut self, end: End, now: Instant, chance: f64) -> Duration {
        match std::mem::replace(&mut self.state, State::Start) {
            State::Start => self.backoff.pause(chance),
            State::Streaming => self.stream_ended(end, now, chance),
            State::Paging(page) => self.page_ended(page, end, chance),
            State::Watching(revision) => self.watch_ended(revision, end, chance),
        }
    }

    fn listed(&mut self, revision: &str) {
        self.state = State::Watching(revision.to_owned());
        self.broken_streams = 0;
        self.whole = false;
    }

    fn stream_ended(&mut self, end: End, now: Instant, chance: f64) -> Duration {
        let refused = matches!(
            end,
            End::Refused {
                code: 400 | 403 | 405 | 415 | 422,
                event: false,
                ..
            } | End::Ignored
        );
        if refused {
            self.pages_until = Some(now + REFUSED_FOR);
            self.state = State::Paging(Page::First);
            return Duration::ZERO;
        }
        if matches!(end, End::Broken { .. } | End::Over { .. }) {
            self.broken_streams += 1;
        }
        if self.broken_streams >= BROKEN_STREAMS {
            self.pages_until = Some(now + REFUSED_FOR);
        }
        self.pause(end, chance)
    }

    fn page_ended(&mut self, page: Page, end: End, chance: f64) -> Duration {
        match end {
            End::Refused { code: 410, .. } => self.whole = true,
            // Not the parameters but the kind was refused, so nothing is known of streaming lists.
            End::Refused { code: 403, .. } => self.pages_until = None,
            // 400: a token of another server's. Everything else passes, and the pages before stay.
            End::Refused { code: 400, .. } => {}
            _ => self.state = State::Paging(page),
        }
        self.pause(end, chance)
    }

    fn watch_ended(&mut self, revision: String, end: End, chance: f64) -> Duration {
        let (lived, clean) = match end {
            // What is wrong with an object, a version or the server's memory is mended by a list.
            // 504 is how a version from the future is refused, as after a restore from a backup.
            End::Refused { event: true, .. }
            | End::Refused {
                code: 400 | 410 | 422 | 504,
                ..
            } => return self.pause(end, chance),
            End::Refused { .. } | End::Ignored => (Duration::ZERO, false),
            End::Over { lived } => (lived, true),
            End::Broken { lived } => (lived, false),
        };
        self.state = State::Watching(revision);
        if lived >= self.backoff.proof() {
            self.backoff.reset();
        }
        if lived >= SHORT_WATCH && (clean || lived >= self.backoff.proof()) {
            return Duration::ZERO;
        }
        self.pause(end, chance)
    }

    fn pause(&mut self, end: End, chance: f64) -> Duration {
        match end {
            End::Refused { code: 404, .. } if self.optional => {
                NOT_SERVED_FOR.mul_f64(1.0 + chance.clamp(0.0, 1.0))
            }
            End::Refused { retry_after, .. } => self.backoff.pause_at_least(retry_after, chance),
            _ => self.backoff.pause(chance),
        }
    }
}
