//! The expressions that rules are made of.
//!
//! An expression is a step of the kernel's machine: it loads something into registers, compares
//! or changes what is in them, or acts on it. There are sixteen registers of four bytes, and the
//! fields of a concatenation stand side by side in them.

use super::super::rule::Expr;
use super::super::ruleset::{Family, SetName};
use super::super::wire;
use super::element::verdict;
use super::set;
use crate::netlink::Builder;

/// A register of four bytes: its number from 0 to 15.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Register(pub(crate) u32);

impl Register {
    /// Where the keys of lookups and what comparisons look at begin.
    pub(crate) const FIRST: Register = Register(0);

    /// Where a key begins when an address of either family is in the first four registers.
    pub(crate) const AFTER_ADDRESS: Register = Register(4);

    /// `enum nft_registers`. Every fourth has an older name as well, by which the kernel calls it
    /// in its answers (`nft_dump_register` in net/netfilter/nf_tables_api.c).
    pub(crate) fn number(self) -> u32 {
        if self.0.is_multiple_of(4) {
            wire::NFT_REG_1 + self.0 / 4
        } else {
            wire::NFT_REG32_00 + self.0
        }
    }
}

/// The expressions of a rule being written.
pub(crate) struct Code<'a> {
    pub(crate) list: &'a mut Builder,
    pub(crate) family: Family,
    /// The anonymous sets that the rule looks into, in order.
    pub(crate) sets: std::vec::IntoIter<u32>,
}

impl<'a> Code<'a> {
    /// No expressions yet, and no anonymous sets.
    pub(crate) fn new(list: &'a mut Builder, family: Family) -> Code<'a> {
        Code {
            list,
            family,
            sets: Vec::new().into_iter(),
        }
    }
}

impl Code<'_> {
    pub(crate) fn expression(&mut self, name: &str, data: impl FnOnce(&mut Builder)) {
        self.list.nest(wire::NFTA_LIST_ELEM, |expression| {
            expression.string(wire::NFTA_EXPR_NAME, name);
            expression.nest(wire::NFTA_EXPR_DATA, data);
        });
    }

    /// Loads fields side by side and returns the register after them.
    pub(crate) fn load(&mut self, fields: &[Expr], mut register: Register) -> Register {
        for field in fields {
            self.load_field(*field, register);
            register = Register(register.0 + self.width(*field));
        }
        register
    }

    /// How many registers a field takes.
    pub(crate) fn width(&self, field: Expr) -> u32 {
        match field {
            Expr::SourceAddress | Expr::DestinationAddress | Expr::OriginalDestination => {
                self.address_length() / 4
            }
            Expr::Protocol
            | Expr::DestinationPort
            | Expr::OriginalPort
            | Expr::Direction
            | Expr::Random { .. } => 1,
        }
    }

    pub(crate) fn load_field(&mut self, field: Expr, register: Register) {
        match field {
            Expr::SourceAddress | Expr::DestinationAddress => {
                self.load_address(field, self.address_length(), register);
            }
            Expr::DestinationPort => {
                // The port follows the source port in TCP, UDP and SCTP alike.
                self.load_payload(wire::NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, register);
            }
            Expr::Protocol => self.load_meta(wire::NFT_META_L4PROTO, register),
            Expr::OriginalDestination => {
                let key = match self.family {
                    Family::Ip => wire::NFT_CT_DST_IP,
                    Family::Ip6 => wire::NFT_CT_DST_IP6,
                };
                self.load_original(key, register);
            }
            Expr::OriginalPort => self.load_original(wire::NFT_CT_PROTO_DST, register),
            Expr::Direction => self.load_connection(wire::NFT_CT_DIRECTION, register),
            Expr::Random { modulus, offset } => self.expression("numgen", |numgen| {
                numgen.be32(wire::NFTA_NG_DREG, register.number());
                numgen.be32(wire::NFTA_NG_MODULUS, modulus);
                numgen.be32(wire::NFTA_NG_TYPE, wire::NFT_NG_RANDOM);
                numgen.be32(wire::NFTA_NG_OFFSET, offset);
            }),
        }
    }

    /// Loads something of the packet's connection.
    pub(crate) fn load_connection(&mut self, key: u32, register: Register) {
        self.expression("ct", |ct| {
            ct.be32(wire::NFTA_CT_DREG, register.number());
            ct.be32(wire::NFTA_CT_KEY, key);
        });
    }

    /// Loads something of what the connection's first packet looked like when it came.
    fn load_original(&mut self, key: u32, register: Register) {
        self.expression("ct", |ct| {
            ct.be32(wire::NFTA_CT_DREG, register.number());
            ct.be32(wire::NFTA_CT_KEY, key);
            ct.u8(wire::NFTA_CT_DIRECTION, wire::IP_CT_DIR_ORIGINAL);
        });
    }

    pub(crate) fn address_length(&self) -> u32 {
        match self.family {
            Family::Ip => 4,
            Family::Ip6 => 16,
        }
    }

    /// Where in the IP header the packet's source or else destination address is.
    pub(crate) fn address_offset(&self, address: Expr) -> u32 {
        match (self.family, address) {
            (Family::Ip, Expr::SourceAddress) => 12,
            (Family::Ip, _) => 16,
            (Family::Ip6, Expr::SourceAddress) => 8,
            (Family::Ip6, _) => 24,
        }
    }

    /// Loads the first `length` bytes of the packet's source or destination address.
    pub(crate) fn load_address(&mut self, address: Expr, length: u32, register: Register) {
        let offset = self.address_offset(address);
        self.load_payload(wire::NFT_PAYLOAD_NETWORK_HEADER, offset, length, register);
    }

