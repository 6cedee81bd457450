//! Reading what the rules count.
//!
//! Counters change all the time and never all at once, so nothing is done to read them as they
//! were at one moment: what is read while others change the table is right for each by itself,
//! but some may be given twice or not at all.

use super::handle::CallError;
use super::observe::name_table;
use super::ruleset::{Bytes, SetName, TableId};
use super::{userdata, wire};
use crate::netlink::{Attribute, Attributes, Message, Protocol, Request, Socket};

/// What was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Packets, as they came by: those that the kernel had joined to one count as one.
    pub packets: u64,
    /// Their bytes, from the IP header on.
    pub bytes: u64,
}

/// An element that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountedElement<'a> {
    /// Its key.
    pub key: Bytes,
    /// Its comment.
    pub comment: Option<&'a str>,
    /// What it counted since it was added.
    pub counts: Counts,
}

/// Where counters are read: the kernel's nf_tables or a fake.
pub trait ReadCounters {
    /// Gives every element of a set or map whose elements count to `take`; none if there is no
    /// such set.
    fn elements(
        &mut self,
        table: TableId,
        set: SetName,
        take: &mut dyn FnMut(&CountedElement<'_>),
    ) -> Result<(), CallError>;

    /// Gives every named counter of a table to `take`; none if there is no such table.
    fn counters(
        &mut self,
        table: TableId,
        take: &mut dyn FnMut(&str, Counts),
    ) -> Result<(), CallError>;
}

/// A socket to read counters by, in the network namespace it was opened in. It keeps nothing of
/// what it reads.
#[derive(Debug)]
pub struct CounterSocket {
    socket: Socket,
}

impl CounterSocket {
    /// Opens a socket.
    pub fn open() -> Result<CounterSocket, CallError> {
        let socket = Socket::open(Protocol::Netfilter)?;
        Ok(CounterSocket { socket })
    }
}

impl ReadCounters for CounterSocket {
    fn elements(
        &mut self,
        table: TableId,
        set: SetName,
        take: &mut dyn FnMut(&CountedElement<'_>),
    ) -> Result<(), CallError> {
        let request = Request {
            kind: wire::NFT_MSG_GETSETELEM,
            flags: 0,
            call: "NFT_MSG_GETSETELEM",
            object: set,
        };
        let dumped = self.socket.dump_once(
            &request,
            |body| {
                name_table(body, table);
                body.string(wire::NFTA_SET_ELEM_LIST_SET, set);
            },
            |message| {
                let attributes = message.attributes(wire::HEADER);
                let list = attributes.find(wire::NFTA_SET_ELEM_LIST_ELEMENTS);
                list.iter()
                    .flat_map(Attribute::nested)
                    .filter_map(|one| element(one.nested()))
                    .for_each(|one| take(&one));
            },
        );
        unless_missing(dumped)
    }

    fn counters(
        &mut self,
        table: TableId,
        take: &mut dyn FnMut(&str, Counts),
    ) -> Result<(), CallError> {
        let request = Request {
            kind: wire::NFT_MSG_GETOBJ,
            flags: 0,
            call: "NFT_MSG_GETOBJ",
            object: table.name,
        };
        let dumped = self.socket.dump_once(
            &request,
            |body| {
                name_table(body, table);
                body.be32(wire::NFTA_OBJ_TYPE, wire::NFT_OBJECT_COUNTER);
            },
            |message| {
                if let Some((name, counts)) = counter(message) {
                    take(name, counts);
                }
            },
        );
        unless_missing(dumped)
    }
}

/// What is not there has counted nothing.
fn unless_missing(dumped: Result<bool, CallError>) -> Result<(), CallError> {
    match dumped {
        Err(error) if error.errno != libc::ENOENT => Err(error),
        _ => Ok(()),
    }
}

/// `None` for an element that does not count, or whose key is longer than ours ever are.
fn element(attributes: Attributes<'_>) -> Option<CountedElement<'_>> {
    let (mut key, mut comment, mut counts) = (None, None, None);
    for attribute in attributes {
        match attribute.kind {
            wire::NFTA_SET_ELEM_KEY => {
                let value = attribute.nested().find(wire::NFTA_DATA_VALUE)?;
                key = Bytes::from_kernel(value.payload);
            }
            wire::NFTA_SET_ELEM_USERDATA => comment = userdata::read_comment(attribute.payload),
            wire::NFTA_SET_ELEM_EXPR => {
                let data = attribute.nested().find(wire::NFTA_EXPR_DATA);
                counts = data.as_ref().and_then(read_counts);
            }
            _ => {}
        }
    }
    Some(CountedElement {
        key: key?,
        comment,
        counts: counts?,
    })
}

fn counter<'a>(message: &Message<'a>) -> Option<(&'a str, Counts)> {
    let attributes = message.attributes(wire::HEADER);
    let name = attributes.clone().find(wire::NFTA_OBJ_NAME)?.str()?;
    let data = attributes.find(wire::NFTA_OBJ_DATA)?;
    Some((name, read_counts(&data)?))
}

fn read_counts(data: &Attribute<'_>) -> Option<Counts> {
    let number = |kind| data.nested().find(kind)?.be64();
    Some(Counts {
        packets: number(wire::NFTA_COUNTER_PACKETS)?,
        bytes: number(wire::NFTA_COUNTER_BYTES)?,
    })
}
