//! The legacy iptables: the fake, and the real one against it.

mod cases;
mod histories;
mod kinds;
#[path = "../privilege/mod.rs"]
mod privilege;
mod real;
mod together;
mod touched;
mod world;

use fairlead_kernel::iptables::fake::FakeIptables;
use fairlead_kernel::iptables::handle::{ApplyError, Iptables, ObservedHook, ObservedTable};
use fairlead_kernel::iptables::legacy::LegacyIptables;
use fairlead_kernel::iptables::rule::{Match, Rule};
use fairlead_kernel::iptables::ruleset::{Family, Op};
use fairlead_kernel::netns::Netns;

use cases::cases;
use histories::any_history;
use proptest::prelude::*;
use world::{FILTER, NAT, append, batch, create, delete, ground, jump, outcome, printed};

#[test]
fn the_fake_refuses() {
    for case in cases() {
        let mut fake = FakeIptables::new();
        fake.apply(&[ground(case.table)]).unwrap();
        let before = fake.save(Family::Ip);
        let result = fake.apply(&[batch(case.table, case.ops.clone())]);
        let told = (case.what, case.ours_alone, printed(&case.ops));
        let refused = case.refused.map(|op| (0, op));
        assert_eq!(outcome(&result), refused, "{told:#?}");
        if refused.is_some() {
            assert_eq!(fake.save(Family::Ip), before, "{told:#?}");
        }
    }
}

#[test]
fn batches_before_the_refused_one_stay_done() {
    let mut fake = FakeIptables::new();
    let made = |table, chain| batch(table, vec![create(chain)]);
    let bad = batch(NAT, vec![create("b"), delete("none")]);
    let batches = [made(FILTER, "a"), bad, made(FILTER, "c")];
    let result = fake.apply(&batches);
    let Err(ApplyError::Refused(refusal)) = result else {
        panic!("{result:?}")
    };
    assert_eq!((refusal.batch, refusal.op), (1, 1));
    assert_eq!(refusal.what, "-X none");
    assert_eq!(fake.chains(FILTER), ["a"]);
    assert!(fake.chains(NAT).is_empty());
    assert_eq!((fake.applied(), fake.refused(), fake.lines()), (0, 1, 0));
}

#[test]
fn a_table_is_there_when_it_was_asked_for_and_hooks_are_observed_in_order() {
    let mut fake = FakeIptables::new();
    assert_eq!(fake.observe(NAT).unwrap(), None);
    fake.apply(&[ground(NAT)]).unwrap();
    let hooks = vec![Op::Insert("INPUT".into(), jump("two"))];
    fake.play(NAT, hooks).unwrap();
    let observed = fake.observe(NAT).unwrap().unwrap();
    let names: Vec<_> = observed.chains.iter().map(|name| &**name).collect();
    assert_eq!(names, ["apart", "far", "one", "two"]);
    let hook = |chain: &str, target: &str, comment: Option<&str>| ObservedHook {
        chain: chain.into(),
        target: target.into(),
        comment: comment.map(str::to_owned),
    };
    let expected = [
        hook("INPUT", "two", None),
        hook("OUTPUT", "one", Some("to \"one\"")),
    ];
    assert_eq!(observed.hooks, expected);
    fake.flush(NAT);
    assert_eq!(fake.observe(NAT).unwrap(), Some(ObservedTable::default()));
}

