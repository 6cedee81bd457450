//! Sets and maps themselves.

use super::super::ruleset::{DataType, Family, Set, Type};
use super::super::{schema, userdata, wire};
use super::OpWriter;
use crate::netlink::Builder;

/// The protocols that have ports (linux/in.h): TCP, UDP, SCTP.
const PROTOCOLS_WITH_PORTS: [u8; 3] = [6, 17, 132];

/// What the kernel replaces by a number to name an anonymous set.
pub(super) const ANONYMOUS_NAME: &str = "__set%d";

impl OpWriter<'_> {
    pub(super) fn add_set(&mut self, set: &Set) {
        let id = self.next_set_id();
        let family = self.table.family;
        self.message(wire::NFT_MSG_NEWSET, |body| {
            body.string(wire::NFTA_SET_NAME, set.name);
            body.be32(wire::NFTA_SET_FLAGS, flags(set));
            body.be32(wire::NFTA_SET_KEY_TYPE, type_number(family, set.key));
            body.be32(wire::NFTA_SET_KEY_LEN, length(family, set.key));
            data_type(body, family, set.data.as_ref());
            body.be32(wire::NFTA_SET_ID, id);
            description(body, family, set);
            if set.counted {
                body.nest(wire::NFTA_SET_EXPR, counter);
            }
            body.bytes(wire::NFTA_SET_USERDATA, &userdata::set(family, set));
        });
    }

    /// Makes the anonymous set `{ tcp, udp, sctp }` for one rule and returns its `NFTA_SET_ID`.
    pub(super) fn add_protocols_with_ports(&mut self) -> u32 {
        let id = self.next_set_id();
        let family = self.table.family;
        self.message(wire::NFT_MSG_NEWSET, |body| {
            body.string(wire::NFTA_SET_NAME, ANONYMOUS_NAME);
            let flags = wire::NFT_SET_ANONYMOUS | wire::NFT_SET_CONSTANT;
            body.be32(wire::NFTA_SET_FLAGS, flags);
            body.be32(
                wire::NFTA_SET_KEY_TYPE,
                type_number(family, &[Type::Protocol]),
            );
            body.be32(wire::NFTA_SET_KEY_LEN, length(family, &[Type::Protocol]));
            body.be32(wire::NFTA_SET_ID, id);
            body.nest(wire::NFTA_SET_DESC, |description| {
                description.be32(wire::NFTA_SET_DESC_SIZE, PROTOCOLS_WITH_PORTS.len() as u32);
            });
        });
        self.message(wire::NFT_MSG_NEWSETELEM, |body| {
            body.string(wire::NFTA_SET_ELEM_LIST_SET, ANONYMOUS_NAME);
            body.be32(wire::NFTA_SET_ELEM_LIST_SET_ID, id);
            body.nest(wire::NFTA_SET_ELEM_LIST_ELEMENTS, |list| {
                for protocol in PROTOCOLS_WITH_PORTS {
                    list.nest(wire::NFTA_LIST_ELEM, |element| {
                        element.nest(wire::NFTA_SET_ELEM_KEY, |key| {
                            key.u8(wire::NFTA_DATA_VALUE, protocol);
                        });
                    });
                }
            });
        });
        id
    }
}

/// A counter for every element, which begins at nothing.
fn counter(expression: &mut Builder) {
    expression.string(wire::NFTA_EXPR_NAME, "counter");
    expression.nest(wire::NFTA_EXPR_DATA, zero);
}

/// What a counter that has counted nothing yet holds.
pub(super) fn zero(counter: &mut Builder) {
    counter.be64(wire::NFTA_COUNTER_BYTES, 0);
    counter.be64(wire::NFTA_COUNTER_PACKETS, 0);
}

fn flags(set: &Set) -> u32 {
    let mut flags = 0;
    if set.interval {
        flags |= wire::NFT_SET_INTERVAL;
        if set.key.len() > 1 {
            flags |= wire::NFT_SET_CONCAT;
        }
    }
    if set.data.is_some() {
        flags |= wire::NFT_SET_MAP;
    }
    if set.dynamic {
        flags |= wire::NFT_SET_EVAL | wire::NFT_SET_TIMEOUT;
    }
    flags
}

fn data_type(body: &mut Builder, family: Family, data: Option<&DataType>) {
    let (number, length) = match data {
        None => return,
        Some(DataType::Verdict) => (wire::NFT_DATA_VERDICT, 0),
        Some(DataType::Fields(fields)) => (type_number(family, fields), length(family, fields)),
    };
    body.be32(wire::NFTA_SET_DATA_TYPE, number);
    body.be32(wire::NFTA_SET_DATA_LEN, length);
}

/// `NFTA_SET_DESC`: the size and, for the set type that has ranges in concatenations, its fields.
fn description(body: &mut Builder, family: Family, set: &Set) {
    let ranges = set.interval && set.key.len() > 1;
    if !ranges && set.size.is_none() {
        return;
    }
    body.nest(wire::NFTA_SET_DESC, |description| {
        if let Some(size) = set.size {
            description.be32(wire::NFTA_SET_DESC_SIZE, size);
        }
        if ranges {
            description.nest(wire::NFTA_SET_DESC_CONCAT, |concat| {
                for field in set.key {
                    concat.nest(wire::NFTA_LIST_ELEM, |attribute| {
                        let length = length(family, &[*field]);
                        attribute.be32(wire::NFTA_SET_FIELD_LEN, length);
                    });
                }
            });
        }
    });
}

/// The kernel does not read the type; `nft` does: six bits per field, the numbers of its
/// `enum datatypes`.
fn type_number(family: Family, fields: &[Type]) -> u32 {
    fields.iter().fold(0, |number, field| {
        let field = match (field, family) {
            (Type::Number, _) => 4,
            (Type::Address, Family::Ip) => 7,
            (Type::Address, Family::Ip6) => 8,
            (Type::Protocol, _) => 12,
            (Type::Port, _) => 13,
            (Type::Direction, _) => 27,
        };
        number << 6 | field
    })
}

fn length(family: Family, fields: &[Type]) -> u32 {
    schema::kernel_len(fields, family) as u32
}
