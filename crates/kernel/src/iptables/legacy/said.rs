//! What iptables-restore says when it fails: which line it is about, and why.

use super::super::handle::{ApplyError, Refusal};
use super::super::ruleset::Batch;
use super::super::text::op_line;
use super::lock;

/// `RESOURCE_PROBLEM` (xtables.h): as a rule somebody else held the lock.
const RESOURCE_PROBLEM: i32 = 4;

/// A line of the input is about this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// `*TABLE`.
    Table,
    /// An operation: the batch and its index.
    Op(usize, usize),
    /// `COMMIT`.
    Commit(usize),
}

/// The failure of a run with these batches, of which the first has this index.
pub(super) fn decode(
    program: String,
    (first, batches): (usize, &[Batch]),
    status: Option<i32>,
    said: &str,
) -> ApplyError {
    let place = line_of(said).and_then(|line| place(batches, line));
    let why = reason(said);
    let refusal = |batch: usize, op, what, why| {
        ApplyError::Refused(Refusal {
            batch: first + batch,
            op,
            what,
            why,
        })
    };
    match (status, place) {
        (Some(RESOURCE_PROBLEM), _) => {
            let said = format!(
                "{why}; it waits for the lock {} for at most {} s: see who holds it (`fuser -v \
                 {0}`), and that it can be written",
                lock::file().display(),
                super::LOCK_SECONDS
            );
            ApplyError::Program { program, said }
        }
        (_, Some(Place::Op(batch, op))) => {
            let Batch { table, ops } = &batches[batch];
            let what = op_line(&ops[op], table.family).to_string();
            refusal(batch, op, what, why)
        }
        (_, Some(Place::Commit(batch))) => {
            let why = format!("{why}; the kernel's log (`dmesg`) may say more");
            refusal(batch, batches[batch].ops.len(), "COMMIT".to_owned(), why)
        }
        (_, Some(Place::Table)) => {
            let said = format!(
                "{why}; needs root, and a kernel with the legacy tables (modules iptable_filter, \
                 iptable_nat, iptable_mangle, or ip6table_... for IPv6)"
            );
            ApplyError::Program { program, said }
        }
        (status, None) => {
            let said = match status {
                Some(status) => format!("{why} (status {status})"),
                None => format!("{why} (ended by a signal)"),
            };
            ApplyError::Program { program, said }
        }
    }
}

/// What a line of [`super::super::text::restore_input`], counted from one, is about.
fn place(batches: &[Batch], line: usize) -> Option<Place> {
    let mut line = line.checked_sub(1)?;
    for (index, batch) in batches.iter().enumerate() {
        let commit = batch.ops.len() + 1;
        if line == 0 {
            return Some(Place::Table);
        }
        if line < commit {
            return Some(Place::Op(index, line - 1));
        }
        if line == commit {
            return Some(Place::Commit(index));
        }
        line -= commit + 1;
    }
    None
}

/// The line that is said to have failed: `line 5 failed`, or `Error occurred at line: 5`. What
/// stands before may quote the line itself, so the last one counts.
fn line_of(said: &str) -> Option<usize> {
    let number = |text: &str| {
        let end = text.find(|c: char| !c.is_ascii_digit());
        text[..end.unwrap_or(text.len())].parse().ok()
    };
    said.lines().rev().find_map(|text| {
        if let Some(rest) = text.strip_prefix("Error occurred at line: ") {
            return number(rest);
        }
        let (_, rest) = text.rsplit_once(": line ")?;
        rest.contains(" failed").then(|| number(rest))?
    })
}

/// What it said, without its name and without advice about its options.
fn reason(said: &str) -> String {
    let lines = said.lines().map(str::trim).filter(|line| {
        let advice = line.starts_with("Error occurred at line: ") || line.starts_with("Try `");
        !line.is_empty() && !advice
    });
    let words: Vec<_> = lines.map(without_name).collect();
    if words.is_empty() {
        return "it did not say why".to_owned();
    }
    words.join(" ")
}

/// Drops `iptables-restore v1.8.9 (legacy): `.
fn without_name(line: &str) -> &str {
    match line.split_once(": ") {
        Some((name, rest)) if name.starts_with("ip") && name.contains("tables") => rest,
        _ => line,
    }
}

#[cfg(test)]
mod tests {
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
                "line 3 failed",
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
}
