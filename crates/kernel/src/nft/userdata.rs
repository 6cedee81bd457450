//! What `nft` leaves with objects for itself, so that it can list them as they were written:
//! comments, and the expressions that the fields of a set come from (`typeof`).
//!
//! The kernel stores it unread. It is a list of type, length and value, a byte, a byte and that
//! many bytes (libnftnl's udata.h); numbers are in the host's byte order. The types are those of
//! libnftnl and the numbers in a `typeof` those of `nft`, neither of which has changed since they
//! were introduced, for what one version writes the next must list.

use super::rule::Expr;
use super::ruleset::{DataType, Family, Set, Type};
use super::wire::{
    NFT_CT_DIRECTION, NFT_CT_DST_IP, NFT_CT_DST_IP6, NFT_CT_PROTO_DST, NFT_META_L4PROTO,
    NFT_NG_RANDOM,
};

/// `NFTNL_UDATA_{TABLE,CHAIN,RULE,SET_ELEM,OBJ}_COMMENT`.
pub(super) const COMMENT: u8 = 0;

/// `NFTNL_UDATA_COMMENT_MAXLEN`, with the terminating NUL.
const COMMENT_MAX: usize = 128;

/// `NFTNL_UDATA_SET_ELEM_FLAGS`.
const ELEMENT_FLAGS: u8 = 1;

/// `NFTNL_SET_ELEM_F_INTERVAL_OPEN`.
const INTERVAL_OPEN: u32 = 1;

/// `NFT_USERDATA_MAXLEN` (linux/netfilter/nf_tables.h).
const USERDATA_MAX: usize = 256;

const SET_KEY_BYTE_ORDER: u8 = 0;
const SET_DATA_BYTE_ORDER: u8 = 1;
const SET_KEY_TYPEOF: u8 = 3;
const SET_DATA_TYPEOF: u8 = 4;
const SET_COMMENT: u8 = 7;

/// `NFTNL_UDATA_SET_TYPEOF_EXPR`: the kind of an expression.
const TYPEOF_EXPR: u8 = 0;
/// `NFTNL_UDATA_SET_TYPEOF_DATA`: what that kind needs.
const TYPEOF_DATA: u8 = 1;

/// The start of `text` that fits a comment, with its NUL.
pub(super) fn comment_text(text: &str) -> &str {
    &text[..text.floor_char_boundary(COMMENT_MAX - 1)]
}

/// The comment of a table, chain, rule or element.
pub(super) fn comment(text: &str) -> Vec<u8> {
    let mut userdata = Vec::new();
    push_comment(&mut userdata, COMMENT, comment_text(text));
    userdata
}

/// The comment in the userdata of anything but a set.
pub(crate) fn read_comment(userdata: &[u8]) -> Option<&str> {
    let value = find(userdata, COMMENT)?;
    std::str::from_utf8(value.strip_suffix(&[0]).unwrap_or(value)).ok()
}

/// Says of an element that its range goes to the very end.
pub(super) fn open_interval() -> [u8; 6] {
    let [a, b, c, d] = INTERVAL_OPEN.to_ne_bytes();
    [ELEMENT_FLAGS, 4, a, b, c, d]
}

/// What `nft` wants to know of a set.
pub(super) fn set(family: Family, set: &Set) -> Vec<u8> {
    let mut userdata = Vec::new();
    push_u32(&mut userdata, SET_KEY_BYTE_ORDER, byte_order(set.key));
    if let Some(DataType::Fields(fields)) = &set.data {
        push_u32(&mut userdata, SET_DATA_BYTE_ORDER, byte_order(fields));
    }
    for (kind, fields) in [
        (SET_KEY_TYPEOF, &set.typeof_key),
        (SET_DATA_TYPEOF, &set.typeof_data),
    ] {
        if let Some(fields) = fields {
            push(&mut userdata, kind, &type_of(family, fields));
        }
    }
    if let Some(text) = set.comment.filter(|text| !text.is_empty()) {
        let room = USERDATA_MAX.saturating_sub(userdata.len() + 3);
        let text = comment_text(text);
        push_comment(
            &mut userdata,
            SET_COMMENT,
            &text[..text.floor_char_boundary(room)],
        );
    }
    userdata
}

