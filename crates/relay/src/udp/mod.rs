//! Datagrams: each client has a session with an endpoint, and hears the answers from where it sent
//! its datagrams to.
//!
//! ```text
//!  client ──▶ listener ──▶ session's socket ──▶ endpoint
//!     ▲                                            │
//!     └───── speaker ◀──── session's socket ◀──────┘
//! ```
//!
//! One task has all that belongs to a listener, so nothing is locked for a datagram.

mod carry;
mod session;
mod sessions;
mod speakers;
mod task;

use std::net::UdpSocket;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fairlead_kernel::error::CallError;
use fairlead_kernel::transparent::{Poll, udp};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::AbortHandle;

use crate::entrance::Entrance;
use task::{LISTENER, Task};

/// A listener for datagrams. It listens no more when this goes, and its clients are forgotten.
#[derive(Debug)]
pub(crate) struct Listening {
    gate: Arc<Gate>,
    task: AbortHandle,
}

/// The listener's socket, until it is closed. The port is free as soon as it is, not only when the
/// task hears of it.
#[derive(Debug)]
struct Gate(Mutex<Option<UdpSocket>>);

/// Listens at an entrance.
pub(crate) fn listen(entrance: &Arc<Entrance>) -> Result<Listening, CallError> {
    let address = entrance.address;
    let (listener, poll) = (udp::listen(address)?, Poll::new()?);
    poll.add(&listener, LISTENER)?;
    let gate = Arc::new(Gate(Mutex::new(Some(listener))));
    let runtime = &entrance.common.workers.numbered(entrance.worker).runtime;
    let _registering = runtime.enter();
    // What may not be done with a deprecated one, closing its descriptor behind its back, a `Poll`
    // does not do.
    #[allow(deprecated)]
    let poll = AsyncFd::with_interest(poll, Interest::READABLE)
        .map_err(|error| CallError::from_io("epoll_ctl", address.to_string(), &error))?;
    let task = Task::new(Arc::clone(entrance), Arc::clone(&gate));
    let task = runtime.spawn(task.run(poll)).abort_handle();
    Ok(Listening { gate, task })
}

impl Gate {
    /// Whoever had the lock last did nothing with the socket but use it.
    fn lock(&self) -> MutexGuard<'_, Option<UdpSocket>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.gate.lock().take();
        self.task.abort();
    }
}
