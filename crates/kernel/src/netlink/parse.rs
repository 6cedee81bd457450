//! Reads what came over a netlink socket. Whatever the bytes are, nothing here panics: at the
//! first that make no sense an iterator ends.

use std::net::IpAddr;

/// `sizeof(struct nlmsghdr)`.
const MESSAGE_HEADER: usize = 16;

/// `sizeof(struct nlattr)`.
const ATTRIBUTE_HEADER: usize = 4;

/// What of `nla_type` is not a flag (linux/netlink.h).
const NLA_TYPE_MASK: u16 = 0x3fff;

/// `NLMSGERR_ATTR_MSG` (linux/netlink.h): the kernel's words about an error.
const NLMSGERR_ATTR_MSG: u16 = 1;

/// `NLMSGERR_ATTR_OFFS` (linux/netlink.h): where in the request the wrong attribute is.
const NLMSGERR_ATTR_OFFS: u16 = 2;

/// The messages of one datagram.
#[derive(Debug, Clone)]
pub struct Messages<'a> {
    rest: &'a [u8],
}

impl<'a> Messages<'a> {
    /// Reads a datagram.
    pub fn new(datagram: &'a [u8]) -> Messages<'a> {
        Messages { rest: datagram }
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let length = u32_at(self.rest, 0)? as usize;
        let message = self.rest.get(..length)?;
        let payload = message.get(MESSAGE_HEADER..)?;
        self.rest = self
            .rest
            .get(length.next_multiple_of(4)..)
            .unwrap_or_default();
        Some(Message {
            kind: u16_at(message, 4)?,
            flags: u16_at(message, 6)?,
            sequence: u32_at(message, 8)?,
            port: u32_at(message, 12)?,
            payload,
        })
    }
}

/// A message, without its header (`struct nlmsghdr`).
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// `nlmsg_type`.
    pub kind: u16,
    /// `nlmsg_flags`: `NLM_F_*`.
    pub flags: u16,
    /// `nlmsg_seq`: that of the request it answers.
    pub sequence: u32,
    /// `nlmsg_pid`: the port that asked for it.
    pub port: u32,
    /// What follows the header.
    pub payload: &'a [u8],
}

impl<'a> Message<'a> {
    /// The attributes after the family's own header of `header` bytes (a multiple of four).
    pub fn attributes(&self, header: usize) -> Attributes<'a> {
        Attributes::new(self.payload.get(header..).unwrap_or_default())
    }

    /// Whether one of the `NLM_F_*` in `flags` is set.
    pub fn has(&self, flags: i32) -> bool {
        i32::from(self.flags) & flags != 0
    }

    /// The acknowledgement or error that the message is, if it is one.
    pub fn ack(&self) -> Option<Ack<'a>> {
        let error = match i32::from(self.kind) {
            libc::NLMSG_ERROR => u32_at(self.payload, 0)?.cast_signed(),
            // A dump that fails says so in its last message, which has no copy of the request.
            libc::NLMSG_DONE => u32_at(self.payload, 0).unwrap_or(0).cast_signed(),
            _ => return None,
        };
        let mut ack = Ack {
            errno: error.saturating_neg(),
            sequence: self.sequence,
            message: None,
            offset: None,
        };
        for attribute in self.extended() {
            match attribute.kind {
                NLMSGERR_ATTR_MSG => ack.message = attribute.str(),
                NLMSGERR_ATTR_OFFS => ack.offset = attribute.u32(),
                _ => {}
            }
        }
        Some(ack)
    }

    /// The attributes of an extended acknowledgement (Documentation/userspace-api/netlink/intro.rst).
    fn extended(&self) -> Attributes<'a> {
        if !self.has(libc::NLM_F_ACK_TLVS) {
            return Attributes::new(&[]);
        }
        let mut start = 4;
        if i32::from(self.kind) == libc::NLMSG_ERROR {
            let request = u32_at(self.payload, 4).unwrap_or(0) as usize;
            start += if self.has(libc::NLM_F_CAPPED) {
                MESSAGE_HEADER
            } else {
                request.next_multiple_of(4)
            };
        }
        self.attributes(start)
    }
}

/// What the kernel says of a request (`struct nlmsgerr`, or the end of a dump).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack<'a> {
    /// Zero when all is well, else the error number (errno(3)).
    pub errno: i32,
    /// The request's sequence number.
    pub sequence: u32,
    /// What the kernel said about it (NETLINK_EXT_ACK).
    pub message: Option<&'a str>,
    /// Where in the request the wrong attribute is, in bytes from the start of its header.
    pub offset: Option<u32>,
}

/// The attributes of a message or nest.
#[derive(Debug, Clone)]
pub struct Attributes<'a> {
    rest: &'a [u8],
}

