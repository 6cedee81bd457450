//! Datagrams from clients to endpoints, and back.

use std::io;
use std::net::UdpSocket;
use std::sync::Arc;

use fairlead_core::route::Target;
use fairlead_kernel::transparent::{Batch, Datagram};

use super::session::{self, Failure, Key, Session};
use super::task::{Look, Task};
use crate::counts::Refused;
use crate::places::Place;
use crate::ports::Port;
use crate::upstreams::Picked;

/// How many answers of one session are carried before it is the turn of another.
const BURST: usize = 16;

/// How many sessions may have to go for one.
const EVICTIONS: usize = 4;

/// Why a session was not opened.
enum Unopened {
    /// The endpoint cannot be reached.
    Endpoint(Target),
    /// None can.
    Refused(Refused),
}

impl Task {
    /// Carries what clients have sent, a batch of it.
    pub(super) fn hear_clients(&mut self, batch: &mut Batch, look: Look<'_>) {
        // What can fail is that nothing is there.
        let Ok(datagrams) = batch.receive(look.listener) else {
            return;
        };
        for datagram in datagrams {
            self.carry(&datagram, look);
        }
    }

    /// Carries what the endpoint of a session has sent.
    pub(super) fn hear_endpoint(&mut self, slot: usize, room: &mut [u8], look: Look<'_>) {
        for _ in 0..BURST {
            let Some((key, session)) = self.sessions.get(slot) else {
                return;
            };
            match session.socket.recv(room) {
                Ok(length) => {
                    session.answered();
                    let said = match key.to == self.entrance.address {
                        true => look.listener.send_to(&room[..length], key.client),
                        false => {
                            let speakers = &mut self.speakers;
                            speakers.say(key.to, key.client, &room[..length], look.now)
                        }
                    };
                    let counters = &session.place.serving.counters;
                    counters.bytes_to_clients.add(said.unwrap_or_default());
                    self.sessions.touch(slot, look.now);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if is_of_this_host(&error) => {}
                Err(error) => {
                    self.fail(slot, &error);
                    return;
                }
            }
        }
    }

    fn carry(&mut self, datagram: &Datagram<'_>, look: Look<'_>) {
        let key = Key {
            client: datagram.from,
            to: datagram.to,
        };
        // Rules leave the address alone that it was sent to. What was sent to the listener itself
        // has passed none of them.
        let is_direct = key.to == self.entrance.address;
        if is_direct && !self.entrance.common.settings().takes_direct {
            return;
        }
        let mut tried = Vec::new();
        if let Some(slot) = self.sessions.find(&key) {
            match self.send(slot, datagram.bytes, look) {
                Ok(()) => return,
                Err(target) => tried.push(target),
            }
        }
        if let Err(why) = self.carry_anew(key, datagram.bytes, tried, look) {
            self.way.serving.counters.refused(why);
        }
    }

    /// Opens a session for a client, as many attempts as a connection has.
    fn carry_anew(
        &mut self,
        key: Key,
        bytes: &[u8],
        mut tried: Vec<Target>,
        look: Look<'_>,
    ) -> Result<(), Refused> {
        let attempts = self.entrance.common.settings().dial_timeouts.len();
        while tried.len() < attempts {
            if !tried.is_empty() {
                self.way.serving.counters.dial_retries.add(1);
            }
            let sent = match self.open(key, &tried, look) {
                Ok(slot) => self.send(slot, bytes, look),
                Err(Unopened::Endpoint(target)) => Err(target),
                Err(Unopened::Refused(why)) => return Err(why),
            };
            match sent {
                Ok(()) => return Ok(()),
                Err(target) => tried.push(target),
            }
        }
        Err(Refused::NoAnswer)
    }

    /// Sends to the endpoint of a session. Returns the endpoint if it refuses: then the session is
    /// over, and nothing was sent.
    fn send(&mut self, slot: usize, bytes: &[u8], look: Look<'_>) -> Result<(), Target> {
        let Some((_, session)) = self.sessions.get(slot) else {
            return Ok(());
        };
        match session.socket.send(bytes) {
            Ok(sent) => {
                session.accepted(look.now);
                let counters = &session.place.serving.counters;
                counters.bytes_from_clients.add(sent);
            }
            Err(error) if is_of_this_host(&error) => {}
            Err(error) => {
                let target = session.target;
                self.fail(slot, &error);
                return Err(target);
            }
        }
        self.sessions.touch(slot, look.now);
        Ok(())
    }

    /// The endpoint of a session refuses, or cannot be reached.
    fn fail(&mut self, slot: usize, error: &io::Error) {
        if let Some((key, session)) = self.sessions.get(slot) {
            tracing::debug!(target = %session.target, %error, "refuses datagrams");
            let serving = &session.place.serving;
            serving.failed(session.target, key.client.ip());
        }
        self.sessions.remove(slot);
    }

    fn open(&mut self, key: Key, tried: &[Target], look: Look<'_>) -> Result<usize, Unopened> {
        let serving = Arc::clone(&self.way.serving);
        let place = self.take_place().map_err(Unopened::Refused)?;
        let picked = serving.pick(self.way.pool, key.client.ip(), tried);
        let picked = picked.ok_or(Unopened::Refused(Refused::NoEndpoint))?;
        let target = picked.target;
        let connected = match self.connect(picked, key, look) {
            Err(Failure::Host(_)) if self.evict() => self.connect(picked, key, look),
            done => done,
        };
        match connected {
            Ok(socket) => {
                let session = Session::new(socket, target, key.client, place, look.now);
                Ok(self.sessions.insert(key, session, look.now))
            }
            Err(Failure::Endpoint(error)) => {
                tracing::debug!(%target, %error, "cannot be reached");
                serving.failed(target, key.client.ip());
                Err(Unopened::Endpoint(target))
            }
            Err(Failure::Host(error)) => {
                tracing::debug!(%target, %error, "cannot send datagrams");
                Err(Unopened::Refused(Refused::Limit))
            }
        }
    }

    fn connect(&self, picked: Picked, key: Key, look: Look<'_>) -> Result<UdpSocket, Failure> {
        let mark = self.entrance.common.settings().own_mark;
        let socket = session::connect(picked, key.client, self.way.source, mark)?;
        let name = self.sessions.next_slot() as u64;
        look.poll.add(&socket, name).map_err(Failure::Host)?;
        Ok(socket)
    }

    /// A place for a client. If there is none, or this service has as many as it may, another one of
    /// its clients goes.
    fn take_place(&mut self) -> Result<(Place, Port), Refused> {
        let common = Arc::clone(&self.entrance.common);
        let serving = Arc::clone(&self.way.serving);
        let take = || {
            let port = common.ports.take(&serving.counters)?;
            Ok((common.places.take(&serving)?, port))
        };
        let mut taken = take();
        for _ in 0..EVICTIONS {
            if taken.is_ok() || !self.evict() {
                break;
            }
            taken = take();
        }
        taken
    }

    /// Ends the session that is idle the longest; `false` if there is none.
    fn evict(&mut self) -> bool {
        let longest_idle = self.sessions.longest_idle();
        if let Some((slot, _)) = longest_idle {
            self.sessions.remove(slot);
        }
        longest_idle.is_some()
    }
}

/// Whether a datagram was lost for a reason that says nothing of the endpoint (udp(7), ip(7)), as one
/// is that finds a queue full. That it was too long for the path (`EMSGSIZE`) is heard later; then
/// the next one is cut up.
fn is_of_this_host(error: &io::Error) -> bool {
    let own = [
        libc::EAGAIN,
        libc::EINTR,
        libc::ENOBUFS,
        libc::ENOMEM,
        libc::EMSGSIZE,
    ];
    error
        .raw_os_error()
        .is_some_and(|errno| own.contains(&errno))
}
