//! The sockets that answer clients, one for each address that they sent to.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use fairlead_kernel::transparent::udp;

/// How many there are at most; the one that is silent the longest goes. A service has few addresses,
/// but a node port has all of the node's, and the whole of 127.0.0.0/8.
const MOST: usize = 32;

/// How long nothing is said after an address could not be had.
const PAUSE: Duration = Duration::from_secs(1);

/// Those of a listener.
#[derive(Debug, Default)]
pub(super) struct Speakers(HashMap<SocketAddr, Speaker>);

#[derive(Debug)]
struct Speaker {
    /// `None` if the address could not be had.
    socket: Option<UdpSocket>,
    used: Instant,
}

impl Speakers {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Says something to a client, as if it came from where the client had sent to. A client that
    /// cannot be reached is not told, as a router would not.
    pub(super) fn say(
        &mut self,
        from: SocketAddr,
        to: SocketAddr,
        bytes: &[u8],
        now: Instant,
    ) -> io::Result<usize> {
        if !self.0.contains_key(&from) {
            self.make_room();
        }
        let speaker = self
            .0
            .entry(from)
            .or_insert_with(|| Speaker::new(from, now));
        match &speaker.socket {
            Some(_) => speaker.used = now,
            None if now.saturating_duration_since(speaker.used) >= PAUSE => {
                *speaker = Speaker::new(from, now);
            }
            None => {}
        }
        let socket = speaker.socket.as_ref();
        socket.ok_or(io::ErrorKind::AddrInUse)?.send_to(bytes, to)
    }

    /// Closes those that have been silent for as long.
    pub(super) fn sweep(&mut self, idle: Duration, now: Instant) {
        let is_idle = |speaker: &Speaker| now.saturating_duration_since(speaker.used) >= idle;
        self.0.retain(|_, speaker| !is_idle(speaker));
    }

    fn make_room(&mut self) {
        if self.0.len() >= MOST
            && let Some((&silent, _)) = self.0.iter().min_by_key(|(_, speaker)| speaker.used)
        {
            self.0.remove(&silent);
        }
    }
}

impl Speaker {
    fn new(from: SocketAddr, now: Instant) -> Speaker {
        let socket = udp::speak_as(from);
        if let Err(error) = &socket {
            tracing::warn!(%from, %error, "cannot answer clients from there");
        }
        Speaker {
            socket: socket.ok(),
            used: now,
        }
    }
}