impl<'a> Attributes<'a> {
    /// Reads attributes that stand one after the other.
    pub fn new(bytes: &'a [u8]) -> Attributes<'a> {
        Attributes { rest: bytes }
    }

    /// The first attribute of this kind.
    pub fn find(mut self, kind: u16) -> Option<Attribute<'a>> {
        self.by_ref().find(|attribute| attribute.kind == kind)
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;

    #[inline]
    fn next(&mut self) -> Option<Attribute<'a>> {
        let length = usize::from(u16_at(self.rest, 0)?);
        let kind = u16_at(self.rest, 2)? & NLA_TYPE_MASK;
        let payload = self.rest.get(ATTRIBUTE_HEADER..length)?;
        self.rest = self
            .rest
            .get(length.next_multiple_of(4)..)
            .unwrap_or_default();
        Some(Attribute { kind, payload })
    }
}

/// An attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// `nla_type`, without its flags.
    pub kind: u16,
    /// What it holds.
    pub payload: &'a [u8],
}

impl<'a> Attribute<'a> {
    /// The attributes that it holds.
    pub fn nested(&self) -> Attributes<'a> {
        Attributes::new(self.payload)
    }

    /// A number of one byte.
    pub fn u8(&self) -> Option<u8> {
        self.payload.first().copied()
    }

    /// A 16-bit number in the host's byte order.
    pub fn u16(&self) -> Option<u16> {
        u16_at(self.payload, 0)
    }

    /// A 32-bit number in the host's byte order.
    pub fn u32(&self) -> Option<u32> {
        u32_at(self.payload, 0)
    }

    /// A 16-bit number in network byte order.
    pub fn be16(&self) -> Option<u16> {
        self.u16().map(u16::from_be)
    }

    /// A 32-bit number in network byte order.
    pub fn be32(&self) -> Option<u32> {
        self.u32().map(u32::from_be)
    }

    /// A 64-bit number in network byte order.
    pub fn be64(&self) -> Option<u64> {
        self.payload.first_chunk().copied().map(u64::from_be_bytes)
    }

    /// An IP address: four bytes or sixteen.
    pub fn ip(&self) -> Option<IpAddr> {
        <[u8; 4]>::try_from(self.payload)
            .map(IpAddr::from)
            .or_else(|_| <[u8; 16]>::try_from(self.payload).map(IpAddr::from))
            .ok()
    }

    /// A string, up to its NUL if it has one.
    pub fn str(&self) -> Option<&'a str> {
        let text = self.payload.split(|byte| *byte == 0).next()?;
        std::str::from_utf8(text).ok()
    }
}

#[inline]
fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes
        .get(at..)?
        .first_chunk()
        .copied()
        .map(u16::from_ne_bytes)
}

/// The 32 bits at a place in a message, in the host's byte order.
#[inline]
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk()
        .copied()
        .map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::netlink::Builder;

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for message in Messages::new(&bytes) {
                message.ack();
                prop_assert!(message.attributes(4).count() <= bytes.len() / 4);
            }
            for attribute in Attributes::new(&bytes) {
                prop_assert!(attribute.payload.len() < bytes.len());
                let _ = (attribute.u8(), attribute.be16(), attribute.be32(), attribute.be64());
                let _ = (attribute.str(), attribute.nested().count());
            }
        }

        #[test]
        fn what_is_written_is_read(payloads in proptest::collection::vec(
            (0u16..0x3fff, proptest::collection::vec(any::<u8>(), 0..40)), 0..10)) {
            let mut builder = Builder::default();
            for sequence in 0..3 {
                builder.message(20, 5, sequence, |body| {
                    body.raw(&[1, 2, 3, 4]);
                    body.nest(9, |nest| payloads.iter().for_each(|(kind, bytes)| nest.bytes(*kind, bytes)));
                });
            }
            let messages: Vec<_> = Messages::new(builder.as_slice()).collect();
            prop_assert_eq!(messages.len(), 3);
            for message in messages {
                let nest = message.attributes(4).find(9).expect("the nest");
                let read: Vec<_> = nest.nested().map(|a| (a.kind, a.payload.to_vec())).collect();
                prop_assert_eq!(&read, &payloads);
            }
        }
    }

    #[test]
    fn an_extended_acknowledgement_tells_errno_words_and_offset() {
        let mut builder = Builder::default();
        let flags = libc::NLM_F_CAPPED | libc::NLM_F_ACK_TLVS;
        builder.message(libc::NLMSG_ERROR as u16, flags, 5, |body| {
            body.raw(&(-libc::EEXIST).to_ne_bytes());
            body.raw(&[0; MESSAGE_HEADER]);
            body.string(NLMSGERR_ATTR_MSG, "already there");
            body.u32(NLMSGERR_ATTR_OFFS, 44);
        });
        let ack = Messages::new(builder.as_slice())
            .next()
            .and_then(|message| message.ack());
        let message = Some("already there");
        let expected = Ack {
            errno: libc::EEXIST,
            sequence: 5,
            message,
            offset: Some(44),
        };
        assert_eq!(ack, Some(expected));
    }
}