    pub(crate) fn load_payload(&mut self, base: u32, offset: u32, length: u32, register: Register) {
        self.expression("payload", |payload| {
            payload.be32(wire::NFTA_PAYLOAD_DREG, register.number());
            payload.be32(wire::NFTA_PAYLOAD_BASE, base);
            payload.be32(wire::NFTA_PAYLOAD_OFFSET, offset);
            payload.be32(wire::NFTA_PAYLOAD_LEN, length);
        });
    }

    /// Writes the first register or registers into the packet's destination address, and mends
    /// the checksums that the address is in: IPv4's own, and those of the transport protocols.
    pub(crate) fn write_destination(&mut self) {
        let offset = self.address_offset(Expr::DestinationAddress);
        let length = self.address_length();
        let (checksum, checksum_offset) = match self.family {
            Family::Ip => (wire::NFT_PAYLOAD_CSUM_INET, 10),
            Family::Ip6 => (wire::NFT_PAYLOAD_CSUM_NONE, 0),
        };
        self.expression("payload", |payload| {
            payload.be32(wire::NFTA_PAYLOAD_SREG, Register::FIRST.number());
            payload.be32(wire::NFTA_PAYLOAD_BASE, wire::NFT_PAYLOAD_NETWORK_HEADER);
            payload.be32(wire::NFTA_PAYLOAD_OFFSET, offset);
            payload.be32(wire::NFTA_PAYLOAD_LEN, length);
            payload.be32(wire::NFTA_PAYLOAD_CSUM_TYPE, checksum);
            payload.be32(wire::NFTA_PAYLOAD_CSUM_OFFSET, checksum_offset);
            payload.be32(
                wire::NFTA_PAYLOAD_CSUM_FLAGS,
                wire::NFT_PAYLOAD_L4CSUM_PSEUDOHDR,
            );
        });
    }

    pub(crate) fn load_meta(&mut self, key: u32, register: Register) {
        self.expression("meta", |meta| {
            meta.be32(wire::NFTA_META_DREG, register.number());
            meta.be32(wire::NFTA_META_KEY, key);
        });
    }

    /// Compares what is in the first registers.
    pub(crate) fn compare(&mut self, data: &[u8], negate: bool) {
        self.expression("cmp", |cmp| {
            cmp.be32(wire::NFTA_CMP_SREG, Register::FIRST.number());
            let op = if negate {
                wire::NFT_CMP_NEQ
            } else {
                wire::NFT_CMP_EQ
            };
            cmp.be32(wire::NFTA_CMP_OP, op);
            value(cmp, wire::NFTA_CMP_DATA, data);
        });
    }

    /// Keeps the bits of the first registers that are in `mask` and flips those in `flip`.
    pub(crate) fn bitwise(&mut self, mask: &[u8], flip: &[u8]) {
        self.expression("bitwise", |bitwise| {
            bitwise.be32(wire::NFTA_BITWISE_SREG, Register::FIRST.number());
            bitwise.be32(wire::NFTA_BITWISE_DREG, Register::FIRST.number());
            bitwise.be32(wire::NFTA_BITWISE_LEN, mask.len() as u32);
            value(bitwise, wire::NFTA_BITWISE_MASK, mask);
            value(bitwise, wire::NFTA_BITWISE_XOR, flip);
        });
    }

    /// Looks for the key in the first registers; with a target, puts what the map holds there.
    pub(crate) fn lookup(&mut self, set: SetName, target: Option<u32>, negate: bool) {
        self.lookup_at(Register::FIRST, set, target, negate);
    }

    /// As [`Code::lookup`], for a key in the registers from `key` on.
    pub(crate) fn lookup_at(
        &mut self,
        key: Register,
        set: SetName,
        target: Option<u32>,
        negate: bool,
    ) {
        self.expression("lookup", |lookup| {
            lookup.string(wire::NFTA_LOOKUP_SET, set);
            lookup.be32(wire::NFTA_LOOKUP_SREG, key.number());
            if let Some(target) = target {
                lookup.be32(wire::NFTA_LOOKUP_DREG, target);
            }
            if negate {
                lookup.be32(wire::NFTA_LOOKUP_FLAGS, wire::NFT_LOOKUP_F_INV);
            }
        });
    }

    /// Looks for the key in the first register in the next of the rule's anonymous sets.
    pub(crate) fn lookup_anonymous(&mut self) {
        let id = self.sets.next();
        self.expression("lookup", |lookup| {
            lookup.string(wire::NFTA_LOOKUP_SET, set::ANONYMOUS_NAME);
            lookup.be32(wire::NFTA_LOOKUP_SREG, Register::FIRST.number());
            if let Some(id) = id {
                lookup.be32(wire::NFTA_LOOKUP_SET_ID, id);
            }
        });
    }

    /// Puts a value into the first registers.
    pub(crate) fn load_value(&mut self, data: &[u8]) {
        self.expression("immediate", |immediate| {
            immediate.be32(wire::NFTA_IMMEDIATE_DREG, Register::FIRST.number());
            value(immediate, wire::NFTA_IMMEDIATE_DATA, data);
        });
    }

    pub(crate) fn verdict(&mut self, code: i32, chain: Option<&str>) {
        self.expression("immediate", |immediate| {
            immediate.be32(wire::NFTA_IMMEDIATE_DREG, wire::NFT_REG_VERDICT);
            immediate.nest(wire::NFTA_IMMEDIATE_DATA, |data| verdict(data, code, chain));
        });
    }
}

fn value(expression: &mut Builder, kind: u16, bytes: &[u8]) {
    expression.nest(kind, |attribute| {
        attribute.bytes(wire::NFTA_DATA_VALUE, bytes);
    });
}
