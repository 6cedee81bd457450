//! The fake against the kernel: every refusal that the fake knows, and random histories.

mod cases;
mod histories;
#[path = "../privilege/mod.rs"]
mod privilege;
#[path = "../ruleset/mod.rs"]
mod ruleset;
mod world;

use fairlead_kernel::netns::Netns;
use fairlead_kernel::nft::fake::FakeNft;
use fairlead_kernel::nft::handle::{CommitError, Committed, Nft, ObservedTable};
use fairlead_kernel::nft::ruleset::{Bytes, Element, Family, Op};
use fairlead_kernel::nft::schema::Schema;
use fairlead_kernel::nft::socket::NftSocket;
use fairlead_kernel::nft::text;
use proptest::prelude::*;

use cases::cases;
use histories::any_history;
use ruleset::{commented, element, sample, table};
use world::{TABLE, batch, ground, key, sets, value};

/// What was refused first.
fn outcome(result: &Result<Committed, CommitError>) -> Option<(usize, i32)> {
    match result {
        Ok(_) => None,
        Err(CommitError::Refused(refusals)) => {
            let first = refusals.iter().min_by_key(|refusal| refusal.op);
            first.map(|refusal| (refusal.op, refusal.errno))
        }
        Err(error) => panic!("{error}"),
    }
}

/// Operations as they are printed, for messages.
fn printed(ops: &[Op]) -> String {
    let definitions = sets();
    let schema = Schema::new(TABLE, &definitions);
    let lines: Vec<String> = ops.iter().map(|op| text::op(&schema, op)).collect();
    lines.join("\n")
}

#[test]
fn the_fake_refuses() {
    for case in cases() {
        let mut fake = FakeNft::new();
        fake.commit(&[ground()]).unwrap();
        let before = fake.dump();
        let result = fake.commit(&[batch(case.ops.clone())]);
        let told = (case.what, printed(&case.ops));
        assert_eq!(outcome(&result), case.refused, "{told:#?}");
        if case.refused.is_some() {
            assert_eq!(fake.dump(), before, "{told:#?}");
        }
    }
}

