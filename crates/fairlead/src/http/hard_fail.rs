//! A server that cannot listen where that is to end the process (`bindAddressHardFail`).

use std::fmt;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, channel};

/// A server of which there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Server {
    /// /healthz, /livez, /readyz.
    Health,
    /// /metrics and the pages beside it.
    Metrics,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Server::Health => "health server",
            Server::Metrics => "metrics server",
        })
    }
}

/// Why the process has to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HardFailure {
    /// Which server could not listen.
    pub(crate) server: Server,
    /// Where.
    pub(crate) address: SocketAddr,
    /// What the kernel said.
    pub(crate) error: String,
}

impl std::error::Error for HardFailure {}

impl fmt::Display for HardFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let HardFailure {
            server,
            address,
            error,
        } = self;
        write!(
            f,
            "the {server} cannot listen on {address}: {error}; free the port, choose another, or do without bindAddressHardFail"
        )
    }
}

/// By which a server tells the loop.
#[derive(Debug)]
pub(crate) struct Alarm {
    failures: Sender<HardFailure>,
    wake: UnixStream,
}

/// Where the loop hears of it: readable from the moment that there is something to take.
#[derive(Debug)]
pub(crate) struct Alarms {
    failures: Receiver<HardFailure>,
    wake: UnixStream,
}

impl Alarm {
    /// Both ends.
    pub(crate) fn new() -> io::Result<(Alarm, Alarms)> {
        let (ring, hear) = UnixStream::pair()?;
        let (sender, receiver) = channel();
        let alarm = Alarm {
            failures: sender,
            wake: ring,
        };
        let alarms = Alarms {
            failures: receiver,
            wake: hear,
        };
        Ok((alarm, alarms))
    }

    /// Wakes the loop.
    pub(super) fn raise(&self, failure: HardFailure) {
        // If the loop is gone, the process ends already.
        let _ = self.failures.send(failure);
        let _ = (&self.wake).write(&[0]);
    }
}

impl Alarms {
    /// What happened, if something did.
    pub(crate) fn take(&self) -> Option<HardFailure> {
        self.failures.try_recv().ok()
    }
}

impl AsFd for Alarms {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}