#[test]
fn what_was_saved_is_as_iptables_prints_it() {
    let mut fake = FakeIptables::new();
    fake.account("seen");
    fake.apply(&[ground(NAT)]).unwrap();
    let count = Rule::default().matching(Match::Count("seen"));
    let ops = vec![append("two", count)];
    let cost = fake.apply(&[batch(NAT, ops)]).unwrap();
    assert_eq!(cost.messages, 3);
    let expected = r#"*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:apart - [0:0]
:far - [0:0]
:one - [0:0]
:two - [0:0]
-A OUTPUT -m comment --comment "to \"one\"" -j one
-A far ! -s 10.0.0.0/8 -d 192.0.2.1/32 -p tcp -m comment --comment "it\'s a \"rich\" \\ rule -> [x] #1" -m tcp --dport 80 -m conntrack ! --ctstate RELATED,ESTABLISHED -m mark ! --mark 0x4000/0x4000 -m recent --rcheck --seconds 9 --reap --name LIST --mask 255.255.255.255 --rsource -m addrtype --dst-type LOCAL -j MARK --set-xmark 0x4000/0x4000
-A one -j two
-A two
-A two -m nfacct --nfacct-name  seen
COMMIT
"#;
    assert_eq!(fake.save(Family::Ip), expected);
}

#[test]
fn the_real_one_refuses_the_same_and_is_left_the_same() {
    if !privilege::is_root() {
        return;
    }
    let mut failures = Vec::new();
    for case in cases().into_iter().filter(|case| !case.ours_alone) {
        real::in_namespace(|mut legacy| {
            let mut fake = FakeIptables::new();
            let name = case.table.table.name();
            let batches = [batch(case.table, case.ops.clone())];
            for iptables in [&mut legacy as &mut dyn Iptables, &mut fake] {
                iptables.apply(&[ground(case.table)]).unwrap();
            }
            let result = legacy.apply(&batches);
            let _ = fake.apply(&batches);
            let same = real::save(name) == fake.save(Family::Ip)
                && legacy.observe(case.table) == fake.observe(case.table);
            if outcome(&result) != case.refused.map(|op| (0, op)) || !same {
                failures.push((case.what, result, case.refused, real::save(name)));
            }
        });
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn the_real_one_lets_pass_what_is_ours_alone_to_refuse() {
    if !privilege::is_root() {
        return;
    }
    for case in cases().into_iter().filter(|case| case.ours_alone) {
        real::in_namespace(|mut legacy| {
            legacy.apply(&[ground(case.table)]).unwrap();
            let result = legacy.apply(&[batch(case.table, case.ops)]);
            assert_eq!(outcome(&result), None, "{}", case.what);
        });
    }
}

/// When something of others makes the tables larger, ours is counted, and found to be as we left
/// it.
fn what_was_left_is_known(legacy: &mut LegacyIptables) -> bool {
    ["-A", "-D"].into_iter().all(|command| {
        for table in ["nat", "filter"] {
            real::iptables(&format!("-w -t {table} {command} INPUT -p tcp -j ACCEPT"));
        }
        !legacy.touched().unwrap()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..Default::default() })]

    #[test]
    fn fake_and_real_agree_on_random_histories(history in any_history()) {
        if !privilege::is_root() {
            return Ok(());
        }
        Netns::anonymous().unwrap().run(|| {
            let (mut legacy, mut fake) = (real::open(), FakeIptables::new());
            let grounds = [ground(FILTER), ground(NAT)];
            for table in [FILTER, NAT] {
                prop_assert_eq!(legacy.observe(table), Ok(None));
            }
            legacy.apply(&grounds).unwrap();
            fake.apply(&grounds).unwrap();
            for batches in history {
                let before = fake.save(Family::Ip);
                let told = || {
                    let batches = batches.iter().map(|batch| printed(&batch.ops));
                    let batches: Vec<_> = batches.collect();
                    format!("{}\nafter\n{before}", batches.join("\nand\n"))
                };
                let real = legacy.apply(&batches);
                prop_assert_eq!(outcome(&fake.apply(&batches)), outcome(&real), "{:?} {}", real, told());
                prop_assert!(what_was_left_is_known(&mut legacy), "{}", told());
                let there = real::save("filter") + &real::save("nat");
                prop_assert_eq!(fake.save(Family::Ip), there, "{}", told());
                for table in [FILTER, NAT] {
                    prop_assert_eq!(fake.observe(table), legacy.observe(table), "{}", told());
                }
            }
            Ok(())
        }).unwrap()?;
    }
}
