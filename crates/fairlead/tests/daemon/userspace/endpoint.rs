//! An endpoint that can be killed in the middle of its work.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use fairlead_lab::Lab;
use libtest_mimic::Failed;
use socket2::SockRef;

/// Asks for an answer, and for another one later.
pub(super) const KEEP: u8 = b'k';
/// Asks for an answer and the end.
pub(super) const CLOSE: u8 = b'c';

/// A pod of another node that answers each byte with its own: the last of its address. It is killed
/// when dropped.
#[derive(Debug)]
pub(super) struct Endpoint {
    listener: TcpListener,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    is_frozen: bool,
    accepted: u64,
    open: HashMap<u64, TcpStream>,
}

impl Endpoint {
    /// The port of all of them.
    pub(super) const PORT: u16 = 9000;

    /// Starts to answer at 10.244.2.x.
    pub(super) fn start(lab: &Lab, last: u8) -> Result<Endpoint, Failed> {
        let at = (format!("10.244.2.{last}"), Endpoint::PORT);
        let bind = || TcpListener::bind((&*at.0, at.1));
        let listener = lab.network().world().run(bind)??;
        let state = Arc::new(Mutex::new(State::default()));
        let (accepting, shared) = (listener.try_clone()?, Arc::clone(&state));
        thread::spawn(move || accept(&accepting, &shared, last));
        Ok(Endpoint { listener, state })
    }

    /// From now on it answers nobody, but does not say so.
    pub(super) fn freeze(&self) {
        lock(&self.state).is_frozen = true;
    }

    /// How many connections wait for an answer, or may ask for one.
    pub(super) fn open(&self) -> usize {
        lock(&self.state).open.len()
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        // Some have ended by themselves.
        let _ = SockRef::from(&self.listener).shutdown(Shutdown::Both);
        for stream in lock(&self.state).open.values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn accept(listener: &TcpListener, state: &Arc<Mutex<State>>, own: u8) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept()?;
        let mut guard = lock(state);
        guard.accepted += 1;
        let number = guard.accepted;
        guard.open.insert(number, stream.try_clone()?);
        let state = Arc::clone(state);
        thread::spawn(move || {
            // Whoever is frozen leaves its connections as they are.
            let ended = answer(stream, &state, number, own);
            let mut state = lock(&state);
            if ended.is_err() || !state.is_frozen {
                state.open.remove(&number);
            }
        });
    }
}

/// Until somebody asks for the end, or for an answer of who is frozen.
fn answer(mut stream: TcpStream, state: &Mutex<State>, number: u64, own: u8) -> io::Result<()> {
    let mut asked = [0];
    loop {
        stream.read_exact(&mut asked)?;
        let mut state = lock(state);
        if state.is_frozen {
            return Ok(());
        }
        stream.write_all(&[own])?;
        if asked[0] == CLOSE {
            state.open.remove(&number);
            return stream.shutdown(Shutdown::Both);
        }
    }
}
