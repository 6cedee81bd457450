//! Notices that the host's addresses have changed.

use std::os::fd::{AsFd, BorrowedFd};

use crate::error::CallError;
use crate::netlink::{Protocol, Socket};

/// Becomes readable when an address comes or goes. What changed is not told: whoever wants to
/// know lists the addresses again.
#[derive(Debug)]
pub struct AddressMonitor {
    socket: Socket,
}

impl AddressMonitor {
    /// Begins to listen, in the network namespace of the calling thread. Listing the addresses
    /// after this and not before misses none.
    pub fn open() -> Result<Self, CallError> {
        let socket = Socket::open(Protocol::Route)?;
        socket.join(libc::RTNLGRP_IPV4_IFADDR)?;
        socket.join(libc::RTNLGRP_IPV6_IFADDR)?;
        Ok(Self { socket })
    }

    /// Reads all that is waiting, without waiting for more, and says whether an address came or
    /// went since the last time.
    pub fn drain(&mut self) -> Result<bool, CallError> {
        let mut changed = false;
        loop {
            match self.socket.try_receive() {
                Ok(Some(mut messages)) => {
                    changed |= messages.any(|message| {
                        matches!(message.kind, libc::RTM_NEWADDR | libc::RTM_DELADDR)
                    });
                }
                Ok(None) => return Ok(changed),
                // More came than there was room for; some of it may have been a change.
                Err(error) if error.errno == libc::ENOBUFS => changed = true,
                Err(error) => return Err(error),
            }
        }
    }
}

impl AsFd for AddressMonitor {
    /// For poll(2): readable means that [`AddressMonitor::drain`] has something to read.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
