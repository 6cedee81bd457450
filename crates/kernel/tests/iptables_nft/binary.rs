//! What is written is what `iptables-nft` writes.

use std::fmt::Write;

use fairlead_kernel::iptables::handle::Iptables;
use fairlead_kernel::iptables::ruleset::{Batch, Family, Op};
use fairlead_kernel::iptables::text::{restore_input, rule_text};
use fairlead_kernel::netlink::{Builder, Protocol, Request, Socket};

use super::{FAMILIES, assert_same, in_namespace, program, run, sample, saved};

#[test]
fn what_is_written_is_what_the_binary_writes() {
    in_namespace(|iptables| {
        for family in FAMILIES {
            let batches = sample::batches(family);
            iptables.apply(&batches).unwrap();
            let ours = listed(family);
            run("nft flush ruleset", "");
            run(&restore(family), &restore_input(&batches));
            let theirs = listed(family);
            for (ours, theirs) in ours.iter().zip(&theirs) {
                assert_same(ours, theirs);
            }
            run("nft flush ruleset", "");
        }
    });
}

/// What the programs print, and the expressions that the kernel holds, byte by byte.
fn listed(family: Family) -> [String; 4] {
    let debug = run("nft --debug=netlink list ruleset 2>/dev/null", "");
    // Numbers of rules are in other lines.
    let expressions = debug.lines().filter(|line| line.starts_with("  [ "));
    [
        saved(family),
        run("nft list ruleset 2>/dev/null", ""),
        expressions.flat_map(|line| [line, "\n"]).collect(),
        bytes(family),
    ]
}

/// The chain and the expressions of every rule of the family, as the kernel tells them.
fn bytes(family: Family) -> String {
    const NFT_MSG_GETRULE: u16 = 10 << 8 | 7;
    const NFTA_RULE_CHAIN: u16 = 2;
    const NFTA_RULE_EXPRESSIONS: u16 = 4;
    let request = Request {
        kind: NFT_MSG_GETRULE,
        flags: 0,
        call: "NFT_MSG_GETRULE",
        object: "",
    };
    let number = if family == Family::Ip { 2 } else { 10 };
    let mut socket = Socket::open(Protocol::Netfilter).unwrap();
    let rules = socket.dump(
        &request,
        |body: &mut Builder| body.raw(&[number, 0, 0, 0]),
        |text: &mut String, message| {
            for kind in [NFTA_RULE_CHAIN, NFTA_RULE_EXPRESSIONS] {
                let attribute = message.attributes(4).find(kind).unwrap();
                let _ = writeln!(text, "{}", attribute.payload.escape_ascii());
            }
        },
    );
    rules.unwrap()
}

#[test]
fn rules_print_as_they_were_meant() {
    in_namespace(|iptables| {
        for family in FAMILIES {
            let batches = sample::batches(family);
            iptables.apply(&batches).unwrap();
            let saved = saved(family);
            for op in batches.iter().flat_map(|batch| &batch.ops) {
                let Some(rule) = op.rule() else { continue };
                let line = format!("-A {}{}\n", op.chain(), rule_text(rule, family));
                // A comment may be cut, and a network of all addresses is none.
                if line.len() < 250 && !line.contains("/0 ") {
                    assert!(saved.contains(&line), "{line}");
                }
            }
        }
    });
}

#[test]
fn rules_of_the_binary_are_removed() {
    in_namespace(|iptables| {
        for family in FAMILIES {
            let mut batches = sample::batches(family);
            run(&restore(family), &restore_input(&batches));
            let before = saved(family);
            for batch in &mut batches {
                batch.ops = std::mem::take(&mut batch.ops)
                    .into_iter()
                    .filter_map(removal)
                    .collect();
            }
            iptables.apply(&batches).unwrap();
            assert!(before.contains("-A KUBE-A") && before.contains("-A PREROUTING"));
            assert!(!saved(family).contains("\n-A "), "{}", saved(family));
            run("nft flush ruleset", "");
        }
    });
}

fn removal(op: Op) -> Option<Op> {
    match op {
        Op::Append(chain, rule) | Op::Insert(chain, rule) => Some(Op::Remove(chain, rule)),
        _ => None,
    }
}

#[test]
fn the_binary_deletes_and_checks_our_rules() {
    in_namespace(|iptables| {
        for family in FAMILIES {
            let batches = sample::batches(family);
            iptables.apply(&batches).unwrap();
            let mut input = String::new();
            for batch in batches {
                let ops = batch.ops.into_iter().filter_map(removal);
                let ops = ops.collect();
                input += &restore_input(&[Batch { ops, ..batch }]);
            }
            run(&restore(family), &input);
            let left = saved(family);
            assert!(!left.contains("\n-A "), "{left}");
            run("nft flush ruleset", "");
        }
    });
}

fn restore(family: Family) -> String {
    format!("{}-nft-restore --noflush", program(family))
}
