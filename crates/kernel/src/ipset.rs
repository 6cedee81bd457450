//! Sets of addresses and ports that rules of iptables look into (ipset(8)).
//!
//! linux/netfilter/ipset/ip_set.h. Only what it takes to remove them.

use std::path::Path;

use crate::error::CallError;
use crate::netlink::{Builder, Message, Protocol, Request, Socket};
use crate::nft::wire;

/// `NFNL_SUBSYS_IPSET` (linux/netfilter/nfnetlink.h).
const NFNL_SUBSYS_IPSET: u16 = 6;

const fn message(number: u16) -> u16 {
    NFNL_SUBSYS_IPSET << 8 | number
}

const IPSET_CMD_DESTROY: u16 = message(3);
const IPSET_CMD_LIST: u16 = message(7);

const IPSET_ATTR_PROTOCOL: u16 = 1;
const IPSET_ATTR_SETNAME: u16 = 2;
const IPSET_ATTR_FLAGS: u16 = 6;

/// The oldest protocol that kernels speak; both messages have been the same since.
const IPSET_PROTOCOL_MIN: u8 = 6;

/// Only the names are wanted.
const IPSET_FLAG_LIST_SETNAME: u32 = 1 << 1;

/// `IPSET_ERR_BUSY`, which is no errno: rules look into the set.
const IPSET_ERR_BUSY: i32 = 4100;

/// Where the kernel shows that it has sets.
const MODULE: &str = "/sys/module/ip_set";

/// The sets of the network namespace that the thread was in that opened this.
#[derive(Debug)]
pub struct Ipset {
    socket: Socket,
}

/// What became of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destroyed {
    /// It was there, and is gone.
    Gone,
    /// There was none.
    Absent,
    /// Rules or other sets refer to it. It stays.
    InUse,
}

impl Ipset {
    /// Opens a socket; `None` where the kernel has no sets, or its module is not loaded, which
    /// asking would do.
    pub fn open_if_loaded() -> Result<Option<Ipset>, CallError> {
        if !Path::new(MODULE).exists() {
            return Ok(None);
        }
        let socket = Socket::open(Protocol::Netfilter)?;
        Ok(Some(Ipset { socket }))
    }

    /// The names of all sets, in no order.
    pub fn names(&mut self) -> Result<Vec<String>, CallError> {
        let request = request(IPSET_CMD_LIST, "IPSET_CMD_LIST", "all sets");
        self.socket.dump(
            &request,
            |body| {
                header(body);
                body.be32(IPSET_ATTR_FLAGS, IPSET_FLAG_LIST_SETNAME);
            },
            |names: &mut Vec<String>, message| names.extend(parse(message)),
        )
    }

    /// Destroys a set with its elements.
    pub fn destroy(&mut self, name: &str) -> Result<Destroyed, CallError> {
        let request = Request {
            // Without it a set that is not there counts as destroyed.
            flags: libc::NLM_F_EXCL,
            ..request(IPSET_CMD_DESTROY, "IPSET_CMD_DESTROY", name)
        };
        let destroyed = self.socket.request(&request, |body| {
            header(body);
            body.string(IPSET_ATTR_SETNAME, name);
        });
        match destroyed {
            Ok(()) => Ok(Destroyed::Gone),
            Err(error) => match error.errno {
                libc::ENOENT => Ok(Destroyed::Absent),
                IPSET_ERR_BUSY | libc::EBUSY => Ok(Destroyed::InUse),
                _ => Err(error),
            },
        }
    }
}

fn request<'a>(kind: u16, call: &'static str, object: &'a str) -> Request<'a> {
    Request {
        kind,
        flags: 0,
        call,
        object,
    }
}

fn header(body: &mut Builder) {
    wire::header(body, libc::AF_INET as u8, 0);
    body.u8(IPSET_ATTR_PROTOCOL, IPSET_PROTOCOL_MIN);
}

fn parse(message: &Message<'_>) -> Option<String> {
    let name = message.attributes(wire::HEADER).find(IPSET_ATTR_SETNAME)?;
    name.str().map(str::to_owned)
}
