//! What is written, without a kernel to read it.

use std::collections::HashMap;

use super::super::rule::{Interface, Match, Probability, Protocol, Rule, State, Target};
use super::super::ruleset::{Batch, Family, Op, Table, TableId};
use super::find::meaning_of;
use super::transaction::{Found, Subject, Transaction};
use super::{extension, rule};
use crate::netlink::{Builder, Messages};
use crate::nft::wire;

const NAT: TableId = TableId {
    family: Family::Ip,
    table: Table::Nat,
};

fn batch(table: Table, ops: Vec<Op>) -> Batch {
    let table = TableId { table, ..NAT };
    Batch { table, ops }
}

/// Number and flags of every message but the batch's begin and end, which are checked.
fn messages(transaction: &Transaction) -> Vec<(u16, i32)> {
    let all: Vec<_> = Messages::new(transaction.as_slice())
        .map(|message| (message.kind, i32::from(message.flags)))
        .collect();
    assert_eq!(all.len(), transaction.messages());
    let [begin, messages @ .., end] = &all[..] else {
        panic!("{all:?}")
    };
    assert_eq!(*begin, (wire::NFNL_MSG_BATCH_BEGIN, libc::NLM_F_REQUEST));
    assert_eq!(*end, (wire::NFNL_MSG_BATCH_END, libc::NLM_F_REQUEST));
    let flags = |(kind, flags)| (kind, flags & !libc::NLM_F_REQUEST);
    messages.iter().copied().map(flags).collect()
}

#[test]
fn every_operation_is_the_message_that_does_it() {
    let (chain, rule) = (|| "KUBE-A".into(), Rule::default);
    let create = libc::NLM_F_CREATE;
    let table = (wire::NFT_MSG_NEWTABLE, create);
    for (op, expected) in [
        (
            Op::Create(chain()),
            vec![(wire::NFT_MSG_NEWCHAIN, create | libc::NLM_F_EXCL)],
        ),
        (
            Op::Declare(chain()),
            vec![(wire::NFT_MSG_NEWCHAIN, create), (wire::NFT_MSG_DELRULE, 0)],
        ),
        (
            Op::Append(chain(), rule()),
            vec![(wire::NFT_MSG_NEWRULE, create | libc::NLM_F_APPEND)],
        ),
        (
            Op::Insert(chain(), rule()),
            vec![(wire::NFT_MSG_NEWRULE, create)],
        ),
        (
            Op::Remove(chain(), rule()),
            vec![(wire::NFT_MSG_DELRULE, 0)],
        ),
        (
            Op::Delete(chain()),
            vec![(wire::NFT_MSG_DELCHAIN, libc::NLM_F_NONREC)],
        ),
    ] {
        let mut expected = [vec![table], expected].concat();
        if let Some((_, flags)) = expected.last_mut() {
            *flags |= libc::NLM_F_ACK;
        }
        let batch = batch(Table::Nat, vec![op]);
        let transaction = Transaction::encode(&[batch], &Found::default(), 1);
        assert_eq!(messages(&transaction), expected);
    }
}

#[test]
fn answers_are_about_the_operation_that_was_asked_for() {
    let ops = || vec![Op::Declare("A".into()), Op::Delete("A".into())];
    let batches = [batch(Table::Nat, ops()), batch(Table::Filter, ops())];
    let transaction = Transaction::encode(&batches, &Found::default(), 7);
    let subjects: Vec<_> = (7..17).map(|number| transaction.subject(number)).collect();
    let places = [
        (0, 0),
        (0, 0),
        (0, 0),
        (0, 1),
        (1, 0),
        (1, 0),
        (1, 0),
        (1, 1),
    ];
    let mut expected = vec![Subject::Whole];
    expected.extend(places.map(Subject::Operation));
    expected.push(Subject::Other);
    assert_eq!(subjects, expected);
    assert_eq!(transaction.subject(6), Subject::Other);
}

