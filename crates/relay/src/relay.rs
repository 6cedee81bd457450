//! The real relay.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use fairlead_core::address::Protocol;
use fairlead_kernel::error::CallError;
use fairlead_kernel::{cpus, descriptors, transparent};

use crate::counts::Counts;
use crate::entrance::{Common, Entrance, Way};
use crate::handle::{Listener, ListenerAddress, Op, Refusal, Relay, Relayed, UpstreamName};
use crate::settings::Settings;
use crate::upstreams::Serving;
use crate::workers::{self, Threads};
use crate::{rules, tcp, udp};

/// How many threads there are on a machine of many CPUs, unless more are wanted.
const USUAL_THREADS: usize = 4;

/// How often it is looked whether the last connection is over.
const LOOK: Duration = Duration::from_millis(10);

/// A relay over the kernel's sockets. Its threads and listeners are in the network namespace that
/// the thread was in that opened it, or had it listen.
///
/// When it goes, so do its listeners; connections that are open are reset.
#[derive(Debug)]
pub struct SocketRelay(Arc<Shared>);

/// A relay for those who do not tell it what to carry. It may be used from any thread.
#[derive(Debug, Clone)]
pub struct RelayHandle(Arc<Shared>);

/// What became of the connections of a relay that was shut down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// How many ended by themselves while it waited.
    pub ended: usize,
    /// How many had to be reset.
    pub reset: usize,
}

#[derive(Debug)]
struct Shared {
    common: Arc<Common>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    relayed: Relayed,
    upstreams: BTreeMap<UpstreamName, Arc<Serving>>,
    listeners: BTreeMap<ListenerAddress, Open>,
    /// How many listeners there ever were: they take turns on the threads.
    opened: usize,
    /// None when it was shut down.
    threads: Option<Threads>,
}

/// A listener that is open. It listens no more when this goes.
#[derive(Debug)]
struct Open {
    entrance: Arc<Entrance>,
    _listening: Listening,
}

#[derive(Debug)]
#[allow(dead_code)] // for what they do when they go
enum Listening {
    Tcp(tcp::Listening),
    Udp(udp::Listening),
}

impl SocketRelay {
    /// Starts the threads, and raises the limit of descriptors as far as may be.
    pub fn open(settings: Settings) -> io::Result<SocketRelay> {
        if let Err(error) = descriptors::raise_limit() {
            tracing::warn!(%error, "cannot have more file descriptors");
        }
        let wanted = match settings.threads {
            0 => cpus::online().min(USUAL_THREADS),
            threads => threads.min(Settings::MOST_THREADS),
        };
        let (workers, threads) = workers::start(wanted)?;
        let state = State {
            relayed: Relayed::default(),
            upstreams: BTreeMap::new(),
            listeners: BTreeMap::new(),
            opened: 0,
            threads: Some(threads),
        };
        Ok(SocketRelay(Arc::new(Shared {
            common: Arc::new(Common::new(settings, workers)),
            state: Mutex::new(state),
        })))
    }

    /// For those who do not tell it what to carry.
    pub fn handle(&self) -> RelayHandle {
        RelayHandle(Arc::clone(&self.0))
    }
}

impl Relay for SocketRelay {
    fn apply(&mut self, ops: &[Op]) -> Vec<Refusal> {
        let mut state = self.0.state();
        let mut refusals = Vec::new();
        for (op, operation) in ops.iter().enumerate() {
            let refused = state.carry_out(operation, &self.0.common).err();
            refusals.extend(refused.map(|errno| Refusal { op, errno }));
        }
        refusals
    }

    fn observe(&self) -> Relayed {
        self.0.state().relayed.clone()
    }

