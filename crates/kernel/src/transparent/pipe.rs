//! Pipes through which bytes go from one socket to another without being copied (splice(2)).

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::RecvFlags;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};

use super::option::failed;
use crate::error::CallError;

/// Bytes are moved, not copied, and a pipe that is full or empty is no reason to wait.
const FLAGS: SpliceFlags = SpliceFlags::MOVE.union(SpliceFlags::NONBLOCK);

/// The error number of what cannot be spliced: what a socket has must be received this time.
pub const NOT_SPLICED: i32 = libc::EOPNOTSUPP;

/// A pipe, and how much is in it. Two descriptors.
#[derive(Debug)]
pub struct Pipe {
    out: OwnedFd,
    into: OwnedFd,
    held: usize,
}

impl Pipe {
    /// A pipe that holds about `capacity` bytes; fewer where this process may not have as many
    /// (`fs.pipe-user-pages-soft`).
    pub fn new(capacity: usize) -> Result<Pipe, CallError> {
        let flags = PipeFlags::CLOEXEC | PipeFlags::NONBLOCK;
        let (out, into) = pipe_with(flags).map_err(failed("pipe2", "to splice"))?;
        // It works with what it has, 64 KiB.
        let _ = fcntl_setpipe_size(&into, capacity);
        Ok(Pipe { out, into, held: 0 })
    }

    /// How many bytes are in it.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Takes at most `most` bytes from a socket. 0 if the socket has none any more.
    ///
    /// # Errors
    /// The socket's; `EAGAIN` if it has none now, and also if the pipe is full; [`NOT_SPLICED`].
    pub fn fill(&mut self, from: impl AsFd, most: usize) -> io::Result<usize> {
        let taken = match splice(&from, None, &self.into, None, most, FLAGS) {
            // It says the same where an urgent byte is next, at which it stops (`tcp_read_sock`).
            Ok(0) | Err(Errno::AGAIN) if self.held == 0 && has_more(&from) => {
                return Err(io::Error::from_raw_os_error(NOT_SPLICED));
            }
            done => done?,
        };
        self.held += taken;
        Ok(taken)
    }

    /// Gives what it has to a socket.
    ///
    /// # Errors
    /// The socket's; `EAGAIN` if it has no room. One that nobody reads from any more raises
    /// SIGPIPE too, which splice(2) cannot be kept from; Rust programs ignore it from the start.
    pub fn drain(&mut self, to: impl AsFd) -> io::Result<usize> {
        let given = splice(&self.out, None, to, None, self.held, FLAGS)?;
        self.held = self.held.saturating_sub(given);
        Ok(given)
    }
}

/// Whether there is something to receive.
fn has_more(socket: impl AsFd) -> bool {
    let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    rustix::net::recv(socket, &mut [0], flags).is_ok_and(|(_, length)| length > 0)
}
