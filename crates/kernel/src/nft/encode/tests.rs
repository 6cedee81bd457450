//! What a transaction looks like, without a kernel to read it.

use super::super::ruleset::{Bytes, Element, Family};
use super::*;

fn element(number: u32, comment: &str) -> Element {
    Element {
        comment: Some(comment.into()),
        ..Element::new(Bytes::new().number(number))
    }
}

fn add<const N: usize>(set: &'static str, elements: [Element; N]) -> Op {
    let elements = elements.into();
    Op::AddElements { set, elements }
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
fn the_elements_of_an_operation_share_a_message() {
    let delete = |elements| Op::DeleteElements { set: "a", elements };
    let ops = vec![
        add("a", [element(1, ""), element(2, "")]),
        add("b", [element(1, "")]),
        delete(vec![element(1, ""), element(2, "")]),
    ];
    assert_eq!(elements(&encode(&[batch(ops)], 1)), [2, 1, 2]);
    // Without a list of elements the kernel would remove them all.
    let nothing = encode(&[batch(vec![add("a", []), delete(Vec::new())])], 1);
    assert_eq!(nothing.messages(), 2, "begin and end");
}

#[test]
fn no_list_of_elements_is_longer_than_its_length_can_say() {
    let count = 5000;
    for length in [1, 60, 127, 500] {
        let comment = "x".repeat(length);
        let list = (0..count).map(|number| element(number, &comment));
        let op = Op::AddElements {
            set: "a",
            elements: list.collect(),
        };
        let transaction = encode(&[batch(vec![op])], 1);
        let elements = elements(&transaction);
        assert!(elements.len() > 1);
        assert_eq!(elements.iter().sum::<usize>(), count as usize);
        let subject = |element| Subject::Operation {
            batch: 0,
            op: 0,
            element: Some(element),
        };
        assert_eq!(transaction.subject(2, None), subject(0));
        assert_eq!(transaction.subject(3, None), subject(elements[0]));
    }
}

#[test]
fn an_offset_into_a_message_tells_the_element() {
    let ops = vec![
        Op::FlushSet("a"),
        add("a", [element(1, "x"), element(2, "y"), element(3, "z")]),
    ];
    let transaction = encode(&[batch(Vec::new()), batch(ops)], 7);
    let subject = |sequence, offset| transaction.subject(sequence, offset);
    let operation = |op, element| Subject::Operation {
        batch: 1,
        op,
        element,
    };
    assert_eq!(subject(7, None), Subject::Transaction);
    assert_eq!(subject(8, None), operation(0, None));
    assert_eq!(subject(9, None), operation(1, Some(0)));
    let start = HEADERS + 8 + 8 + ATTRIBUTE_HEADER;
    // Key, 16 bytes, and comment, 8, in an attribute.
    let element = ATTRIBUTE_HEADER + 12 + 8;
    for (offset, index) in [
        (0, 0),
        (start, 0),
        (start + element, 1),
        (start + 2 * element + 8, 2),
    ] {
        let expected = operation(1, Some(index));
        assert_eq!(subject(9, Some(offset as u32)), expected, "{offset}");
    }
    assert_eq!(subject(9, Some(u32::MAX)), operation(1, Some(2)));
    assert_eq!(subject(10, None), Subject::Other);
    assert_eq!(transaction.messages(), 4);
}

#[test]
fn the_last_operation_is_acknowledged() {
    let transaction = encode(
        &[batch(vec![Op::DeleteTable, add("a", [element(1, "")])])],
        u32::MAX,
    );
    let acknowledged = Messages::new(transaction.as_slice()).map(|m| m.has(libc::NLM_F_ACK));
    assert_eq!(
        acknowledged.collect::<Vec<_>>(),
        [false, false, true, false]
    );
    let sequences = Messages::new(transaction.as_slice()).map(|m| m.sequence);
    assert_eq!(sequences.collect::<Vec<_>>(), [u32::MAX, 0, 1, 2]);
}