    /// The system says so of one at a time, and of none that is not asked for.
    fn in_use(&mut self, among: &[ListenerAddress]) -> BTreeSet<ListenerAddress> {
        let own = self.0.state().relayed.listeners.clone();
        let keepalive = self.0.common.settings().keepalive;
        let is_in_use = |at: &&ListenerAddress| {
            let listened = match at.protocol {
                Protocol::Tcp => transparent::tcp::listen(at.socket(), &keepalive).map(drop),
                Protocol::Udp => transparent::udp::listen(at.socket()).map(drop),
                Protocol::Sctp => Ok(()),
            };
            listened.is_err_and(|error| error.errno == libc::EADDRINUSE)
        };
        let others = among.iter().filter(|at| !own.contains_key(at));
        others.filter(is_in_use).copied().collect()
    }
}

impl Drop for SocketRelay {
    fn drop(&mut self) {
        let threads = self.0.close();
        drop(threads);
    }
}

impl RelayHandle {
    /// Goes about it otherwise from now on.
    pub fn set(&self, settings: Settings) {
        self.0.common.set(settings);
    }

    /// What was counted.
    pub fn counts(&self) -> Counts {
        let state = self.0.state();
        let upstreams = state.upstreams.iter();
        Counts {
            upstreams: upstreams
                .map(|(name, serving)| (name.clone(), serving.counts()))
                .collect(),
            max_connections: self.0.common.places.most(),
        }
    }

    /// Accepts nothing more, waits until what is open has ended, at most so long, and resets the
    /// rest. From then on the relay refuses to listen, with `ESHUTDOWN`.
    pub fn drain(&self, timeout: Duration) -> Drained {
        let threads = self.0.close();
        let places = &self.0.common.places;
        let (before, begin) = (places.taken(), Instant::now());
        while places.taken() > 0 && begin.elapsed() < timeout {
            thread::sleep(LOOK);
        }
        let reset = places.taken();
        drop(threads);
        Drained {
            ended: before.saturating_sub(reset),
            reset,
        }
    }
}

impl Shared {
    /// Nothing that is done with the lock leaves less behind than was done.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Listens nowhere any more. The connections go with the threads.
    fn close(&self) -> Option<Threads> {
        let mut state = self.state();
        state.relayed.listeners.clear();
        state.listeners.clear();
        state.threads.take()
    }
}

impl State {
    fn carry_out(&mut self, op: &Op, common: &Arc<Common>) -> Result<(), i32> {
        rules::check(&self.relayed, op)?;
        match op {
            Op::SetUpstream(name, upstream) => match self.upstreams.get(name) {
                Some(serving) => serving.set(upstream),
                None => {
                    let serving = Arc::new(Serving::new(upstream));
                    self.upstreams.insert(name.clone(), serving);
                }
            },
            Op::RemoveUpstream(name) => {
                self.upstreams.remove(name);
            }
            Op::Listen(address, listener) => self.listen(*address, listener, common)?,
            Op::Close(address) => {
                self.listeners.remove(address);
            }
        }
        rules::note(&mut self.relayed, op);
        Ok(())
    }

    fn listen(
        &mut self,
        address: ListenerAddress,
        listener: &Listener,
        common: &Arc<Common>,
    ) -> Result<(), i32> {
        if self.threads.is_none() {
            return Err(libc::ESHUTDOWN);
        }
        let serving = self.upstreams.get(&listener.upstream);
        let way = Way {
            serving: Arc::clone(serving.ok_or(libc::ENOENT)?),
            pool: listener.pool,
            source: listener.source,
        };
        if let Some(open) = self.listeners.get(&address) {
            open.entrance.lead(way);
            return Ok(());
        }
        let entrance = Entrance::new(address, way, self.opened, common);
        let open = Open::new(address.protocol, Arc::new(entrance)).map_err(|error| {
            tracing::warn!(%address, %error, "cannot listen");
            error.errno
        })?;
        self.opened = self.opened.wrapping_add(1);
        self.listeners.insert(address, open);
        Ok(())
    }
}

impl Open {
    fn new(protocol: Protocol, entrance: Arc<Entrance>) -> Result<Open, CallError> {
        let listening = match protocol {
            Protocol::Udp => Listening::Udp(udp::listen(&entrance)?),
            Protocol::Tcp | Protocol::Sctp => Listening::Tcp(tcp::listen(&entrance)?),
        };
        Ok(Open {
            entrance,
            _listening: listening,
        })
    }
}
