//! The task of a listener: it accepts and hands on.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fairlead_kernel::error::CallError;
use fairlead_kernel::sysctl::{ProcSys, Sysctls};
use fairlead_kernel::transparent::tcp;
use tokio::io::Interest;

use super::connection::Task;
use super::dial::Caller;
use super::socket::Accepted;
use crate::entrance::Entrance;

/// How long nothing is accepted after the system had nothing left for it (descriptors, memory). Who
/// calls meanwhile waits in the kernel's queue.
const PAUSE: Duration = Duration::from_millis(50);

/// How many are accepted before others have a turn.
const ROUNDS: usize = 16;

/// How many wait at most, where the system does not say (listen(2)).
const USUAL_BACKLOG: usize = 4096;

/// A listener for connections. It listens no more when this goes; who waits there by then is carried.
#[derive(Debug)]
pub(crate) struct Listening(Arc<Gate>);

/// What a listener's task and whoever closes it have of it.
#[derive(Debug)]
struct Gate {
    listener: Listener,
    entrance: Arc<Entrance>,
    /// Held from when a connection is accepted until it is counted: when the listener is closed, none
    /// is in between.
    is_open: Mutex<bool>,
}

/// A socket that listens, in the guise of a stream. The runtime's own listeners register what they
/// accept with the thread that accepts it, not with the one that is to carry it.
type Listener = tokio::net::TcpStream;

/// Listens at an entrance.
pub(crate) fn listen(entrance: &Arc<Entrance>) -> Result<Listening, CallError> {
    let address = entrance.address;
    let listener = tcp::listen(address, &entrance.common.settings().keepalive)?;
    let runtime = &entrance.common.workers.numbered(entrance.worker).runtime;
    let _registering = runtime.enter();
    let listener = Listener::from_std(TcpStream::from(listener))
        .map_err(|error| CallError::from_io("epoll_ctl", address.to_string(), &error))?;
    let gate = Arc::new(Gate {
        listener,
        entrance: Arc::clone(entrance),
        is_open: Mutex::new(true),
    });
    runtime.spawn(accept(Arc::clone(&gate)));
    Ok(Listening(gate))
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.close();
    }
}

async fn accept(gate: Arc<Gate>) {
    let mut is_told = false;
    while gate.listener.readable().await.is_ok() {
        match gate.admit() {
            Ok(left) => {
                is_told = false;
                match left {
                    Left::None => {}
                    // To wait for what is there already gives nobody else a turn.
                    Left::Some => tokio::task::yield_now().await,
                    Left::Closed => break,
                }
            }
            Err(error) => {
                if !is_told {
                    tracing::warn!(listener = %gate.entrance.address, %error, "cannot accept");
                }
                is_told = true;
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Who waits after some were accepted.
enum Left {
    None,
    Some,
    Closed,
}

impl Gate {
    /// Accepts who waits, or some of them.
    fn admit(&self) -> io::Result<Left> {
        let is_open = self.is_open();
        if !*is_open {
            return Ok(Left::Closed);
        }
        for _ in 0..ROUNDS {
            let accepted = self
                .listener
                .try_io(Interest::READABLE, || tcp::accept(&self.listener));
            match accepted {
                Ok((stream, client)) => welcome(stream, client, &self.entrance),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Left::None),
                Err(error) if is_of_one(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Left::Some)
    }

    /// Listens no more. The system would reset who waits. More than can wait are not accepted, so
    /// that a flood keeps nobody here.
    fn close(&self) {
        let mut is_open = self.is_open();
        *is_open = false;
        for _ in 0..=backlog() {
            match tcp::accept(&self.listener) {
                Ok((stream, client)) => welcome(stream, client, &self.entrance),
                Err(error) if is_of_one(&error) => {}
                Err(_) => break,
            }
        }
        // The task has the descriptor too, and closes it when it hears of this.
        if let Err(error) = tcp::stop_listening(&self.listener) {
            tracing::warn!(%error, "cannot stop listening");
        }
    }

    /// Nothing that is done with the lock leaves it half done.
    fn is_open(&self) -> MutexGuard<'_, bool> {
        self.is_open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many connections wait at a listener at most.
fn backlog() -> usize {
    let most = ProcSys.read("net/core/somaxconn").ok();
    let most = most.and_then(|most| most.trim().parse().ok());
    most.unwrap_or(USUAL_BACKLOG)
}

/// Whether an error is the misfortune of one connection (accept(2)), and no reason to wait.
fn is_of_one(error: &io::Error) -> bool {
    let own = [libc::ECONNABORTED, libc::EINTR, libc::EPROTO, libc::EPERM];
    error
        .raw_os_error()
        .is_some_and(|errno| own.contains(&errno))
}

/// Hands a connection to a worker, if it may be carried.
fn welcome(stream: TcpStream, client: SocketAddr, entrance: &Entrance) {
    let common = &entrance.common;
    // Rules leave the address alone that it was made to. Whoever called the listener itself has
    // passed none of them.
    let is_direct = stream.local_addr().is_ok_and(|to| to == entrance.address);
    if is_direct && !common.settings().takes_direct {
        return;
    }
    let stream = Accepted::new(stream);
    let way = entrance.way();
    let place = match common.places.take(&way.serving) {
        Ok(place) => place,
        Err(why) => return way.serving.counters.refused(why),
    };
    let worker = common.workers.least_loaded(entrance.worker);
    let caller = Caller {
        stream,
        address: client,
        way,
        settings: common.settings(),
        place,
        load: worker.load(),
    };
    worker.take_on(Task::new(caller));
}
