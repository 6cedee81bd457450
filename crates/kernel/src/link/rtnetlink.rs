//! Asks for devices and addresses.

use std::collections::HashSet;
use std::net::IpAddr;

use super::{Address, Addresses, Link, Scope};
use crate::error::CallError;
use crate::netlink::{Attributes, Message, Protocol, Request, Socket, u32_at};

/// `sizeof(struct ifinfomsg)` (linux/rtnetlink.h).
pub(super) const IFINFOMSG: usize = 16;

/// `sizeof(struct ifaddrmsg)` (linux/if_addr.h).
pub(super) const IFADDRMSG: usize = 8;

/// The devices of the network namespace that the thread was in that opened this.
#[derive(Debug)]
pub struct Rtnetlink {
    pub(super) socket: Socket,
}

impl Rtnetlink {
    /// Opens a socket in the network namespace of the calling thread.
    pub fn open() -> Result<Self, CallError> {
        Ok(Self {
            socket: Socket::open(Protocol::Route)?,
        })
    }

    /// All devices.
    pub fn links(&mut self) -> Result<Vec<Link>, CallError> {
        let request = Request::for_all(libc::RTM_GETLINK, "RTM_GETLINK", "all links");
        self.socket.dump(
            &request,
            |body| body.raw(&[0; IFINFOMSG]),
            |links: &mut Vec<Link>, message| links.extend(parse_link(message)),
        )
    }

    /// The index of the device of this name, if there is one.
    pub fn find_link(&mut self, name: &str) -> Result<Option<u32>, CallError> {
        match self.link_index(name) {
            Err(error) if error.errno == libc::ENODEV => Ok(None),
            found => found.map(Some),
        }
    }

    /// The index of the device of this name: `ENODEV` when there is none.
    pub fn link_index(&mut self, name: &str) -> Result<u32, CallError> {
        let request = Request {
            object: name,
            ..Request::for_all(libc::RTM_GETLINK, "RTM_GETLINK", "")
        };
        let link = self.socket.query(
            &request,
            |body| {
                body.raw(&[0; IFINFOMSG]);
                body.string(libc::IFLA_IFNAME, name);
            },
            |link, message| *link = parse_link(message),
        )?;
        link.map(|link| link.index).ok_or_else(|| CallError {
            call: request.call,
            object: name.to_owned(),
            errno: libc::ENODEV,
        })
    }
}

impl Addresses for Rtnetlink {
    fn addresses(&mut self) -> Result<Vec<Address>, CallError> {
        let links = self.links()?;
        let loopback: HashSet<u32> = links
            .iter()
            .filter(|link| link.loopback)
            .map(|link| link.index)
            .collect();
        let request = Request::for_all(libc::RTM_GETADDR, "RTM_GETADDR", "all addresses");
        let mut addresses = self.socket.dump(
            &request,
            |body| body.raw(&[0; IFADDRMSG]),
            |addresses: &mut Vec<Address>, message| addresses.extend(parse_address(message)),
        )?;
        for address in &mut addresses {
            address.loopback = loopback.contains(&address.link);
        }
        Ok(addresses)
    }
}

fn parse_link(message: &Message<'_>) -> Option<Link> {
    if message.kind != libc::RTM_NEWLINK {
        return None;
    }
    // struct ifinfomsg: family, padding, type (u16), index, flags, change (u32 each)
    let flags = u32_at(message.payload, 8)?.cast_signed();
    Some(Link {
        index: u32_at(message.payload, 4)?,
        name: message
            .attributes(IFINFOMSG)
            .find(libc::IFLA_IFNAME)?
            .str()?
            .to_owned(),
        up: flags & libc::IFF_UP != 0,
        loopback: flags & libc::IFF_LOOPBACK != 0,
    })
}

pub(super) fn parse_address(message: &Message<'_>) -> Option<Address> {
    if message.kind != libc::RTM_NEWADDR {
        return None;
    }
    // struct ifaddrmsg: family, prefix length, flags, scope (u8 each), index (u32)
    let &[_, prefix_len, _, scope] = message.payload.first_chunk()?;
    let ip = ip_of(&message.attributes(IFADDRMSG))?;
    let link = u32_at(message.payload, 4)?;
    Some(Address {
        ip,
        prefix_len,
        scope: Scope::of(scope),
        link,
        loopback: false,
    })
}

/// This end's address. Of a point-to-point link IFA_ADDRESS is the other end's; without one, as
/// for most of IPv6, there is no IFA_LOCAL.
pub(super) fn ip_of(attributes: &Attributes<'_>) -> Option<IpAddr> {
    let find = |kind| attributes.clone().find(kind);
    find(libc::IFA_LOCAL)
        .or_else(|| find(libc::IFA_ADDRESS))?
        .ip()
}
