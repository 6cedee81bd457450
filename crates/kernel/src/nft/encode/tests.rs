//! What a transaction looks like, without a kernel to read it.

use super::super::ruleset::{Bytes, Element, Family};
use super::*;

fn add(set: &'static str, number: u32, comment: &str) -> Op {
    let element = Element {
        key: Bytes::new().number(number),
        key_end: None,
        data: None,
        comment: Some(comment.into()),
    };
    Op::AddElement { set, element }
}

fn batch(ops: Vec<Op>) -> Batch {
    Batch {
        table: TableId {
            family: Family::Ip,
            name: "t",
        },
        ops,
    }
}

/// The elements of every message of a transaction.
fn elements(transaction: &Transaction) -> Vec<usize> {
    Messages::new(transaction.as_slice())
        .filter_map(|message| {
            let attributes = message.attributes(wire::HEADER);
            let list = attributes.clone().find(wire::NFTA_SET_ELEM_LIST_ELEMENTS)?;
            assert_eq!(attributes.count(), 3);
            Some(list.nested().count())
        })
        .collect()
}

#[test]
fn elements_that_follow_each_other_share_a_message() {
    let delete = Op::DeleteElement {
        set: "a",
        key: Bytes::new().number(1),
        key_end: None,
    };
    let ops = vec![
        add("a", 1, ""),
        add("a", 2, ""),
        add("b", 1, ""),
        delete.clone(),
        delete,
        add("a", 3, ""),
    ];
    assert_eq!(elements(&encode(&[batch(ops)], 1)), [2, 1, 2, 1]);
}

#[test]
fn no_list_of_elements_is_longer_than_its_length_can_say() {
    let count = 5000;
    for length in [1, 60, 127, 500] {
        let comment = "x".repeat(length);
        let ops = (0..count)
            .map(|number| add("a", number, &comment))
            .collect();
        let elements = elements(&encode(&[batch(ops)], 1));
        assert!(elements.len() > 1);
        assert_eq!(elements.iter().sum::<usize>(), count as usize);
    }
}

#[test]
fn an_offset_into_a_message_tells_the_element() {
    let ops = vec![
        Op::FlushSet("a"),
        add("a", 1, "x"),
        add("a", 2, "y"),
        add("a", 3, "z"),
    ];
    let transaction = encode(&[batch(Vec::new()), batch(ops)], 7);
    let subject = |sequence, offset| transaction.subject(sequence, offset);
    let operation = |op| Subject::Operation { batch: 1, op };
    assert_eq!(subject(7, None), Subject::Transaction);
    assert_eq!(subject(8, None), operation(0));
    assert_eq!(subject(9, None), operation(1));
    let start = HEADERS + 8 + 8 + ATTRIBUTE_HEADER;
    // Key, 16 bytes, and comment, 8, in an attribute.
    let element = ATTRIBUTE_HEADER + 12 + 8;
    for (offset, op) in [
        (0, 1),
        (start, 1),
        (start + element, 2),
        (start + 2 * element + 8, 3),
    ] {
        assert_eq!(subject(9, Some(offset as u32)), operation(op), "{offset}");
    }
    assert_eq!(subject(9, Some(u32::MAX)), operation(3));
    assert_eq!(subject(10, None), Subject::Other);
    assert_eq!(transaction.messages(), 4);
}

#[test]
fn the_last_operation_is_acknowledged() {
    let transaction = encode(&[batch(vec![Op::DeleteTable, add("a", 1, "")])], u32::MAX);
    let acknowledged = Messages::new(transaction.as_slice()).map(|m| m.has(libc::NLM_F_ACK));
    assert_eq!(
        acknowledged.collect::<Vec<_>>(),
        [false, false, true, false]
    );
    let sequences = Messages::new(transaction.as_slice()).map(|m| m.sequence);
    assert_eq!(sequences.collect::<Vec<_>>(), [u32::MAX, 0, 1, 2]);
}
