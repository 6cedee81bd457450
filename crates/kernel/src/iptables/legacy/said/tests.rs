use super::*;
use crate::iptables::ruleset::{Family, Op, Table, TableId};

fn batches() -> [Batch; 2] {
    let batch = |table, chains: &[&str]| Batch {
        table: TableId {
            family: Family::Ip,
            table,
        },
        ops: chains
            .iter()
            .map(|name| Op::Create((*name).into()))
            .collect(),
    };
    // Lines 1 to 4, and 5 to 7.
    [batch(Table::Filter, &["a", "b"]), batch(Table::Nat, &["c"])]
}

fn decoded(status: i32, said: &str) -> ApplyError {
    let program = "iptables-restore".to_owned();
    decode(program, (3, &batches()), Some(status), said)
}

#[test]
fn every_way_to_name_a_line_finds_the_operation() {
    for (said, batch, op, what, why) in [
        (
            "iptables-restore: line 3 failed\n",
            3,
            1,
            "-N b",
            "line 3 failed: there is such a chain already",
        ),
        (
            "iptables-restore: line 6 failed: No chain/target/match by that name.\n",
            4,
            0,
            "-N c",
            "line 6 failed: No chain/target/match by that name.",
        ),
        (
            "iptables-restore v1.8.9 (legacy): chain name `line 9 failed' too long\n\
             Error occurred at line: 2\nTry `iptables-restore -h' for more information.\n",
            3,
            0,
            "-N a",
            "chain name `line 9 failed' too long",
        ),
        (
            "ip6tables-restore v1.4.21: Couldn't load target `X':No such file\n\n\
             Error occurred at line: 3\n",
            3,
            1,
            "-N b",
            "Couldn't load target `X':No such file",
        ),
        (
            "Bad argument `garbage'\nError occurred at line: 2\n",
            3,
            0,
            "-N a",
            "Bad argument `garbage'",
        ),
        (
            "iptables-restore: line 7 failed\n",
            4,
            1,
            "COMMIT",
            "line 7 failed; the kernel's log (`dmesg`) may say more",
        ),
    ] {
        let expected = Refusal {
            batch,
            op,
            what: what.to_owned(),
            why: why.to_owned(),
            done: batch,
        };
        assert_eq!(decoded(1, said), ApplyError::Refused(expected));
    }
}

#[test]
fn a_held_lock_and_other_words_are_told_with_what_to_do() {
    let rows = [
        (
            4,
            "Another app is currently holding the xtables lock. Stopped waiting after 5s.\n",
            "fuser",
        ),
        (
            2,
            "iptables-restore v1.8.9 (legacy): iptables-restore: unable to initialize table \
             'filter'\nError occurred at line: 1\n",
            "iptable_filter",
        ),
        (
            1,
            "iptables-restore: COMMIT expected at line 99\n",
            "status 1",
        ),
        (1, "iptables-restore: line 99 failed\n", "line 99 failed"),
        (127, "", "it did not say why"),
    ];
    for (status, words, expected) in rows {
        let ApplyError::Program { said, .. } = decoded(status, words) else {
            panic!("{words}")
        };
        assert!(said.contains(expected), "{said}");
    }
}