/// `nft`'s `enum byteorder`: none for a concatenation, host, big endian.
fn byte_order(fields: &[Type]) -> u32 {
    match fields {
        [Type::Number] => 1,
        [_] => 2,
        _ => 0,
    }
}

/// The expressions that fields come from, as `nft` writes them.
fn type_of(family: Family, fields: &[Expr]) -> Vec<u8> {
    /// `EXPR_CONCAT` of `nft`'s `enum expr_types`.
    const CONCAT: u32 = 13;
    if let [field] = fields {
        return expression(family, *field);
    }
    let mut parts = Vec::new();
    for (index, field) in fields.iter().enumerate() {
        push(&mut parts, index as u8, &expression(family, *field));
    }
    kind_and_data(CONCAT, &parts)
}

/// An expression: its number in `nft`'s `enum expr_types`, and the numbers it needs.
fn expression(family: Family, expr: Expr) -> Vec<u8> {
    const PAYLOAD: u32 = 7;
    const META: u32 = 9;
    const CT: u32 = 12;
    const NUMGEN: u32 = 23;
    // `enum proto_desc_id` and the numbers of the header fields in nft's proto.h.
    const TRANSPORT: u32 = 11;
    const TRANSPORT_DPORT: u32 = 2;
    // `nft`'s dir of an expression that has none is -1.
    const NO_DIRECTION: u32 = u32::MAX;
    let (ip, source, destination, original) = match family {
        Family::Ip => (12, 11, 12, NFT_CT_DST_IP),
        Family::Ip6 => (13, 8, 9, NFT_CT_DST_IP6),
    };
    let (kind, numbers): (u32, &[u32]) = match expr {
        Expr::SourceAddress => (PAYLOAD, &[ip, source]),
        Expr::DestinationAddress => (PAYLOAD, &[ip, destination]),
        Expr::DestinationPort => (PAYLOAD, &[TRANSPORT, TRANSPORT_DPORT]),
        Expr::Protocol => (META, &[NFT_META_L4PROTO]),
        Expr::OriginalDestination => (CT, &[original, 0]),
        Expr::OriginalPort => (CT, &[NFT_CT_PROTO_DST, 0]),
        Expr::Direction => (CT, &[NFT_CT_DIRECTION, NO_DIRECTION]),
        Expr::Random { modulus, offset } => (NUMGEN, &[NFT_NG_RANDOM, modulus, offset]),
    };
    let mut data = Vec::new();
    for (index, number) in numbers.iter().enumerate() {
        push_u32(&mut data, index as u8, *number);
    }
    kind_and_data(kind, &data)
}

fn kind_and_data(kind: u32, data: &[u8]) -> Vec<u8> {
    let mut userdata = Vec::new();
    push_u32(&mut userdata, TYPEOF_EXPR, kind);
    push(&mut userdata, TYPEOF_DATA, data);
    userdata
}

fn push_comment(userdata: &mut Vec<u8>, kind: u8, text: &str) {
    push(userdata, kind, &[text.as_bytes(), &[0]].concat());
}

fn push_u32(userdata: &mut Vec<u8>, kind: u8, value: u32) {
    push(userdata, kind, &value.to_ne_bytes());
}

fn push(userdata: &mut Vec<u8>, kind: u8, value: &[u8]) {
    debug_assert!(u8::try_from(value.len()).is_ok());
    userdata.extend_from_slice(&[kind, value.len() as u8]);
    userdata.extend_from_slice(value);
}

fn find(mut userdata: &[u8], wanted: u8) -> Option<&[u8]> {
    loop {
        let [kind, length, rest @ ..] = userdata else {
            return None;
        };
        let value = rest.get(..usize::from(*length))?;
        if *kind == wanted {
            return Some(value);
        }
        userdata = &rest[value.len()..];
    }
}
