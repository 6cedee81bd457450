//! One open watch, from its first line to its last.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until};

use super::asked::Asked;
use super::faults::{Fault, Point};
use super::lines;
use super::object::Object;
use super::options::Options;
use super::reply::{Gone, Writer};
use super::resource::Resource;
use super::selector::Selection;
use super::shared::Shared;
use super::spoil;
use super::status::Status;
use super::store::Event;

/// What a watch begins with, taken at one version of the store.
#[derive(Debug)]
pub(super) struct Beginning {
    pub(super) resource: Resource,
    /// The version it begins at.
    pub(super) version: u64,
    /// The objects there are, for a client that wants them first.
    pub(super) objects: VecDeque<Arc<Object>>,
    /// Whether the end of those objects is to be said.
    pub(super) say_end: bool,
    /// What happened between the version that the client has and now.
    pub(super) missed: Vec<Arc<Event>>,
    /// What happens from now on.
    pub(super) events: UnboundedReceiver<Arc<Event>>,
}

/// Without a wish of the client, a watch ends after this (half an hour to an hour in the real
/// server).
const LONGEST: Duration = Duration::from_mins(30);

/// How much may be put together before it is sent.
const CHUNK: usize = 64 << 10;

/// An open watch.
pub(super) struct Watch {
    shared: Arc<Shared>,
    asked: Asked,
    selection: Selection,
    resource: Resource,
    writer: Writer,
    /// Lines that are to be sent together.
    buffer: Vec<u8>,
    /// How far it has come.
    version: u64,
    bookmarks: Option<Interval>,
    deadline: Instant,
}

/// Why a watch is over.
enum End {
    Gone,
    /// In good order.
    Done,
    Reset,
    Silent,
}

impl From<Gone> for End {
    fn from(_: Gone) -> End {
        End::Gone
    }
}

impl Watch {
    pub(super) fn new(
        shared: Arc<Shared>,
        asked: Asked,
        options: Options,
        beginning: &Beginning,
        writer: Writer,
    ) -> Watch {
        let every = shared.settings.bookmarks_every;
        let bookmarks = options.bookmarks.then(|| {
            let mut bookmarks = interval_at(Instant::now() + every, every);
            bookmarks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            bookmarks
        });
        Watch {
            shared,
            asked,
            selection: options.selection,
            resource: beginning.resource,
            writer,
            buffer: Vec::new(),
            version: beginning.version,
            bookmarks,
            deadline: Instant::now() + options.timeout.unwrap_or(LONGEST),
        }
    }

    /// Runs to its end.
    pub(super) async fn run(mut self, beginning: Beginning) {
        let end = match self.follow(beginning).await {
            Err(end) => end,
            Ok(never) => match never {},
        };
        match end {
            End::Gone | End::Done => {}
            End::Reset => self.writer.reset().await,
            End::Silent => self.writer.gone().await,
        }
    }

    async fn follow(&mut self, mut beginning: Beginning) -> Result<std::convert::Infallible, End> {
        self.begin(&mut beginning).await?;
        let mut news = self.shared.news.subscribe();
        loop {
            self.shared.awake().await;
            self.strike(Point::Pause, &[]).await?;
            self.flush().await?;
            tokio::select! {
                event = beginning.events.recv() => {
                    let event = event.ok_or(End::Done)?;
                    self.say(&event).await?;
                    // What is there already goes out together.
                    while self.buffer.len() < CHUNK && let Ok(event) = beginning.events.try_recv() {
                        self.say(&event).await?;
                    }
                }
                () = tick(&mut self.bookmarks) => {
                    self.catch_up(&beginning.events);
                    self.bookmark(false);
                }
                () = sleep_until(self.deadline) => {
                    self.shared.awake().await;
                    return Err(End::Done);
                }
                () = self.writer.gone() => return Err(End::Gone),
                // Faults that were ordered, for example.
                _ = news.changed() => {}
            }
        }
    }

    async fn begin(&mut self, beginning: &mut Beginning) -> Result<(), End> {
        while let Some(object) = beginning.objects.pop_front() {
            let mut line = Vec::new();
            lines::write("ADDED", &object, &mut line);
            let point = match beginning.objects.is_empty() {
                true => Point::Line,
                false => Point::Initial,
            };
            self.add(&line, point).await?;
        }
        if beginning.say_end {
            self.bookmark(true);
        }
        for event in std::mem::take(&mut beginning.missed) {
            self.say(&event).await?;
        }
        Ok(())
    }

    async fn say(&mut self, event: &Event) -> Result<(), End> {
        if event.version <= self.version {
            // It had a version that was yet to come.
            return Ok(());
        }
        let mut line = Vec::new();
        if lines::write_event(event, &self.selection, &mut line) {
            self.add(&line, Point::Line).await?;
        }
        self.version = event.version;
        Ok(())
    }

    /// What was written to other resources is progress too, if nothing of this one is waiting.
    fn catch_up(&mut self, events: &UnboundedReceiver<Arc<Event>>) {
        // Events are sent under the lock.
        let state = self.shared.state();
        if events.is_empty() {
            self.version = self.version.max(state.store.version());
        }
    }

    fn bookmark(&mut self, initial: bool) {
        let line = lines::bookmark(self.resource, self.version, initial);
        self.buffer.extend_from_slice(&line);
    }

    async fn add(&mut self, line: &[u8], point: Point) -> Result<(), End> {
        if !self.strike(point, line).await? {
            self.buffer.extend_from_slice(line);
        }
        if self.buffer.len() >= CHUNK {
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Gone> {
        let lines = std::mem::take(&mut self.buffer);
        self.writer.write(lines).await
    }

    /// Lets a fault happen if one is due. Returns whether something was said in place of the line.
    async fn strike(&mut self, point: Point, line: &[u8]) -> Result<bool, End> {
        let Some(fault) = self.shared.strike(&self.asked, point) else {
            return Ok(false);
        };
        let end = match fault {
            Fault::Misshapen => {
                self.buffer.extend(spoil::misshapen(line));
                return Ok(true);
            }
            Fault::Long(bytes) => {
                self.buffer.extend(spoil::long(line, bytes));
                return Ok(true);
            }
            Fault::Garbage => {
                self.buffer.extend_from_slice(spoil::GARBAGE);
                return Ok(false);
            }
            Fault::FailWatch(410) => {
                let status = Status::too_old(self.version, self.version + 1);
                self.buffer.extend(lines::error(&status));
                End::Done
            }
            Fault::FailWatch(code) => {
                self.buffer
                    .extend(lines::error(&Status::of_code(code, None)));
                End::Done
            }
            Fault::Cut => {
                self.buffer.extend_from_slice(&line[..line.len() / 2]);
                End::Reset
            }
            Fault::ResetWatch => End::Reset,
            Fault::SilenceWatch => End::Silent,
            _ => End::Done,
        };
        self.flush().await?;
        Err(end)
    }
}

/// The next time for a bookmark; never without bookmarks.
async fn tick(bookmarks: &mut Option<Interval>) {
    match bookmarks {
        Some(bookmarks) => drop(bookmarks.tick().await),
        None => std::future::pending().await,
    }
}