#[test]
fn the_kernel_refuses_the_same() {
    if !privilege::is_root() {
        return;
    }
    let netns = Netns::anonymous().unwrap();
    let mut kernel = netns.run(|| NftSocket::open().unwrap()).unwrap();
    let mut failures = Vec::new();
    for case in cases().into_iter().filter(|case| !case.ours_alone) {
        let mut fake = FakeNft::new();
        let transaction = [batch(case.ops)];
        for nft in [&mut kernel as &mut dyn Nft, &mut fake] {
            nft.commit(&[ground()]).unwrap();
        }
        let found = outcome(&kernel.commit(&transaction));
        let _ = fake.commit(&transaction);
        let observed = sorted(kernel.observe(TABLE).unwrap());
        if found != case.refused || observed != sorted(fake.observe(TABLE).unwrap()) {
            failures.push((case.what, found, case.refused, observed));
        }
        kernel.commit(&[batch(vec![Op::DeleteTable])]).unwrap();
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn the_kernel_lets_pass_what_is_ours_alone_to_refuse() {
    if !privilege::is_root() {
        return;
    }
    let netns = Netns::anonymous().unwrap();
    let mut kernel = netns.run(|| NftSocket::open().unwrap()).unwrap();
    for case in cases().into_iter().filter(|case| case.ours_alone) {
        kernel.commit(&[ground()]).unwrap();
        let found = outcome(&kernel.commit(&[batch(case.ops)]));
        assert_eq!(found, None, "{}", case.what);
        kernel.commit(&[batch(vec![Op::DeleteTable])]).unwrap();
    }
}

/// An observed table in an order of its own.
fn sorted(table: Option<ObservedTable>) -> Option<ObservedTable> {
    table.map(|mut table| {
        table.chains.sort_by(|a, b| a.name.cmp(&b.name));
        table.sets.sort_by(|a, b| a.name.cmp(&b.name));
        for set in &mut table.sets {
            set.elements.sort_by_key(|element| element.key);
        }
        table
    })
}

#[test]
fn what_is_observed_is_the_same() {
    if !privilege::is_root() {
        return;
    }
    for family in [Family::Ip, Family::Ip6] {
        let netns = Netns::anonymous().unwrap();
        let mut kernel = netns.run(|| NftSocket::open().unwrap()).unwrap();
        let mut fake = FakeNft::new();
        let mut batch = sample::full(family);
        batch.ops.push(commented(
            element(
                "hairpin",
                Bytes::new().address(ruleset::address(family, 30)),
                None,
            ),
            &"ä".repeat(100),
        ));
        let costs = [&mut kernel as &mut dyn Nft, &mut fake]
            .map(|nft| nft.commit(std::slice::from_ref(&batch)).unwrap());
        assert_eq!(costs[0], costs[1]);
        let id = table(family);
        assert_eq!(
            sorted(fake.observe(id).unwrap()),
            sorted(kernel.observe(id).unwrap())
        );
    }
}

#[test]
fn the_batches_of_a_transaction_succeed_or_fail_together() {
    let mut fake = FakeNft::new();
    let mut second = sample::full(Family::Ip6);
    second.ops.push(Op::FlushSet("none"));
    let result = fake.commit(&[sample::full(Family::Ip), second.clone()]);
    let Err(CommitError::Refused(refusals)) = result else {
        panic!("{result:?}")
    };
    let [refusal] = &refusals[..] else {
        panic!("{refusals:?}")
    };
    let place = (refusal.batch, refusal.op, refusal.errno);
    assert_eq!(place, (1, second.ops.len() - 1, libc::ENOENT));
    assert_eq!(refusal.what, "flush set ip6 fairlead none");
    assert_eq!(
        (fake.dump(), fake.commits(), fake.refused()),
        (String::new(), 0, 1)
    );
}

#[test]
fn what_was_learnt_stays_until_the_set_is_flushed() {
    let mut fake = FakeNft::new();
    fake.commit(&[ground()]).unwrap();
    let learnt = |last, data| Element {
        key: key(last),
        key_end: None,
        data: Some(value(data)),
        comment: None,
    };
    fake.learn(TABLE, "learnt", learnt(1, 5)).unwrap();
    fake.learn(TABLE, "learnt", learnt(1, 6)).unwrap();
    assert_eq!(fake.elements(TABLE, "learnt"), [&learnt(1, 5)]);
    fake.learn(TABLE, "learnt", learnt(2, 5)).unwrap();
    fake.learn(TABLE, "learnt", learnt(3, 5)).unwrap();
    let full = fake.learn(TABLE, "learnt", learnt(4, 5));
    assert_eq!(full, Err(libc::ENFILE));
    let fixed = fake.learn(TABLE, "values", learnt(4, 5));
    assert_eq!(fixed, Err(libc::EOPNOTSUPP));

    fake.commit(&[batch(sets().map(Op::AddSet).into())])
        .unwrap();
    assert_eq!(fake.elements(TABLE, "learnt").len(), 3);
    let observed = fake.observe(TABLE).unwrap().unwrap();
    assert!(
        observed
            .sets
            .iter()
            .all(|set| !set.dynamic || set.elements.is_empty())
    );
    fake.commit(&[batch(vec![Op::FlushSet("learnt")])]).unwrap();
    assert!(fake.elements(TABLE, "learnt").is_empty());
}

#[test]
fn a_dump_builds_the_same_again() {
    let mut fake = FakeNft::new();
    fake.commit(&[sample::full(Family::Ip), sample::full(Family::Ip6)])
        .unwrap();
    let mut second = FakeNft::new();
    let tables = [Family::Ip, Family::Ip6].map(|family| fake.batch(table(family)).unwrap());
    second.commit(&tables).unwrap();
    assert_eq!(second.dump(), fake.dump());
    assert_eq!((second.commits(), second.refused()), (1, 0));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    #[test]
    fn fake_and_kernel_agree_on_random_histories(history in any_history()) {
        if !privilege::is_root() {
            return Ok(());
        }
        let netns = Netns::anonymous().unwrap();
        let mut kernel = netns.run(|| NftSocket::open().unwrap()).unwrap();
        let mut fake = FakeNft::new();
        kernel.commit(&[ground()]).unwrap();
        fake.commit(&[ground()]).unwrap();
        for ops in history {
            let told = format!("{}\nafter\n{}", printed(&ops), fake.dump());
            let transaction = [batch(ops)];
            let by_kernel = outcome(&kernel.commit(&transaction));
            prop_assert_eq!(outcome(&fake.commit(&transaction)), by_kernel, "{}", told);
            let observed = sorted(kernel.observe(TABLE).unwrap());
            prop_assert_eq!(sorted(fake.observe(TABLE).unwrap()), observed, "{}", told);
        }
    }
}
