//! The elements of sets and maps.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;

use super::super::handle::{CallError, ObservedSet};
use super::super::ruleset::{Bytes, ChainName, Data, Element, MAX_KEY, TableId, Verdict};
use super::super::{userdata, wire};
use super::{Described, name_table, request};
use crate::netlink::{Attribute, Attributes, Request, Socket};

/// How often a set whose elements will not hold still is read before it is given up.
const ATTEMPTS: usize = 20;

/// Reads a set's elements and sorts them by their keys.
///
/// A hash table that has been filled grows for a while. Elements that move are then given twice
/// or, in a dump of many messages, not at all, and the kernel does not say so. A dump is trusted
/// when it has as many different keys as the kernel counts elements, and where the kernel does
/// not say how many those are, when the one before it had all in the same order.
///
/// # Errors
/// `EAGAIN` when the elements would not hold still.
pub(super) fn read_elements(
    socket: &mut Socket,
    table: TableId,
    described: &Described,
    chain_names: &mut ChainNames,
) -> Result<Vec<Element>, CallError> {
    let set = &described.set;
    let mut order_before = None;
    for _ in 0..ATTEMPTS {
        let Reading { order, mut bounds } =
            dump(socket, table, set, |read: &mut Reading, element| {
                read.order.write(element.payload);
                read.bounds.extend(bound(element.nested(), chain_names));
            })?;
        bounds.sort_unstable_by_key(|bound| bound.element.key);
        if set.interval {
            // Its elements are not in a hash table.
            return Ok(elements(bounds, described.single_field));
        }
        let order = order.finish();
        if is_complete(&bounds, described.count) || order_before == Some(order) {
            return Ok(elements(bounds, false));
        }
        order_before = Some(order);
    }
    Err(CallError {
        call: "NFT_MSG_GETSETELEM",
        object: object(table, set),
        errno: libc::EAGAIN,
    })
}

/// There are `count` elements, and no key is there twice. They are sorted.
fn is_complete(bounds: &[Bound], count: Option<u32>) -> bool {
    let mut neighbours = bounds.windows(2);
    count.is_some_and(|count| count as usize == bounds.len())
        && neighbours.all(|pair| pair[0].element.key != pair[1].element.key)
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
            wire::NFTA_SET_ELEM_KEY_END => key_end = value(&attribute).map(Box::new),
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
            range.key_end = predecessor(bound.element.key.as_kernel()).map(Box::new);
        }
        if !bound.is_end {
            ranges.push(bound.element);
        }
    }
    if let Some(range) = ranges.last_mut().filter(|range| range.key_end.is_none()) {
        let length = range.key.as_kernel().len();
        range.key_end = Bytes::from_kernel(&[0xff; MAX_KEY][..length]).map(Box::new);
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::encode::encode;
    use super::super::super::ruleset::{Batch, Family, Op};
    use super::*;
    use crate::netlink::Messages;

    fn port(port: u16) -> Bytes {
        Bytes::new().port(port)
    }

    fn range((first, last): (u16, u16)) -> Element {
        Element::range(port(first), port(last))
    }

    /// The elements in what is sent to add `elements`, as the kernel would give them back.
    fn sent(elements: &[Element]) -> Vec<Bound> {
        let (set, name) = ("ports", "t");
        let elements = elements.to_vec();
        let batch = Batch {
            table: TableId {
                family: Family::Ip,
                name,
            },
            ops: vec![Op::AddElements { set, elements }],
        };
        let transaction = encode(&[batch], 1);
        Messages::new(transaction.as_slice())
            .filter_map(|message| {
                let attributes = message.attributes(wire::HEADER);
                attributes.clone().find(wire::NFTA_SET_ELEM_LIST_ELEMENTS)
            })
            .flat_map(|list| list.nested())
            .filter_map(|element| bound(element.nested(), &mut ChainNames::default()))
            .collect()
    }

    proptest! {
        #[test]
        fn ranges_are_made_of_the_elements_they_were_split_into(
            bounds in proptest::collection::btree_set(0..24_u16, 0..12),
        ) {
            // Near each other at both ends of what there is.
            let bounds: Vec<u16> = bounds
                .into_iter()
                .map(|number| if number < 12 { number } else { u16::MAX - 23 + number })
                .collect();
            let ranges: Vec<Element> = bounds
                .chunks_exact(2)
                .map(|pair| range((pair[0], pair[1])))
                .collect();
            let mut sent = sent(&ranges);
            sent.reverse();
            prop_assert_eq!(fold(sent), ranges);
        }

        #[test]
        fn whatever_the_bytes_are_an_element_is_read_or_not(
            bytes in proptest::collection::vec(any::<u8>(), 0..120),
        ) {
            bound(Attributes::new(&bytes), &mut ChainNames::default());
        }
    }

    #[test]
    fn a_range_ends_where_the_next_begins_or_with_the_last_key() {
        let starts = [1, 10].map(|start| Bound {
            element: Element::new(port(start)),
            is_end: false,
        });
        assert_eq!(fold(starts.into()), [range((1, 9)), range((10, u16::MAX))]);
    }
}
