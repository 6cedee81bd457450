//! Random histories for a small table.

use fairlead_kernel::nft::rule::Statement;
use fairlead_kernel::nft::ruleset::{Data, Op, Verdict};
use proptest::prelude::*;

use super::ruleset::{chain, element, goto, range, rule};
use super::world::{follow, jump, key, member, pair, remember, sets, value};

/// Transactions, one after another.
pub(crate) fn any_history() -> impl Strategy<Value = Vec<Vec<Op>>> {
    let ops = prop::collection::vec(any_ops(), 1..6);
    let transaction = ops.prop_map(|ops| together(ops.concat()));
    prop::collection::vec(transaction, 1..8)
}

/// Elements that are added to a set one after the other, added in one operation.
fn together(ops: Vec<Op>) -> Vec<Op> {
    let mut joined: Vec<Op> = Vec::new();
    for op in ops {
        match (joined.last_mut(), op) {
            (
                Some(Op::AddElements { set, elements }),
                Op::AddElements {
                    set: same,
                    elements: more,
                },
            ) if *set == same => elements.extend(more),
            (_, op) => joined.push(op),
        }
    }
    joined
}

/// Operations of a small world, so that they meet; what the fake alone refuses is left out.
fn any_ops() -> impl Strategy<Value = Vec<Op>> {
    let some_chain = || prop::sample::select(vec!["one", "two", "three", "apart", "far", "base"]);
    let some_set = || prop::sample::select(sets().map(|set| set.name).to_vec());
    prop_oneof![
        6 => any_element().prop_map(|op| vec![op]),
        6 => any_removal().prop_map(|op| vec![op]),
        4 => (some_chain(), any_statement()).prop_map(|(chain, one)| vec![rule(chain, [one])]),
        2 => some_chain().prop_map(|name| vec![Op::FlushChain(name.into())]),
        2 => some_chain().prop_map(|name| {
            vec![Op::FlushChain(name.into()), Op::DeleteChain(name.into())]
        }),
        2 => some_chain().prop_map(|name| vec![chain(name)]),
        1 => some_set().prop_map(|name| vec![Op::FlushSet(name)]),
        1 => some_set().prop_map(|name| vec![Op::DeleteSet(name)]),
        2 => prop::sample::select(sets().to_vec()).prop_map(|set| vec![Op::AddSet(set)]),
    ]
}

fn any_element() -> impl Strategy<Value = Op> {
    let some_chain = prop::sample::select(vec!["one", "two", "apart", "far", "base"]);
    let verdict = prop_oneof![
        1 => Just(Data::Verdict(Verdict::Drop)),
        5 => some_chain.prop_map(goto),
    ];
    prop_oneof![
        (1..5_u8, verdict)
            .prop_map(|(last, verdict)| { element("verdicts", key(last), Some(verdict)) }),
        (1..5_u8, 1..4_u8)
            .prop_map(|(last, data)| { element("values", key(last), Some(value(data))) }),
        (1..5_u8).prop_map(|last| element("small", key(last), None)),
        any_range().prop_map(|(first, last)| range("ranges", key(first), key(last))),
        (1..3_u8, any_disjoint_range()).prop_map(|(field, (first, last))| {
            range("pairs", pair(field, first), pair(field, last))
        }),
    ]
}

fn any_removal() -> impl Strategy<Value = Op> {
    any_element().prop_map(|op| match op {
        Op::AddElements { set, elements } => Op::DeleteElements { set, elements },
        other => other,
    })
}

/// No two end at the same key: of those the kernel lets some overlap (see [`super::cases`]).
fn any_range() -> impl Strategy<Value = (u8, u8)> {
    prop::sample::select(vec![
        (0, 7),
        (8, 15),
        (4, 11),
        (16, 31),
        (20, 27),
        (0, 63),
        (16, 23),
        (32, 39),
    ])
}

/// None overlap: of a concatenation the kernel removes any that the first key is in.
fn any_disjoint_range() -> impl Strategy<Value = (u8, u8)> {
    prop::sample::select(vec![(0, 7), (8, 8), (9, 15), (16, 31), (40, 255)])
}

fn any_statement() -> impl Strategy<Value = Statement> {
    let some_chain = prop::sample::select(vec!["one", "two", "three", "apart", "far", "base"]);
    prop_oneof![
        4 => some_chain.prop_map(jump),
        3 => Just(follow()),
        2 => prop::sample::select(vec!["small", "ranges", "values"]).prop_map(member),
        1 => Just(remember("learnt")),
        1 => Just(Statement::Masquerade),
        1 => Just(Statement::Reject),
        1 => Just(Statement::Drop),
    ]
}
