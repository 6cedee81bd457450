//! Notices that the host's addresses have changed.

use std::os::fd::{AsFd, BorrowedFd};

use super::Rtnetlink;
use crate::error::CallError;
use crate::netlink::{Protocol, Socket, u32_at};

/// Room for notifications between two calls of [`AddressMonitor::drain`], so that those of a device
/// with thousands of addresses, which is left out, do not displace the others.
const NOTIFICATIONS: usize = 4 << 20;

/// Becomes readable when an address comes or goes. What changed is not told: whoever wants to
/// know lists the addresses again.
#[derive(Debug)]
pub struct AddressMonitor {
    socket: Socket,
    rtnetlink: Rtnetlink,
    /// The name of a device that is left out.
    except: String,
    /// Its index when it was last looked for.
    index: Option<u32>,
}

impl AddressMonitor {
    /// Begins to listen, in the network namespace of the calling thread. Listing the addresses
    /// after this and not before misses none. What happens to the addresses of the device
    /// `except`, which may come and go, does not count.
    pub fn open(except: &str) -> Result<Self, CallError> {
        let socket = Socket::open(Protocol::Route)?;
        socket.set_receive_buffer(NOTIFICATIONS)?;
        socket.join(libc::RTNLGRP_IPV4_IFADDR)?;
        socket.join(libc::RTNLGRP_IPV6_IFADDR)?;
        Ok(Self {
            socket,
            rtnetlink: Rtnetlink::open()?,
            except: except.to_owned(),
            index: None,
        })
    }

    /// Reads all that is waiting, without waiting for more, and says whether an address came or
    /// went since the last time.
    pub fn drain(&mut self) -> Result<bool, CallError> {
        let mut changed = false;
        loop {
            let links: Vec<u32> = match self.socket.try_receive() {
                Ok(Some(messages)) => {
                    let of_addresses = messages.filter(|message| {
                        matches!(message.kind, libc::RTM_NEWADDR | libc::RTM_DELADDR)
                    });
                    // struct ifaddrmsg: family, prefix length, flags, scope (u8 each), index (u32)
                    of_addresses
                        .filter_map(|message| u32_at(message.payload, 4))
                        .collect()
                }
                Ok(None) => return Ok(changed),
                // More came than there was room for; some of it may have been a change.
                Err(error) if error.errno == libc::ENOBUFS => {
                    changed = true;
                    continue;
                }
                Err(error) => return Err(error),
            };
            for link in links {
                changed = changed || !self.is_left_out(link)?;
            }
        }
    }

    /// Whether a device is the one that is left out, or was it when it was last looked for.
    fn is_left_out(&mut self, link: u32) -> Result<bool, CallError> {
        if self.index == Some(link) {
            return Ok(true);
        }
        // Without a device the index stays: what is told now may be of the time when it was there.
        self.index = self.rtnetlink.find_link(&self.except)?.or(self.index);
        Ok(self.index == Some(link))
    }
}

impl AsFd for AddressMonitor {
    /// For poll(2): readable means that [`AddressMonitor::drain`] has something to read.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
