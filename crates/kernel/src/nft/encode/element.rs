//! Elements of sets and maps.

use super::super::ruleset::{Bytes, Data, Element, Family, MAX_KEY, SetName, Verdict};
use super::super::{userdata, wire};
use super::OpWriter;
use crate::netlink::{Attribute, Builder};

/// When elements go to the next message: the length of an attribute is a 16-bit number, and one
/// element is at most about 700 bytes long (two keys, a chain's name, a comment).
const FULL: usize = 64_000;

impl OpWriter<'_> {
    /// Writes the elements that are added to a set or removed from it, in as many messages as
    /// they need.
    pub(super) fn elements(&mut self, kind: u16, set: SetName, elements: &[Element]) {
        let mut written = 0;
        while written < elements.len() {
            written += self.some_elements(kind, set, elements, written);
        }
    }

    /// Writes as many of the elements as fit one message, from `first` on. Returns how many.
    fn some_elements(
        &mut self,
        kind: u16,
        set: SetName,
        elements: &[Element],
        first: usize,
    ) -> usize {
        let family = self.table.family;
        let mut written = 0;
        self.message(kind, |body| {
            body.string(wire::NFTA_SET_ELEM_LIST_SET, set);
            body.nest(wire::NFTA_SET_ELEM_LIST_ELEMENTS, |list| {
                let start = list.len();
                for one in &elements[first..] {
                    let parts = Parts::of(one, kind);
                    element(list, family, &parts);
                    written += 1;
                    if list.len() - start > FULL {
                        break;
                    }
                }
            });
        });
        if let Some(origin) = self.encoder.origins.last_mut() {
            origin.elements = Some((first, written - 1));
        }
        written
    }
}

/// What is sent of an element.
struct Parts<'a> {
    key: &'a Bytes,
    key_end: Option<&'a Bytes>,
    data: Option<&'a Data>,
    comment: Option<&'a str>,
}

impl<'a> Parts<'a> {
    /// All of it, or the keys when it is to be removed.
    fn of(element: &'a Element, kind: u16) -> Self {
        let added = (kind == wire::NFT_MSG_NEWSETELEM).then_some(element);
        Parts {
            key: &element.key,
            key_end: element.key_end.as_deref(),
            data: added.and_then(|element| element.data.as_ref()),
            comment: added.and_then(|element| element.comment.as_deref()),
        }
    }
}

/// Writes an element. A range of a concatenation is one; a range of a single field is two, the
/// first key that belongs to it and, but when it goes to the very end, the first that does not.
fn element(list: &mut Builder, family: Family, parts: &Parts<'_>) {
    let single = parts.key_end.filter(|_| is_single_field(family, parts.key));
    let end = single.map(|last| successor(last.as_kernel()));
    list.nest(wire::NFTA_LIST_ELEM, |element| {
        value(element, wire::NFTA_SET_ELEM_KEY, parts.key.as_kernel());
        if let (Some(last), None) = (parts.key_end, single) {
            value(element, wire::NFTA_SET_ELEM_KEY_END, last.as_kernel());
        }
        if let Some(data) = parts.data {
            element.nest(wire::NFTA_SET_ELEM_DATA, |attribute| {
                write_data(attribute, data);
            });
        }
        write_userdata(element, parts.comment, matches!(end, Some(None)));
    });
    if let Some(Some(end)) = end {
        list.nest(wire::NFTA_LIST_ELEM, |element| {
            value(element, wire::NFTA_SET_ELEM_KEY, end.as_kernel());
            element.be32(wire::NFTA_SET_ELEM_FLAGS, wire::NFT_SET_ELEM_INTERVAL_END);
        });
    }
}

/// A key has one field when it has no room for two. (Four short fields are as long as an IPv6
/// address; an interval set of an `ip6` table that has no address in its key is not catered for.)
fn is_single_field(family: Family, key: &Bytes) -> bool {
    let length = key.as_kernel().len();
    length <= 4 || family == Family::Ip6 && length == 16
}

/// The key after `key`, or `None` after the last one.
fn successor(key: &[u8]) -> Option<Bytes> {
    let mut next = [0; MAX_KEY];
    let next = next.get_mut(..key.len())?;
    next.copy_from_slice(key);
    for byte in next.iter_mut().rev() {
        let (sum, carry) = byte.overflowing_add(1);
        *byte = sum;
        if !carry {
            return Bytes::from_kernel(next);
        }
    }
    None
}

fn value(element: &mut Builder, kind: u16, bytes: &[u8]) {
    element.nest(kind, |attribute| {
        attribute.bytes(wire::NFTA_DATA_VALUE, bytes);
    });
}

fn write_data(attribute: &mut Builder, data: &Data) {
    match data {
        Data::Value(bytes) => attribute.bytes(wire::NFTA_DATA_VALUE, bytes.as_kernel()),
        Data::Verdict(Verdict::Drop) => verdict(attribute, wire::NF_DROP, None),
        Data::Verdict(Verdict::Goto(chain)) => verdict(attribute, wire::NFT_GOTO, Some(chain)),
        Data::Verdict(Verdict::Jump(chain)) => verdict(attribute, wire::NFT_JUMP, Some(chain)),
    }
}

/// Writes a verdict: a code, and the chain that it leads to.
pub(super) fn verdict(data: &mut Builder, code: i32, chain: Option<&str>) {
    data.nest(wire::NFTA_DATA_VERDICT, |verdict| {
        verdict.be32(wire::NFTA_VERDICT_CODE, code.cast_unsigned());
        if let Some(chain) = chain {
            verdict.string(wire::NFTA_VERDICT_CHAIN, chain);
        }
    });
}

fn write_userdata(element: &mut Builder, comment: Option<&str>, open: bool) {
    let comment = comment.filter(|comment| !comment.is_empty());
    let text = comment.map(userdata::comment_text);
    let head = text.map(|text| [userdata::COMMENT, text.len() as u8 + 1]);
    let flags = open.then(userdata::open_interval);
    if text.is_some() || open {
        element.parts(
            wire::NFTA_SET_ELEM_USERDATA,
            &[
                head.as_ref().map_or(&[], |head| &head[..]),
                text.unwrap_or_default().as_bytes(),
                if text.is_some() { &[0] } else { &[] },
                flags.as_ref().map_or(&[], |flags| &flags[..]),
            ],
        );
    }
}

/// The element of a message is the end of the range that the one before it begins.
pub(super) fn is_end(element: &Attribute<'_>) -> bool {
    let flags = element.nested().find(wire::NFTA_SET_ELEM_FLAGS);
    flags.and_then(|flags| flags.be32()) == Some(wire::NFT_SET_ELEM_INTERVAL_END)
}
