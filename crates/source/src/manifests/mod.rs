//! Objects from manifest files: a file, or a folder of files, read again when they change.
//!
//! ```text
//!  inotify ──▶ agenda ──which file, when──▶ documents ──▶ parse ──▶ book ──▶ Change, Problem
//!  folder  ──▶
//! ```
//!
//! What to say, given contents and time, is decided in `agenda` and `book`, which touch neither
//! files nor clocks. This module connects them with both.

mod agenda;
mod batch;
mod book;
mod documents;
mod error;
mod folder;
mod json;
mod objects;
mod parse;
mod piece;
mod problem;
#[cfg(test)]
mod tests;
mod watch;
mod yaml;

use std::io;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fairlead_core::api::{Change, Kind};

use agenda::{Agenda, Touch};
use book::Book;
use folder::{Folder, Listing, is_volume_swap};
use watch::Event;

pub(crate) use folder::{folder_of, read as read_file};
pub(crate) use watch::Watch;

pub use error::SourceError;
pub use problem::Problem;

/// How often to look without being told to: inotify is silent about network file systems, and
/// about the far ends of links.
const LOOK: Duration = Duration::from_secs(10);

/// How often to look for a folder that is gone.
const LOOK_FOR_FOLDER: Duration = Duration::from_secs(1);

/// A file or folder of manifests.
///
/// Call [`changes`](Manifests::changes) once, and then whenever the file descriptor is readable or
/// [`due`](Manifests::due) has come.
#[derive(Debug)]
pub struct Manifests {
    folder: Folder,
    watch: Watch,
    agenda: Agenda,
    book: Book,
    /// The files as they were at the last look.
    listing: Listing,
    /// When to look next.
    look: Instant,
    /// Why the folder cannot be looked at. Nothing is deleted as long as that is so.
    trouble: Option<Problem>,
    synced: bool,
    news: Vec<Problem>,
}

impl Manifests {
    /// Opens a file or a folder and starts to watch it. In a folder, files that end in `.yaml`,
    /// `.yml` or `.json` count, hidden ones do not, nor do folders inside it.
    pub fn open(path: impl AsRef<Path>) -> Result<Manifests, SourceError> {
        let folder = Folder::open(path.as_ref())?;
        let unwatched = |source| SourceError::Unwatched {
            path: folder.path().to_owned(),
            source,
        };
        let mut watch = Watch::new().map_err(unwatched)?;
        watch.follow(folder.path()).map_err(unwatched)?;
        Ok(Manifests {
            folder,
            watch,
            agenda: Agenda::default(),
            book: Book::default(),
            listing: Listing::new(),
            look: Instant::now(),
            trouble: None,
            synced: false,
            news: Vec::new(),
        })
    }

    /// Reads what changed and says what is different from what was said before. Returns the
    /// problems that are new.
    ///
    /// The first call reads everything and ends in [`Change::Synced`] for each kind; should the
    /// folder be out of reach by then, the first call that reaches it does.
    pub fn changes(&mut self, now: Instant, say: &mut dyn FnMut(Change)) -> Vec<Problem> {
        self.notice(now);
        if now >= self.look {
            self.look(now);
        }
        for (file, complete) in self.agenda.take_due(now) {
            self.read_file(&file, complete, now, say);
        }
        while let Some(file) = self.book.objects.next_again() {
            let complete = !self.agenda.is_restless(&file);
            self.read_file(&file, complete, now, say);
        }
        if self.trouble.is_none() {
            self.book
                .objects
                .settle(now, |file| self.agenda.is_restless(file), say);
            if !mem::replace(&mut self.synced, true) {
                for kind in Kind::ALL {
                    say(Change::Synced(kind));
                }
            }
        }
        self.news.extend(self.book.take_news());
        mem::take(&mut self.news)
    }

    /// When to call [`changes`](Manifests::changes) even if nothing is readable before.
    pub fn due(&self) -> Instant {
        let missing = match self.trouble {
            Some(_) => None,
            None => self.book.objects.due(|file| self.agenda.is_restless(file)),
        };
        [self.agenda.due(), missing]
            .into_iter()
            .flatten()
            .fold(self.look, Instant::min)
    }

    /// All that is wrong at present.
    pub fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.trouble.iter().chain(self.book.problems())
    }

    /// How many objects of other kinds the files hold.
    pub fn ignored(&self) -> usize {
        self.book.ignored()
    }

    /// Takes in what inotify tells.
    fn notice(&mut self, now: Instant) {
        let events = match self.watch.events() {
            Ok(events) => events,
            Err(error) => {
                let problem = self.problem(format!(
                    "changes are noticed late: {error} (reading inotify)"
                ));
                return self.news.push(problem);
            }
        };
        for event in events {
            match event {
                Event::File(name, _) | Event::Name(name) if is_volume_swap(&name) => {
                    self.look = now;
                }
                Event::File(name, touch) => {
                    if let Some(file) = self.folder.file(&name) {
                        self.agenda.touch(file, touch, now);
                    }
                }
                Event::Name(name) => {
                    if self.folder.file(&name).is_some() {
                        self.look = now;
                    }
                }
                Event::Folder => self.look = now,
                Event::Lost => {
                    self.agenda.events_lost(now);
                    self.look = now;
                }
            }
        }
    }

    /// Looks which files there are.
    fn look(&mut self, now: Instant) {
        let listing = self
            .watch
            .follow(self.folder.path())
            .and_then(|()| self.folder.list());
        match listing {
            Ok(listing) => {
                self.look = now + LOOK;
                self.compare(listing, now);
            }
            Err(error) => {
                self.look = now + LOOK_FOR_FOLDER;
                let message =
                    format!("{error}: what was read from it stays until it can be read again");
                let problem = self.problem(message);
                if self.trouble.as_ref() != Some(&problem) {
                    self.news.push(problem.clone());
                }
                self.trouble = Some(problem);
            }
        }
    }

    fn compare(&mut self, listing: Listing, now: Instant) {
        if self.trouble.take().is_some() {
            self.book.objects.postpone(now);
        }
        for (file, stamp) in &listing {
            if self.listing.get(file) != Some(stamp) {
                let touch = if self.synced {
                    Touch::Noticed
                } else {
                    Touch::Finished
                };
                self.agenda.touch(Arc::clone(file), touch, now);
            }
        }
        let gone: Vec<_> = self
            .book
            .files()
            .filter(|file| !listing.contains_key(*file))
            .cloned()
            .collect();
        for file in gone {
            self.agenda.forget(&file);
            self.book.gone(&file, now);
        }
        self.listing = listing;
    }

    fn read_file(
        &mut self,
        file: &Arc<Path>,
        complete: bool,
        now: Instant,
        say: &mut dyn FnMut(Change),
    ) {
        match folder::read(file) {
            Ok(contents) => {
                // A writer that came while we read has left its traces by now.
                self.notice(now);
                let complete = complete && !self.agenda.is_restless(file);
                self.book.take(file, &contents, complete, now, say);
            }
            // Whether it is gone is for the next look to say.
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.look = now,
            Err(error) => {
                let message =
                    format!("cannot be read: {error}; what it described stays until it can be");
                self.book.keep(file, Problem::with_file(file, message));
            }
        }
    }

    fn problem(&self, message: String) -> Problem {
        Problem::with_file(&self.folder.path().into(), message)
    }
}

impl AsFd for Manifests {
    /// The inotify instance: readable when something happened.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.watch.as_fd()
    }
}
