//! What the threads of a server share: its state behind one lock, and the news of it.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::{mpsc, watch};

use super::asked::Asked;
use super::faults::{Fault, Faults, Point};
use super::list::{NotYet, Page, list};
use super::log::{Log, OpenWatch};
use super::options::{Options, StreamingLists};
use super::resource::Resource;
use super::status::Status;
use super::store::{Event, Store};
use super::watch::Beginning;

/// How a server is to be; see [`super::Builder`].
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) address: SocketAddr,
    pub(super) tls: bool,
    pub(super) authenticate: bool,
    pub(super) page_limit: usize,
    pub(super) streaming_lists: StreamingLists,
    pub(super) bookmarks_every: Duration,
    pub(super) gone_as_http: bool,
    pub(super) managed_fields: bool,
    pub(super) history: usize,
}

/// All that changes.
#[derive(Debug)]
pub(super) struct State {
    pub(super) store: Store,
    pub(super) faults: Faults,
    pub(super) log: Log,
    /// The one token that is accepted.
    pub(super) token: String,
    followers: Vec<(Resource, mpsc::UnboundedSender<Arc<Event>>)>,
    watches: BTreeMap<u64, (Instant, OpenWatch)>,
    next_watch: u64,
}

/// Whether the server does anything at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    Up,
    /// Accepts connections and says nothing.
    Hung,
    /// Refuses connections.
    Down,
}

/// What everything in a server refers to.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) settings: Settings,
    state: Mutex<State>,
    pub(super) condition: watch::Sender<Condition>,
    /// That something was written or ordered.
    pub(super) news: watch::Sender<()>,
    /// That faults were taken back.
    pub(super) heals: watch::Sender<()>,
    /// That all connections there are be reset.
    pub(super) resets: watch::Sender<()>,
}

impl Shared {
    pub(super) fn new(settings: Settings, token: String) -> Shared {
        let state = State {
            store: Store::new(settings.history, settings.managed_fields),
            faults: Faults::default(),
            log: Log::default(),
            token,
            followers: Vec::new(),
            watches: BTreeMap::new(),
            next_watch: 0,
        };
        Shared {
            settings,
            state: Mutex::new(state),
            condition: watch::Sender::new(Condition::Up),
            news: watch::Sender::new(()),
            heals: watch::Sender::new(()),
            resets: watch::Sender::new(()),
        }
    }

    /// A thread that panicked with the lock left nothing half done worth a second panic.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves while the server does not hang.
    pub(super) async fn awake(&self) {
        let mut condition = self.condition.subscribe();
        let _ = condition.wait_for(|now| *now != Condition::Hung).await;
    }

    /// Does something to the state that others wait for.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.state());
        self.news.send_replace(());
        changed
    }

    /// The fault that is due, if one is.
    pub(super) fn strike(&self, asked: &Asked, point: Point) -> Option<Fault> {
        self.state().faults.decide(asked, point)
    }

    /// Lists what is wanted.
    pub(super) async fn list(&self, resource: Resource, options: &Options) -> Result<Page, Status> {
        self.reached(options.version.unwrap_or(0)).await;
        let state = self.state();
        let page = list(&state.store, resource, options, self.settings.page_limit);
        page.map_err(|error| match error {
            NotYet::Refused(status) => status,
            NotYet::Later(version) => Status::too_large(version, state.store.version()),
        })
    }

    /// Waits for a version that is yet to come, as long as the real server does.
    async fn reached(&self, version: u64) {
        const PATIENCE: Duration = Duration::from_secs(3);
        let mut news = self.news.subscribe();
        let reached = async {
            while self.state().store.version() < version {
                let _ = news.changed().await;
            }
        };
        let _ = tokio::time::timeout(PATIENCE, reached).await;
    }

    /// Begins to follow a resource.
    pub(super) fn follow(
        &self,
        resource: Resource,
        options: &Options,
    ) -> Result<Beginning, Status> {
        let mut state = self.state();
        let now = state.store.version();
        let wanted = options.version.unwrap_or(0);
        let all = match options.send_initial_events {
            Some(all) => all,
            None => wanted == 0,
        };
        let mut beginning = Beginning {
            resource,
            version: now,
            objects: VecDeque::new(),
            say_end: all && options.bookmarks && options.send_initial_events.is_some(),
            missed: Vec::new(),
            events: mpsc::unbounded_channel().1,
        };
        if all {
            let objects = state.store.of(resource).values();
            let wanted = objects.filter(|object| options.selection.holds(object));
            beginning.objects = wanted.cloned().collect();
        } else if wanted > 0 {
            let Some(missed) = state.store.since(wanted) else {
                return Err(Status::too_old(wanted, state.store.oldest()));
            };
            let missed = missed.filter(|event| event.resource == resource);
            beginning.missed = missed.cloned().collect();
            beginning.version = wanted;
        }
        let (follower, events) = mpsc::unbounded_channel();
        state.followers.push((resource, follower));
        beginning.events = events;
        Ok(beginning)
    }

    /// Remembers that a watch is open; it is forgotten with the value.
    pub(super) fn open(self: &Arc<Self>, watch: OpenWatch) -> Opened {
        let number = self.change(|state| {
            state.next_watch += 1;
            state
                .watches
                .insert(state.next_watch, (Instant::now(), watch));
            state.next_watch
        });
        Opened {
            shared: self.clone(),
            number,
        }
    }
}

/// That a watch is open.
pub(super) struct Opened {
    shared: Arc<Shared>,
    number: u64,
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.shared
            .change(|state| state.watches.remove(&self.number));
    }
}

impl State {
    /// Tells those who follow.
    pub(super) fn tell(&mut self, event: &Arc<Event>) {
        self.followers.retain(|(resource, follower)| {
            let wanted = *resource == event.resource;
            !follower.is_closed() && (!wanted || follower.send(event.clone()).is_ok())
        });
    }

    /// Writes an object, whether it is there or not.
    pub(super) fn put(&mut self, resource: Resource, value: Value) -> Arc<Event> {
        let event = self.store.put(resource, value, &now());
        self.tell(&event);
        event
    }

    pub(super) fn watches(&self) -> Vec<OpenWatch> {
        let watches = self.watches.values();
        watches
            .map(|(since, watch)| OpenWatch {
                age: since.elapsed(),
                ..watch.clone()
            })
            .collect()
    }
}

/// The time as metadata have it: to the second.
pub(super) fn now() -> String {
    let now = jiff::Timestamp::now().as_second();
    jiff::Timestamp::from_second(now)
        .unwrap_or_default()
        .to_string()
}
