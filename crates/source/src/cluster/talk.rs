//! What the tasks of the thread share: the link, the way to the daemon, and how each watch fares.

use std::cell::RefCell;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fairlead_core::api::Kind;

use super::link::Link;
use super::news::{News, Trouble};
use super::outbox::Outbox;
use super::patience::Patience;
use super::telling::Said;

/// How the watch of a kind fares.
#[derive(Debug, Clone)]
pub struct WatchStatus {
    /// The kind.
    pub kind: Kind,
    /// When the server was last heard of it: an object, a bookmark, an answer.
    pub heard: Option<Instant>,
    /// Whether a watch, or a list, is under way.
    pub connected: bool,
    /// Whether every object was told once.
    pub synced: bool,
    /// Why it is not under way, if it should be.
    pub failure: Option<String>,
}

/// How all watches fare, for whoever asks.
#[derive(Debug, Clone)]
pub struct Board(Arc<Mutex<Vec<WatchStatus>>>);

impl Board {
    pub(super) fn new() -> Board {
        let watches = Kind::ALL.map(|kind| WatchStatus {
            kind,
            heard: None,
            connected: false,
            synced: false,
            failure: None,
        });
        Board(Arc::new(Mutex::new(watches.to_vec())))
    }

    /// How each watch fares.
    pub fn all(&self) -> Vec<WatchStatus> {
        self.lock().clone()
    }

    pub(super) fn set(&self, kind: Kind, set: impl FnOnce(&mut WatchStatus)) {
        if let Some(status) = self.lock().iter_mut().find(|status| status.kind == kind) {
            set(status);
        }
    }

    /// When the watch was last heard that has been silent for longest.
    pub(super) fn most_silent(&self) -> Option<Instant> {
        let all = self.lock();
        let connected = all.iter().filter(|status| status.connected);
        connected.filter_map(|status| status.heard).min()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<WatchStatus>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the tasks share.
pub(super) struct Talk {
    pub(super) link: Link,
    pub(super) outbox: Outbox,
    pub(super) board: Board,
    pub(super) node: String,
    pub(super) patience: Patience,
    /// That the server is out of reach concerns all tasks and is told once.
    server: RefCell<Trouble>,
}

impl Talk {
    pub(super) fn new(
        link: Link,
        outbox: Outbox,
        board: Board,
        node: String,
        patience: Patience,
    ) -> Talk {
        Talk {
            link,
            outbox,
            board,
            node,
            patience,
            server: RefCell::new(Trouble::new(patience.told)),
        }
    }

    /// The server did not answer.
    pub(super) async fn unreached(&self, why: &str) {
        let tell = self.server.borrow_mut().failed(why, Instant::now());
        if tell {
            let text = format!("{why}; what was heard last stays, trying again");
            self.tell(News::warning(text)).await;
        }
    }

    /// The server answered.
    pub(super) async fn reached(&self) {
        let recovered = self.server.borrow_mut().recovered(Instant::now());
        if let Some(after) = recovered {
            let server = self.link.server();
            let text = format!("{server} answers again after {}", rounded(after));
            self.tell(News::info(text)).await;
        }
    }

    /// Tells news that belong to no change.
    pub(super) async fn tell(&self, news: News) {
        let mut said = Said::default();
        said.news.push(news);
        self.outbox.send(&mut said).await;
    }
}

/// A duration for people: `42 s`.
pub(super) fn rounded(duration: Duration) -> String {
    match duration.as_secs() {
        0 => format!("{} ms", duration.as_millis()),
        seconds => format!("{seconds} s"),
    }
}

/// A number from 0 to 1. The keys of std's hash maps are chance enough for pauses.
pub(super) fn chance() -> f64 {
    let random = RandomState::new().build_hasher().finish();
    f64::from((random >> 32) as u32) / f64::from(u32::MAX)
}
