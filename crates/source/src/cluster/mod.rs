//! Objects from an API server, listed and watched.
//!
//! ```text
//!  link ──bytes──▶ watcher ──▶ conversation ──Change──▶ outbox ──▶ Cluster::changes
//!   ▲                 ▲          │     │
//!   │ drop all      what to ask  │     └ roll: who is known
//!  pulse: is it alive?  └──── reflector: what came back
//! ```
//!
//! One thread with a runtime of its own talks to the server. What to ask, how long to wait and
//! what to tell is decided in `reflector`, `backoff`, `roll` and `conversation`, which know
//! neither sockets nor clocks; `docs/decisions/0004` says why this conversation is our own while
//! configuration, authentication, TLS and HTTP are `kube`'s.

mod access;
mod answer;
mod backoff;
mod causes;
mod client;
mod conversation;
mod link;
mod news;
mod outbox;
mod patience;
mod pieces;
mod pulse;
mod recorder;
mod reflector;
mod resource;
mod roll;
mod taint;
mod talk;
mod telling;
#[cfg(test)]
mod tests;
mod watcher;

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::thread::{self, JoinHandle};

use fairlead_core::api::{Change, Kind};
use tokio::runtime::{self, Runtime};
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use link::Link;
use outbox::{Inbox, Outbox};
use talk::Talk;

pub use access::{Access, ClusterError};
pub use link::{Answered, OnAnswer, platform};
pub use news::{News, Weight};
pub use patience::{Patience, Pauses};
pub use recorder::{Event, EventKind, Recorder, Regarding};
pub use talk::{Board, WatchStatus};

/// What is wanted of the cluster.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The name of the Node that we are on; no other is listened to.
    pub node_name: String,
}

/// A cluster that is listened to, until this is dropped.
///
/// Call [`changes`](Cluster::changes) whenever the file descriptor is readable.
pub struct Cluster {
    inbox: Inbox,
    board: Board,
    recorder: Recorder,
    /// Dropping it ends the thread.
    commands: Option<mpsc::UnboundedSender<Command>>,
    thread: Option<JoinHandle<()>>,
    server: String,
}

enum Command {
    RemoveTaint(String),
}

impl Cluster {
    /// Reads the configuration and starts to listen. That the server cannot be reached is not an
    /// error: it is told, and tried again. `on_answer` hears of every request, on the thread that
    /// made it.
    pub fn open(
        access: &Access,
        wanted: Wanted,
        on_answer: OnAnswer,
    ) -> Result<Cluster, ClusterError> {
        let config = access::config(access)?;
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let link = Link::new(access.clone(), &config, on_answer);
        let server = link.server().to_owned();
        if !client::needs_plugin(&config) {
            // What is wrong with files is better said now than over and over again.
            let _context = runtime.enter();
            client::client_of(config, access)?;
        }
        let (outbox, inbox) = outbox::pair()?;
        let (recorder, events) = Recorder::pair();
        let (commands, orders) = mpsc::unbounded_channel();
        let board = Board::new();
        let start = Start {
            link,
            outbox,
            board: board.clone(),
            wanted,
            access: access.clone(),
            events,
            orders,
        };
        let thread = thread::Builder::new()
            .name("cluster".to_owned())
            .spawn(move || {
                start.run(&runtime);
                // Whoever ends this does not wait for a plugin that never answers.
                runtime.shutdown_background();
            })?;
        Ok(Cluster {
            inbox,
            board,
            recorder,
            commands: Some(commands),
            thread: Some(thread),
            server,
        })
    }

    /// Says what is different from what was said before, and returns what an operator should
    /// know. Never waits.
    ///
    /// Each kind is told completely, then [`Change::Synced`] for it. What was told stays while the
    /// server is away, and nothing is deleted because of a list that is not complete.
    pub fn changes(&mut self, say: &mut dyn FnMut(Change)) -> Vec<News> {
        let mut news = Vec::new();
        self.inbox.receive(|said| {
            said.changes.into_iter().for_each(&mut *say);
            news.extend(said.news);
        });
        news
    }

    /// Where to record events.
    pub fn recorder(&self) -> Recorder {
        self.recorder.clone()
    }

    /// Takes the taints with this key off our Node. Tried until it is done; how it goes is among
    /// the news of [`changes`](Cluster::changes).
    pub fn remove_taint(&self, key: &str) {
        if let Some(commands) = &self.commands {
            // Without a thread there is no news either; it ends with this value alone.
            let _ = commands.send(Command::RemoveTaint(key.to_owned()));
        }
    }

    /// Where to see how each watch fares, from any thread.
    pub fn board(&self) -> Board {
        self.board.clone()
    }

    /// The server's URL.
    pub fn server(&self) -> &str {
        &self.server
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("server", &self.server)
            .field("watches", &self.board)
            .finish_non_exhaustive()
    }
}

impl AsFd for Cluster {
    /// Readable when there is something to say.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inbox.as_fd()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.commands.take();
        if let Some(thread) = self.thread.take() {
            // It has nothing to return; a panic was printed by itself.
            let _ = thread.join();
        }
    }
}

/// What the thread starts with.
struct Start {
    link: Link,
    outbox: Outbox,
    board: Board,
    wanted: Wanted,
    access: Access,
    events: mpsc::Receiver<Event>,
    orders: mpsc::UnboundedReceiver<Command>,
}

impl Start {
    fn run(mut self, runtime: &Runtime) {
        let node = self.wanted.node_name;
        let patience = self.access.patience;
        let talk = Rc::new(Talk::new(
            self.link,
            self.outbox,
            self.board,
            node,
            patience,
        ));
        let tasks = LocalSet::new();
        for kind in Kind::ALL {
            tasks.spawn_local(watcher::follow(kind, Rc::clone(&talk)));
        }
        tasks.spawn_local(pulse::feel(Rc::clone(&talk)));
        tasks.spawn_local(recorder::send(self.events, Rc::clone(&talk)));
        tasks.block_on(runtime, async {
            while let Some(Command::RemoveTaint(key)) = self.orders.recv().await {
                tokio::task::spawn_local(taint::remove(key, Rc::clone(&talk)));
            }
        });
    }
}