#[test]
fn a_missing_built_in_chain_is_made_where_iptables_has_it() {
    for (table, name, hook, priority, kind) in [
        (Table::Nat, "PREROUTING", 0, -100, "nat"),
        (Table::Nat, "INPUT", 1, 100, "nat"),
        (Table::Nat, "OUTPUT", 3, -100, "nat"),
        (Table::Nat, "POSTROUTING", 4, 100, "nat"),
        (Table::Filter, "FORWARD", 2, 0, "filter"),
        (Table::Mangle, "OUTPUT", 3, -150, "route"),
        (Table::Mangle, "POSTROUTING", 4, -150, "filter"),
    ] {
        let found = Found {
            missing: HashMap::from([((0, 0), name)]),
            ..Found::default()
        };
        let op = Op::Append(name.into(), Rule::default());
        let transaction = Transaction::encode(&[batch(table, vec![op])], &found, 1);
        let chain = Messages::new(transaction.as_slice()).nth(2).unwrap();
        assert_eq!(chain.kind, wire::NFT_MSG_NEWCHAIN);
        let find = |kind| chain.attributes(wire::HEADER).find(kind).unwrap();
        let base = find(wire::NFTA_CHAIN_HOOK);
        let number = |kind| base.nested().find(kind).unwrap().be32().unwrap();
        assert_eq!(number(wire::NFTA_HOOK_HOOKNUM), hook);
        assert_eq!(number(wire::NFTA_HOOK_PRIORITY).cast_signed(), priority);
        assert_eq!(find(wire::NFTA_CHAIN_TYPE).str(), Some(kind));
        assert_eq!(find(wire::NFTA_CHAIN_NAME).str(), Some(name));
    }
}

#[test]
fn rules_are_the_same_when_they_mean_the_same() {
    let rule = |port| Rule::commented("a").transport(Protocol::Tcp, Some(port));
    let all = [
        rule(80),
        rule(81),
        rule(80).jump("A"),
        rule(80).jump("B"),
        rule(80).then(Target::Accept),
        rule(80).then(Target::Return),
        rule(80).from("10.0.0.0/8".parse::<ipnet::IpNet>().unwrap()),
        rule(80).not_from("10.0.0.0/8".parse::<ipnet::IpNet>().unwrap()),
        rule(80).to("10.0.0.0/8".parse::<ipnet::IpNet>().unwrap()),
        rule(80).then(Target::SetMark(1)),
        rule(80).then(Target::FlipMark(1)),
        Rule::commented("b").transport(Protocol::Tcp, Some(80)),
    ];
    for (index, one) in all.iter().enumerate() {
        for (other_index, other) in all.iter().enumerate() {
            let same = meaning_of(NAT, one) == meaning_of(NAT, other);
            assert_eq!(same, index == other_index, "{one:?} {other:?}");
        }
    }
}

#[test]
fn arguments_are_laid_out_as_in_the_kernels_headers() {
    let states = &[State::Related, State::Established, State::Dnat];
    let info = extension::conntrack(true, states).info;
    assert_eq!(info[146..152], [1, 0, 1, 0, 0x86, 0]);
    let info = extension::dnat("10.1.0.5:8080".parse().unwrap()).info;
    assert_eq!(info[..8], [3, 0, 0, 0, 10, 1, 0, 5]);
    assert_eq!(info[20..24], [10, 1, 0, 5]);
    assert_eq!(info[36..42], [0x1f, 0x90, 0x1f, 0x90, 0, 0]);
    let info = extension::remembered(Family::Ip6, "ab", 0x0102).info;
    assert_eq!(info[..10], [2, 1, 0, 0, 0, 0, 0, 0, 0x21, 0]);
    assert_eq!(&info[10..18], b"ab\0AULT\0");
    assert_eq!(info[208..], [&[0; 4][..], &[0xff; 16], &[0; 4]].concat());
    let info = extension::statistic(Probability(5)).info;
    assert_eq!(info[..16], [0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0]);
}

#[test]
fn names_and_texts_that_are_too_long_are_no_harm() {
    let long = "é".repeat(400);
    let one = Rule {
        input: Some(Interface {
            name: long.clone(),
            prefix: false,
            negate: true,
        }),
        ..Rule::commented(long.clone())
    };
    let list = long.clone();
    let one = one.matching(Match::Remember { list }).jump(long.clone());
    let mut builder = Builder::default();
    builder.message(0, 0, 0, |body| rule::write(body, Family::Ip, &one));
    assert_eq!(Messages::new(builder.as_slice()).count(), 1);
    let info = extension::comment(&long).info;
    assert_eq!(info[254..], [0, 0], "254 bytes are whole characters");
    // Without a NUL in its 200 bytes the kernel refuses a name.
    let info = extension::remember(Family::Ip, &long).info;
    assert!(!info[10..210].contains(&0));
}
