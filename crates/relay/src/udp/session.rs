//! What there is of a client while it is remembered.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use fairlead_core::route::Target;
use fairlead_kernel::error::CallError;
use fairlead_kernel::transparent::udp::{self, Call};

use crate::handle::Source;
use crate::places::Place;
use crate::ports::Port;
use crate::upstreams::Picked;

/// An endpoint that is still silent after so long is taken to listen all the same: some answer
/// nothing to anybody.
const SILENCE: Duration = Duration::from_secs(1);

/// A client, by where it sends from and where to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) client: SocketAddr,
    pub(super) to: SocketAddr,
}

/// A client's socket to its endpoint.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) socket: UdpSocket,
    pub(super) target: Target,
    pub(super) place: Place,
    _port: Port,
    began: Instant,
    /// Whether the endpoint is known to be there.
    is_heard: bool,
}

/// Why there is none.
#[derive(Debug)]
pub(super) enum Failure {
    /// The endpoint cannot be reached.
    Endpoint(CallError),
    /// This host has nothing left: no descriptors, no ports, no memory.
    Host(CallError),
}

/// A socket to the endpoint that was picked.
pub(super) fn connect(
    picked: Picked,
    client: SocketAddr,
    source: Source,
    mark: u32,
) -> Result<UdpSocket, Failure> {
    let call = Call {
        mark,
        source: picked.shows_client(source).then_some(client),
    };
    let to = SocketAddr::new(picked.target.address, picked.target.port);
    let connected = match udp::connect(to, &call) {
        // Where the client's address cannot be had, this node's is better than nothing.
        Err(error) if call.source.is_some() && error.call == "bind" => {
            tracing::debug!(%error, "the endpoint sees this node");
            let source = None;
            udp::connect(to, &Call { source, ..call })
        }
        done => done,
    };
    connected.map_err(Failure::of)
}

impl Session {
    /// The session of a client for which a place was taken.
    pub(super) fn new(
        socket: UdpSocket,
        target: Target,
        client: SocketAddr,
        (place, port): (Place, Port),
        now: Instant,
    ) -> Session {
        let serving = &place.serving;
        serving.opened(target, client.ip());
        serving.counters.sessions.add(1);
        serving.counters.open_sessions.add(1);
        Session {
            socket,
            target,
            place,
            _port: port,
            began: now,
            is_heard: false,
        }
    }

    /// The endpoint sent something.
    pub(super) fn answered(&mut self) {
        if !self.is_heard {
            self.is_heard = true;
            self.place.serving.answered(self.target);
        }
    }

    /// The endpoint was sent something, and has not refused what came before it.
    pub(super) fn accepted(&mut self, now: Instant) {
        if !self.is_heard && now.saturating_duration_since(self.began) >= SILENCE {
            self.answered();
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let serving = &self.place.serving;
        serving.ended(self.target);
        serving.counters.open_sessions.subtract(1);
    }
}

impl Failure {
    fn of(error: CallError) -> Failure {
        match (error.call, error.errno) {
            // No port is left, or no memory.
            ("connect", libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM) => Failure::Host(error),
            ("connect", _) => Failure::Endpoint(error),
            _ => Failure::Host(error),
        }
    }
}
