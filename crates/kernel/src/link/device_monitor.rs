//! Tells when someone else touches a device and its addresses.

use std::collections::HashSet;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};

use super::device::DeviceOp;
use super::dummy::is_link_local;
use super::rtnetlink::{IFADDRMSG, IFINFOMSG, ip_of};
use crate::error::CallError;
use crate::netlink::{Message, Protocol, Socket, u32_at};

/// Room for notifications between two calls of [`DeviceMonitor::drain`].
const NOTIFICATIONS: usize = 1 << 20;

/// What has been reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reported {
    /// Nothing but what was expected.
    Nothing,
    /// Something else.
    News,
    /// More than there was room for, of which the rest was expected.
    TooMuch,
}

/// Listens to what happens to the device of a name, and compares it with what is expected of it.
///
/// Who changed an address is told for IPv4 alone: the kernel leaves the port out of what it says of
/// IPv6 (`inet6_ifa_notify` in net/ipv6/addrconf.c). So what is known of the device is remembered,
/// and whatever says otherwise was done by someone else.
#[derive(Debug)]
pub(super) struct DeviceMonitor {
    socket: Socket,
    name: String,
    /// The device's index, if there is the device.
    index: Option<u32>,
    addresses: HashSet<IpAddr>,
}

impl DeviceMonitor {
    pub(super) fn open(name: &str) -> Result<DeviceMonitor, CallError> {
        let socket = Socket::open(Protocol::Route)?;
        socket.set_receive_buffer(NOTIFICATIONS)?;
        for group in [
            libc::RTNLGRP_LINK,
            libc::RTNLGRP_IPV4_IFADDR,
            libc::RTNLGRP_IPV6_IFADDR,
        ] {
            socket.join(group)?;
        }
        Ok(DeviceMonitor {
            socket,
            name: name.to_owned(),
            index: None,
            addresses: HashSet::new(),
        })
    }

    /// There is the device of this index, or none. Another one has other addresses.
    pub(super) fn expect_device(&mut self, index: Option<u32>) {
        if self.index != index {
            self.index = index;
            self.addresses = HashSet::new();
        }
    }

    /// These are the addresses that the device has.
    pub(super) fn expect_held(&mut self, index: u32, addresses: &[IpAddr]) {
        self.index = Some(index);
        self.addresses = addresses.iter().copied().collect();
    }

    /// This is about to be done by us.
    pub(super) fn expect(&mut self, index: u32, ops: &[DeviceOp]) {
        self.expect_device(Some(index));
        for op in ops {
            match op {
                DeviceOp::Hold(ip) => drop(self.addresses.insert(*ip)),
                DeviceOp::Release(ip) => drop(self.addresses.remove(ip)),
                DeviceOp::Create => {}
            }
        }
    }

    /// This was refused.
    pub(super) fn forget(&mut self, ops: impl Iterator<Item = DeviceOp>) {
        for op in ops {
            if let DeviceOp::Hold(ip) = op {
                self.addresses.remove(&ip);
            }
        }
    }

    /// Whether the device of this index, or none, and these addresses are what is expected.
    pub(super) fn expects(&self, index: Option<u32>, addresses: &[IpAddr]) -> bool {
        let is_expected = |ip: &IpAddr| self.addresses.contains(ip);
        (index, addresses.len()) == (self.index, self.addresses.len())
            && addresses.iter().all(is_expected)
    }

    /// Reads all that has been reported, without waiting.
    pub(super) fn drain(&mut self) -> Result<Reported, CallError> {
        let mut reported = Reported::Nothing;
        loop {
            match self.socket.try_receive() {
                Ok(None) => return Ok(reported),
                Ok(Some(mut messages)) => {
                    let (name, index) = (&self.name, self.index);
                    if messages.any(|message| is_news(&message, name, index, &self.addresses)) {
                        reported = Reported::News;
                    }
                }
                Err(error) if error.errno == libc::ENOBUFS => {
                    if reported == Reported::Nothing {
                        reported = Reported::TooMuch;
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl AsFd for DeviceMonitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn is_news(
    message: &Message<'_>,
    name: &str,
    expected: Option<u32>,
    addresses: &HashSet<IpAddr>,
) -> bool {
    // struct ifinfomsg and struct ifaddrmsg both have the index there.
    let index = u32_at(message.payload, 4);
    let is_expected = index.is_some() && index == expected;
    match message.kind {
        libc::RTM_NEWLINK => is_named(message, name) != is_expected,
        libc::RTM_DELLINK => is_expected && !is_bridge_port(message),
        libc::RTM_NEWADDR | libc::RTM_DELADDR if is_expected => {
            let ip = ip_of(&message.attributes(IFADDRMSG)).filter(|ip| !is_link_local(*ip));
            let came = message.kind == libc::RTM_NEWADDR;
            ip.is_some_and(|ip| addresses.contains(&ip) != came)
        }
        _ => false,
    }
}

fn is_named(message: &Message<'_>, name: &str) -> bool {
    let found = message.attributes(IFINFOMSG).find(libc::IFLA_IFNAME);
    found.and_then(|found| found.str()) == Some(name)
}

/// A device left a bridge, which is told with the same message.
fn is_bridge_port(message: &Message<'_>) -> bool {
    message.payload.first() == Some(&(libc::AF_BRIDGE as u8))
}
