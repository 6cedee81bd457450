//! Counters by name, which rules of iptables count in (`-m nfacct`, nfacct(8)).
//!
//! linux/netfilter/nfnetlink_acct.h. The kernel keeps them by network namespace, and as long as a
//! rule refers to them.

use crate::error::CallError;
use crate::netlink::{Builder, Message, Protocol, Request, Socket};
pub use crate::nft::counters::Counts;
use crate::nft::wire;

/// `NFNL_SUBSYS_ACCT` (linux/netfilter/nfnetlink.h).
const NFNL_SUBSYS_ACCT: u16 = 7;

const fn message(number: u16) -> u16 {
    NFNL_SUBSYS_ACCT << 8 | number
}

const NFNL_MSG_ACCT_NEW: u16 = message(0);
const NFNL_MSG_ACCT_GET: u16 = message(1);
const NFNL_MSG_ACCT_DEL: u16 = message(3);

const NFACCT_NAME: u16 = 1;
const NFACCT_PKTS: u16 = 2;
const NFACCT_BYTES: u16 = 3;

/// A name that no counter has.
const NO_COUNTER: &str = "fairlead-asks";

/// The counters of the network namespace that the thread was in that opened this.
#[derive(Debug)]
pub struct Nfacct {
    socket: Socket,
}

impl Nfacct {
    /// Opens a socket.
    pub fn open() -> Result<Nfacct, CallError> {
        let socket = Socket::open(Protocol::Netfilter)?;
        Ok(Nfacct { socket })
    }

    /// Whether the kernel counts by name (module nfnetlink_acct, which it loads for that).
    ///
    /// # Errors
    /// `EPERM` without `CAP_NET_ADMIN`.
    pub fn is_supported(&mut self) -> Result<bool, CallError> {
        match self.read(NO_COUNTER) {
            // `nfnetlink_rcv_msg` says so for a subsystem that nothing registered.
            Err(error) if [libc::EINVAL, libc::EOPNOTSUPP].contains(&error.errno) => Ok(false),
            answered => answered.map(|_| true),
        }
    }

    /// Makes a counter, unless there is one: that goes on counting.
    ///
    /// # Errors
    /// `EINVAL` or `ERANGE` for a name of no or more than 31 bytes (`NFACCT_NAME_MAX`).
    pub fn ensure(&mut self, name: &str) -> Result<(), CallError> {
        let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
        let request = request(NFNL_MSG_ACCT_NEW, "NFNL_MSG_ACCT_NEW", flags, name);
        let made = self.socket.request(&request, |body| {
            write_name(body, name);
            body.be64(NFACCT_PKTS, 0);
            body.be64(NFACCT_BYTES, 0);
        });
        unless(libc::EEXIST, made)
    }

    /// What was counted; `None` when there is no such counter.
    pub fn read(&mut self, name: &str) -> Result<Option<Counts>, CallError> {
        let request = request(NFNL_MSG_ACCT_GET, "NFNL_MSG_ACCT_GET", 0, name);
        let collect = |counts: &mut Option<Counts>, message: &Message<'_>| {
            *counts = counts.or(parse(message));
        };
        match self
            .socket
            .query(&request, |body| write_name(body, name), collect)
        {
            Err(error) if error.errno == libc::ENOENT => Ok(None),
            answer => answer,
        }
    }

    /// Removes a counter, unless there is none.
    ///
    /// # Errors
    /// `EBUSY` while a rule counts in it.
    pub fn delete(&mut self, name: &str) -> Result<(), CallError> {
        let request = request(NFNL_MSG_ACCT_DEL, "NFNL_MSG_ACCT_DEL", 0, name);
        let deleted = self.socket.request(&request, |body| write_name(body, name));
        unless(libc::ENOENT, deleted)
    }
}

fn request<'a>(kind: u16, call: &'static str, flags: i32, object: &'a str) -> Request<'a> {
    Request {
        kind,
        flags,
        call,
        object,
    }
}

fn write_name(body: &mut Builder, name: &str) {
    wire::header(body, libc::AF_UNSPEC as u8, 0);
    body.string(NFACCT_NAME, name);
}

fn parse(message: &Message<'_>) -> Option<Counts> {
    let number = |kind| message.attributes(wire::HEADER).find(kind)?.be64();
    Some(Counts {
        packets: number(NFACCT_PKTS)?,
        bytes: number(NFACCT_BYTES)?,
    })
}

/// This error is as good as success.
fn unless(errno: i32, result: Result<(), CallError>) -> Result<(), CallError> {
    match result {
        Err(error) if error.errno == errno => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::Messages;

    #[test]
    fn a_request_names_the_counter_and_an_answer_tells_its_counts() {
        let mut builder = Builder::default();
        builder.message(NFNL_MSG_ACCT_GET, 1, 1, |body| write_name(body, "seen"));
        let expected: &[&[u8]] = &[
            &32u32.to_ne_bytes(),
            &0x0701u16.to_ne_bytes(),
            &1u16.to_ne_bytes(),
            &1u32.to_ne_bytes(),
            &[0; 4],
            &[0; 4],
            &9u16.to_ne_bytes(),
            &1u16.to_ne_bytes(),
            b"seen\0\0\0\0",
        ];
        assert_eq!(builder.as_slice(), expected.concat());

        let mut answer = Builder::default();
        answer.message(NFNL_MSG_ACCT_NEW, 0, 1, |body| {
            write_name(body, "seen");
            body.be64(NFACCT_BYTES, 1 << 40);
            body.be64(NFACCT_PKTS, 7);
        });
        let counts = |bytes| Messages::new(bytes).next().and_then(|one| parse(&one));
        let expected = Counts {
            packets: 7,
            bytes: 1 << 40,
        };
        assert_eq!(counts(answer.as_slice()), Some(expected));
        assert_eq!(counts(builder.as_slice()), None);
    }
}
