//! The task of a listener: it carries datagrams both ways, and forgets clients.

use std::cell::RefCell;
use std::io;
use std::net::UdpSocket;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fairlead_kernel::transparent::{Batch, Poll};
use tokio::io::unix::AsyncFd;

use super::Gate;
use super::session::Session;
use super::sessions::Sessions;
use super::speakers::Speakers;
use crate::entrance::{Entrance, Way};

/// What the poll calls the listener; it calls sessions by their slot.
pub(super) const LISTENER: u64 = u64::MAX;

/// How often it is looked which clients are idle: an eighth of the time that they may be, within
/// these.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

thread_local! {
    /// What is received, of all listeners of a thread: only one is worked on at a time.
    static BATCH: RefCell<Batch> = RefCell::default();
}

/// All that belongs to a listener.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) entrance: Arc<Entrance>,
    gate: Arc<Gate>,
    /// Whom the sessions are with.
    pub(super) way: Arc<Way>,
    /// How many changes of it they have seen.
    changes: usize,
    pub(super) sessions: Sessions<Session>,
    pub(super) speakers: Speakers,
    names: Vec<u64>,
}

/// What one look at the sockets needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look<'a> {
    pub(super) listener: &'a UdpSocket,
    pub(super) poll: &'a Poll,
    pub(super) now: Instant,
}

impl Task {
    pub(super) fn new(entrance: Arc<Entrance>, gate: Arc<Gate>) -> Task {
        let way = entrance.way();
        Task {
            changes: way.serving.changes(),
            way,
            entrance,
            gate,
            sessions: Sessions::default(),
            speakers: Speakers::default(),
            names: Vec::new(),
        }
    }

    /// Carries until the listener is closed.
    pub(super) async fn run(mut self, poll: AsyncFd<Poll>) {
        loop {
            let idle = self.entrance.common.settings().udp_idle;
            let ready = match self.sessions.is_empty() && self.speakers.is_empty() {
                true => Some(poll.readable().await),
                false => {
                    let pause = (idle / 8).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
                    tokio::time::timeout(pause, poll.readable()).await.ok()
                }
            };
            self.catch_up();
            self.sweep(idle);
            let mut ready = match ready {
                None => continue,
                Some(Ok(ready)) => ready,
                Some(Err(_)) => return,
            };
            match self.look(poll.get_ref()) {
                Ok(true) => tokio::task::yield_now().await,
                Ok(false) => ready.clear_ready(),
                Err(error) => {
                    tracing::error!(listener = %self.entrance.address, %error, "cannot listen");
                    return;
                }
            }
        }
    }

    /// Ends sessions with endpoints that are not for this listener any more.
    fn catch_up(&mut self) {
        let way = self.entrance.way();
        let changes = way.serving.changes();
        if !way.leads_as(&self.way) {
            self.sessions = Sessions::default();
        } else if changes != self.changes {
            self.sessions
                .retain(|session| way.serving.has(way.pool, session.target));
        }
        (self.way, self.changes) = (way, changes);
    }

    /// Forgets clients that have been idle for as long.
    fn sweep(&mut self, idle: Duration) {
        let now = Instant::now();
        while let Some((slot, used)) = self.sessions.longest_idle()
            && now.saturating_duration_since(used) >= idle
        {
            self.sessions.remove(slot);
        }
        self.speakers.sweep(idle, now);
    }

    /// Carries what there is, or some of it. Whether there was any.
    fn look(&mut self, poll: &Poll) -> io::Result<bool> {
        let gate = Arc::clone(&self.gate);
        let gate = gate.lock();
        let Some(listener) = gate.as_ref() else {
            return Ok(false);
        };
        let mut names = std::mem::take(&mut self.names);
        poll.ready(&mut names)?;
        let look = Look {
            listener,
            poll,
            now: Instant::now(),
        };
        BATCH.with_borrow_mut(|batch| {
            for name in &names {
                match *name {
                    LISTENER => self.hear_clients(batch, look),
                    slot => self.hear_endpoint(slot as usize, batch.room(), look),
                }
            }
        });
        self.names = names;
        Ok(!self.names.is_empty())
    }
}
