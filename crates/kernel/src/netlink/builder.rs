//! Writes netlink messages one after the other into a single growing buffer.
//!
//! A length is only known when all of a message or nest has been written, so it is filled in
//! afterwards; nothing is allocated but the buffer itself.

use std::net::IpAddr;

/// `sizeof(struct nlattr)`.
const ATTRIBUTE_HEADER: usize = 4;

/// Says that an attribute holds attributes (linux/netlink.h).
const NLA_F_NESTED: u16 = 1 << 15;

/// Messages being written.
///
/// All that netlink aligns is padded to four bytes (`NLMSG_ALIGNTO`, `NLA_ALIGNTO`).
#[derive(Debug, Default)]
pub struct Builder {
    bytes: Vec<u8>,
}

impl Builder {
    /// An empty buffer that takes so many bytes before it must grow.
    pub fn with_capacity(bytes: usize) -> Builder {
        Builder {
            bytes: Vec::with_capacity(bytes),
        }
    }

    /// Writes a message whose body, the family's header and the attributes, `body` writes.
    ///
    /// `flags` are `NLM_F_*`. The port is left 0, which the kernel fills in.
    pub fn message(
        &mut self,
        kind: u16,
        flags: i32,
        sequence: u32,
        body: impl FnOnce(&mut Builder),
    ) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&half(flags).to_ne_bytes());
        self.bytes.extend_from_slice(&sequence.to_ne_bytes());
        self.bytes.extend_from_slice(&[0; 4]);
        body(self);
        let length = (self.bytes.len() - start) as u32;
        self.bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes());
    }

    /// Adds `flags` to those of the message that starts at byte `start`.
    pub fn add_flags(&mut self, start: usize, flags: i32) {
        if let Some(field) = self.bytes.get_mut(start + 6..start + 8) {
            let flags = u16::from_ne_bytes([field[0], field[1]]) | half(flags);
            field.copy_from_slice(&flags.to_ne_bytes());
        }
    }

    /// Writes bytes that are not an attribute, such as a family's header, and pads them.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.pad();
    }

    /// Writes an attribute that holds `payload`.
    ///
    /// An attribute's length is a 16-bit number. What is longer must be split by the caller;
    /// if it is not, the length is written as the greatest there is.
    pub fn bytes(&mut self, kind: u16, payload: &[u8]) {
        self.attribute(kind, |builder| builder.bytes.extend_from_slice(payload));
    }

    /// Writes an attribute that holds `parts`, one after the other.
    pub fn parts(&mut self, kind: u16, parts: &[&[u8]]) {
        self.attribute(kind, |builder| {
            for part in parts {
                builder.bytes.extend_from_slice(part);
            }
        });
    }

    /// Writes an attribute that holds a string and its terminating NUL (`NLA_NUL_STRING`).
    pub fn string(&mut self, kind: u16, value: &str) {
        self.attribute(kind, |builder| {
            builder.bytes.extend_from_slice(value.as_bytes());
            builder.bytes.push(0);
        });
    }

    /// Writes an attribute that holds one byte.
    pub fn u8(&mut self, kind: u16, value: u8) {
        self.bytes(kind, &[value]);
    }

    /// Writes an attribute that holds a 16-bit number in the host's byte order.
    pub fn u16(&mut self, kind: u16, value: u16) {
        self.bytes(kind, &value.to_ne_bytes());
    }

    /// Writes an attribute that holds a 32-bit number in the host's byte order.
    pub fn u32(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_ne_bytes());
    }

    /// Writes an attribute that holds a 16-bit number in network byte order.
    pub fn be16(&mut self, kind: u16, value: u16) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// Writes an attribute that holds a 32-bit number in network byte order.
    pub fn be32(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// Writes an attribute that holds a 64-bit number in network byte order.
    pub fn be64(&mut self, kind: u16, value: u64) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// Writes an attribute that holds an IP address.
    pub fn ip(&mut self, kind: u16, address: IpAddr) {
        match address {
            IpAddr::V4(address) => self.bytes(kind, &address.octets()),
            IpAddr::V6(address) => self.bytes(kind, &address.octets()),
        }
    }

    /// Writes an attribute that holds the attributes that `body` writes.
    pub fn nest(&mut self, kind: u16, body: impl FnOnce(&mut Builder)) {
        self.attribute(kind | NLA_F_NESTED, body);
    }

    /// How many bytes there are: where the next message will start.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Nothing has been written.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// All that was written.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    #[inline]
    fn attribute(&mut self, kind: u16, body: impl FnOnce(&mut Builder)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        body(self);
        let length = self.bytes.len() - start;
        debug_assert!(
            length >= ATTRIBUTE_HEADER && u16::try_from(length).is_ok(),
            "{length} bytes in attribute {kind}"
        );
        let length = u16::try_from(length).unwrap_or(u16::MAX);
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// `NLM_F_*` are 16-bit numbers, but [`libc`] has them as integers.
fn half(flags: i32) -> u16 {
    flags.cast_unsigned() as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_exclude_padding_and_nests_include_it() {
        let mut builder = Builder::default();
        builder.message(7, 1, 9, |body| {
            body.nest(2, |nest| {
                nest.u8(1, 0xaa);
                nest.string(3, "ab");
            });
        });
        let expected: &[&[u8]] = &[
            &36u32.to_ne_bytes(),
            &7u16.to_ne_bytes(),
            &1u16.to_ne_bytes(),
            &9u32.to_ne_bytes(),
            &[0; 4],
            &20u16.to_ne_bytes(),
            &0x8002u16.to_ne_bytes(),
            &5u16.to_ne_bytes(),
            &1u16.to_ne_bytes(),
            &[0xaa, 0, 0, 0],
            &7u16.to_ne_bytes(),
            &3u16.to_ne_bytes(),
            b"ab\0\0",
        ];
        assert_eq!(builder.as_slice(), expected.concat());
        assert_eq!(builder.len(), 16 + 20);
    }

    #[test]
    fn flags_are_added_to_the_message_that_starts_there() {
        let mut builder = Builder::default();
        builder.message(1, 1, 0, |_| ());
        let second = builder.len();
        builder.message(1, 1, 0, |_| ());
        builder.add_flags(second, 4);
        assert_eq!(builder.as_slice()[6..8], 1u16.to_ne_bytes());
        assert_eq!(
            builder.as_slice()[second + 6..second + 8],
            5u16.to_ne_bytes()
        );
    }
}
