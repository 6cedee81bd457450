//! One direction of a connection.

use std::task::{Context, Poll, ready};
use std::{io, mem};

use fairlead_kernel::transparent::pipe::NOT_SPLICED;
use tokio::io::ReadBuf;

use super::scratch::{self, COPIED, Lent, PIPED};
use super::socket::Socket;
use crate::counters::Counter;

/// How often a direction takes and gives before others have a turn.
const ROUNDS: usize = 16;

/// What is received at once through a pipe must be this much, or it is copied again: splicing costs
/// two calls for what one buffer holds.
const LEAST_PIPED: usize = COPIED / 2;

/// Takes from one socket what it gives to another. It has at most what one call took
/// ([`COPIED`] or [`PIPED`] bytes), and takes nothing more while it has something.
#[derive(Debug, Default)]
pub(super) struct Half {
    held: Held,
    /// There is nothing more to take.
    has_ended: bool,
    /// The last call filled the buffer: there is much to take.
    is_bulk: bool,
    waits: Waits,
}

/// What was taken and not given yet.
#[derive(Debug, Default)]
enum Held {
    #[default]
    Nothing,
    /// In memory of its own.
    Copied(Box<Rest>),
    Piped(Lent),
}

#[derive(Debug)]
struct Rest {
    bytes: Box<[u8]>,
    given: usize,
}

/// What a direction waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Waits {
    /// For its turn, or for nothing any more.
    #[default]
    Turn,
    /// For something to take.
    Bytes,
    /// For room to give it to.
    Room,
}

impl Half {
    /// Carries on as far as it goes. Ready when all that there ever was is given.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Socket,
        to: &mut Socket,
        carried: &Counter,
    ) -> Poll<io::Result<()>> {
        for _ in 0..ROUNDS {
            self.waits = Waits::Room;
            ready!(self.poll_give(cx, to))?;
            if self.has_ended {
                self.waits = Waits::Turn;
                return Poll::Ready(Ok(()));
            }
            self.waits = Waits::Bytes;
            let taken = match self.is_bulk.then(Lent::new).flatten() {
                Some(pipe) => ready!(self.poll_pipe(cx, pipe, from, to))?,
                None => ready!(self.poll_copy(cx, from, to))?,
            };
            carried.add(taken);
        }
        self.waits = Waits::Turn;
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Carries what one side said before the connection broke, as far as the other has room. The
    /// runtime may not have heard of it yet, so it is not asked.
    pub(super) fn carry_rest(&mut self, from: &mut Socket, to: &mut Socket, carried: &Counter) {
        if self.has_ended || !matches!(self.held, Held::Nothing) {
            return;
        }
        let Some(mut lent) = Lent::new() else {
            return;
        };
        for _ in 0..ROUNDS {
            let given = match from.fill(&mut lent.pipe, PIPED) {
                Ok(1..) => to.drain(&mut lent.pipe).unwrap_or_default(),
                _ => 0,
            };
            carried.add(given);
            if given == 0 || lent.pipe.held() > 0 {
                break;
            }
        }
        lent.give_back();
    }

    /// All is given.
    pub(super) fn is_over(&self) -> bool {
        self.has_ended && matches!(self.held, Held::Nothing)
    }

    pub(super) fn waits(&self) -> Waits {
        self.waits
    }

    /// Gives what it has.
    fn poll_give(&mut self, cx: &mut Context<'_>, to: &mut Socket) -> Poll<io::Result<()>> {
        loop {
            let given = match &mut self.held {
                Held::Nothing => return Poll::Ready(Ok(())),
                Held::Copied(rest) => rest.give(to)?,
                Held::Piped(lent) => give_piped(lent, to)?,
            };
            match given {
                Given::All => self.let_go(),
                Given::Some => {}
                Given::Nothing => ready!(to.poll_room(cx))?,
            }
        }
    }

    /// Takes through the buffer that all share. Only what there is no room for is kept.
    fn poll_copy(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Socket,
        to: &mut Socket,
    ) -> Poll<io::Result<usize>> {
        scratch::with_buffer(|buffer| {
            ready!(from.poll_receive(cx, buffer))?;
            self.is_bulk = buffer.remaining() == 0;
            let is_last = is_last(cx, from, buffer);
            let bytes = buffer.filled();
            let given = match (bytes, &is_last) {
                ([], _) => 0,
                (bytes, Ok(true)) => to.send_last(bytes)?,
                (bytes, _) => to.send(bytes)?,
            };
            if given < bytes.len() {
                let bytes = bytes[given..].into();
                self.held = Held::Copied(Box::new(Rest { bytes, given: 0 }));
            }
            self.has_ended = is_last?;
            Poll::Ready(Ok(bytes.len()))
        })
    }

    /// Takes through a pipe, which it keeps while something is in it.
    fn poll_pipe(
        &mut self,
        cx: &mut Context<'_>,
        mut lent: Lent,
        from: &mut Socket,
        to: &mut Socket,
    ) -> Poll<io::Result<usize>> {
        let taken = match from.poll_fill(cx, &mut lent.pipe, PIPED) {
            Poll::Ready(Err(error)) if error.raw_os_error() == Some(NOT_SPLICED) => {
                lent.give_back();
                return self.poll_copy(cx, from, to);
            }
            Poll::Ready(taken) => taken?,
            Poll::Pending => {
                lent.give_back();
                return Poll::Pending;
            }
        };
        self.is_bulk = taken >= LEAST_PIPED;
        self.has_ended = taken == 0;
        self.held = Held::Piped(lent);
        Poll::Ready(Ok(taken))
    }

    /// Has nothing any more.
    fn let_go(&mut self) {
        if let Held::Piped(lent) = mem::take(&mut self.held) {
            lent.give_back();
        }
    }
}

/// Whether nothing follows what was received: that goes in one packet with the news of it. The
/// runtime mostly knows without asking the system.
fn is_last(cx: &mut Context<'_>, from: &mut Socket, buffer: &mut ReadBuf<'_>) -> io::Result<bool> {
    let received = buffer.filled().len();
    if received == 0 || buffer.remaining() == 0 {
        return Ok(received == 0);
    }
    match from.poll_receive(cx, buffer) {
        Poll::Ready(more) => more.map(|()| buffer.filled().len() == received),
        Poll::Pending => Ok(false),
    }
}

/// How much of what was held was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Given {
    Nothing,
    Some,
    All,
}

impl Given {
    fn of(given: usize, left: usize) -> Given {
        match (given, left) {
            (_, 0) => Given::All,
            (0, _) => Given::Nothing,
            _ => Given::Some,
        }
    }
}

fn give_piped(lent: &mut Lent, to: &mut Socket) -> io::Result<Given> {
    let given = match lent.pipe.held() {
        0 => 0,
        _ => to.drain(&mut lent.pipe)?,
    };
    Ok(Given::of(given, lent.pipe.held()))
}

impl Rest {
    fn give(&mut self, to: &mut Socket) -> io::Result<Given> {
        let given = to.send(&self.bytes[self.given..])?;
        self.given += given;
        Ok(Given::of(given, self.bytes.len() - self.given))
    }
}
