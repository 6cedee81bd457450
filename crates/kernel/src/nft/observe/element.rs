//! The elements of sets and maps.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;

use super::super::handle::{CallError, ObservedSet};
use super::super::ruleset::{Bytes, ChainName, Data, Element, MAX_KEY, TableId, Verdict};
use super::super::{userdata, wire};
use super::{name_table, request};
use crate::netlink::{Attribute, Attributes, Request, Socket};

/// How often a set whose elements will not hold still is read before it is given up.
const ATTEMPTS: usize = 50;

/// Reads a set's elements; `single_field` says whether its keys have but one.
///
/// A hash table that has been filled grows for a while. Elements that move are then given twice
/// or, in a dump of many messages, not at all, and the kernel does not say so. Therefore all are
/// read twice; only when the order is the same was nothing on the move.
///
/// # Errors
/// `EAGAIN` when the elements would not hold still.
pub(super) fn read_elements(
    socket: &mut Socket,
    table: TableId,
    set: &ObservedSet,
    single_field: bool,
    chain_names: &mut ChainNames,
) -> Result<Vec<Element>, CallError> {
    for _ in 0..ATTEMPTS {
        let read = dump(socket, table, set, |read: &mut Reading, element| {
            read.order.write(element.payload);
            read.bounds.extend(bound(element.nested(), chain_names));
        })?;
        if set.interval {
            // Its elements are not in a hash table.
            return Ok(elements(read.bounds, single_field));
        }
        let again = dump(socket, table, set, |order: &mut DefaultHasher, element| {
            order.write(element.payload);
        })?;
        if again.finish() == read.order.finish() {
            return Ok(elements(read.bounds, false));
        }
    }
    Err(CallError {
        call: "NFT_MSG_GETSETELEM",
        object: object(table, set),
        errno: libc::EAGAIN,
    })
}

/// A dump of a set's elements, and a hash of it.
#[derive(Default)]
struct Reading {
    order: DefaultHasher,
    bounds: Vec<Bound>,
}

fn dump<T: Default>(
    socket: &mut Socket,
    table: TableId,
    set: &ObservedSet,
    mut collect: impl FnMut(&mut T, &Attribute<'_>),
) -> Result<T, CallError> {
    let request = Request {
        object: &object(table, set),
        ..request(wire::NFT_MSG_GETSETELEM, "NFT_MSG_GETSETELEM", table)
    };
    socket.dump(
        &request,
        |body| {
            name_table(body, table);
            body.string(wire::NFTA_SET_ELEM_LIST_SET, &set.name);
        },
        |collected, message| {
            let list = message
                .attributes(wire::HEADER)
                .find(wire::NFTA_SET_ELEM_LIST_ELEMENTS);
            for element in list.iter().flat_map(Attribute::nested) {
                collect(collected, &element);
            }
        },
    )
}

fn object(table: TableId, set: &ObservedSet) -> String {
    format!("set {} of table {}", set.name, table.name)
}

fn elements(bounds: Vec<Bound>, are_ranges: bool) -> Vec<Element> {
    if are_ranges {
        return fold(bounds);
    }
    bounds.into_iter().map(|bound| bound.element).collect()
}

/// An element of the kernel's: an element, or where the ranges of single fields end.
struct Bound {
    element: Element,
    is_end: bool,
}

/// `None` for an element whose key is longer than ours ever are; then the set's `key_len` is too.
fn bound(attributes: Attributes<'_>, chain_names: &mut ChainNames) -> Option<Bound> {
    let (mut key, mut key_end, mut data, mut comment) = (None, None, None, None);
    let mut flags = 0;
    for attribute in attributes {
        match attribute.kind {
            wire::NFTA_SET_ELEM_KEY => key = value(&attribute),
            wire::NFTA_SET_ELEM_KEY_END => key_end = value(&attribute),
            wire::NFTA_SET_ELEM_DATA => data = read_data(&attribute, chain_names),
            wire::NFTA_SET_ELEM_FLAGS => flags = attribute.be32()?,
            wire::NFTA_SET_ELEM_USERDATA => {
                comment = userdata::read_comment(attribute.payload).map(Arc::from);
            }
            _ => {}
        }
    }
    let element = Element {
        key: key?,
        key_end,
        data,
        comment,
    };
    Some(Bound {
        element,
        is_end: flags & wire::NFT_SET_ELEM_INTERVAL_END != 0,
    })
}

fn value(attribute: &Attribute<'_>) -> Option<Bytes> {
    let value = attribute.nested().find(wire::NFTA_DATA_VALUE)?;
    Bytes::from_kernel(value.payload)
}

/// `None` for a verdict that we have no use for.
fn read_data(attribute: &Attribute<'_>, chain_names: &mut ChainNames) -> Option<Data> {
    let data = attribute.nested().next()?;
    if data.kind == wire::NFTA_DATA_VALUE {
        return Bytes::from_kernel(data.payload).map(Data::Value);
    }
    let code = data
        .nested()
        .find(wire::NFTA_VERDICT_CODE)?
        .be32()?
        .cast_signed();
    let chain = data
        .nested()
        .find(wire::NFTA_VERDICT_CHAIN)
        .and_then(|chain| chain.str());
    let verdict = match (code, chain) {
        (wire::NF_DROP, None) => Verdict::Drop,
        (wire::NFT_GOTO, Some(chain)) => Verdict::Goto(chain_names.shared(chain)),
        (wire::NFT_JUMP, Some(chain)) => Verdict::Jump(chain_names.shared(chain)),
        _ => return None,
    };
    Some(Data::Verdict(verdict))
}

/// The names of chains, each of which many elements share.
#[derive(Default)]
pub(super) struct ChainNames(HashSet<ChainName>);

impl ChainNames {
    fn shared(&mut self, name: &str) -> ChainName {
        if let Some(name) = self.0.get(name) {
            return name.clone();
        }
        let name = ChainName::from(name);
        self.0.insert(name.clone());
        name
    }
}

/// Makes ranges of the elements of a set of ranges of single fields: each is the key it begins
/// with, and the first key after it unless another begins there or it goes to the very end.
fn fold(mut bounds: Vec<Bound>) -> Vec<Element> {
    bounds.sort_unstable_by(|a, b| {
        let order = a.element.key.as_kernel().cmp(b.element.key.as_kernel());
        order.then(b.is_end.cmp(&a.is_end))
    });
    let mut ranges: Vec<Element> = Vec::with_capacity(bounds.len() / 2 + 1);
    for bound in bounds {
        if let Some(range) = ranges.last_mut().filter(|range| range.key_end.is_none()) {
            range.key_end = predecessor(bound.element.key.as_kernel());
        }
        if !bound.is_end {
            ranges.push(bound.element);
        }
    }
    if let Some(range) = ranges.last_mut().filter(|range| range.key_end.is_none()) {
        let length = range.key.as_kernel().len();
        range.key_end = Bytes::from_kernel(&[0xff; MAX_KEY][..length]);
    }
    ranges
}

/// The key before `key`, or `None` before the first one.
fn predecessor(key: &[u8]) -> Option<Bytes> {
    let mut previous = [0; MAX_KEY];
    let previous = previous.get_mut(..key.len())?;
    previous.copy_from_slice(key);
    for byte in previous.iter_mut().rev() {
        let (difference, borrow) = byte.overflowing_sub(1);
        *byte = difference;
        if !borrow {
            return Bytes::from_kernel(previous);
        }
    }
    None
}
