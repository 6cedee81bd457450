//! Waiting for many sockets at once (epoll(7)).

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;

use super::option::failed;
use crate::error::CallError;

/// How many sockets are named at once.
const MOST: usize = 64;

/// Sockets, of which it says which have something to receive or an error. It can be waited for as
/// they can.
#[derive(Debug)]
pub struct Poll(OwnedFd);

impl Poll {
    /// One without sockets.
    pub fn new() -> Result<Poll, CallError> {
        let made = epoll::create(CreateFlags::CLOEXEC);
        made.map(Poll).map_err(failed("epoll_create1", "datagrams"))
    }

    /// Looks at a socket too, which is called `name`, until it is closed.
    pub fn add(&self, socket: impl AsFd, name: u64) -> Result<(), CallError> {
        epoll::add(&self.0, socket, EventData::new_u64(name), EventFlags::IN)
            .map_err(failed("epoll_ctl", name))
    }

    /// Replaces `names` with those of the sockets that have something now, or some of them. The next
    /// time it is the turn of others.
    pub fn ready(&self, names: &mut Vec<u64>) -> io::Result<()> {
        names.clear();
        let mut events = [const { MaybeUninit::uninit() }; MOST];
        match epoll::wait(&self.0, &mut events, Some(&Timespec::default())) {
            Ok((ready, _)) => names.extend(ready.iter().map(|event| event.data.u64())),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        Ok(())
    }
}

impl AsRawFd for Poll {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
