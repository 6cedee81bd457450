//! What iptables-restore says when it fails: which line it is about, and why.

use std::io;
use std::path::Path;
use std::time::Duration;

use super::super::handle::{ApplyError, CallError, Refusal};
use super::super::ruleset::{Batch, Op};
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
            done: first + batch,
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
            let why = match why.strip_suffix(" failed") {
                Some(_) => format!("{why}: {}", likely(&ops[op])),
                None => why,
            };
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

/// Why an operation fails of which the legacy variant says nothing but its line.
fn likely(op: &Op) -> &'static str {
    match op {
        Op::Create(_) | Op::Declare(_) => "there is such a chain already",
        Op::Append(..) | Op::Insert(..) => "there is no such chain, or the target is built in",
        Op::Remove(..) => "there is no such chain or no such rule",
        Op::Delete(_) => "the chain is not there, is not empty, is built in, or a rule leads to it",
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

/// A program that could not be run to its end.
pub(super) fn not_run(error: &io::Error, limit: Duration) -> String {
    match error.kind() {
        io::ErrorKind::TimedOut => format!(
            "did not end within {} s and was killed; see what else keeps this machine or the lock \
             {} busy",
            limit.as_secs(),
            lock::file().display()
        ),
        _ => error.to_string(),
    }
}

/// The locks could not be taken for an old program.
pub(super) fn no_lock(program: &Path, error: &io::Error) -> ApplyError {
    let said = match error.kind() {
        io::ErrorKind::WouldBlock => "another program keeps the lock of iptables".to_owned(),
        _ => error.to_string(),
    };
    let said = format!(
        "{said}; see who holds {} or the abstract socket @xtables",
        lock::file().display()
    );
    let program = program.display().to_string();
    ApplyError::Program { program, said }
}

/// An operation that is not one line would be read as several.
pub(super) fn several_lines(first: usize, batches: &[Batch]) -> ApplyError {
    for (batch, Batch { table, ops }) in batches.iter().enumerate() {
        for (op, operation) in ops.iter().enumerate() {
            let what = op_line(operation, table.family).to_string();
            if what.contains(['\n', '\0']) {
                let why = "does not fit a line".to_owned();
                return ApplyError::Refused(Refusal {
                    batch: first + batch,
                    op,
                    what,
                    why,
                    done: first,
                });
            }
        }
    }
    let (call, object, errno) = ("write", "batches as lines".to_owned(), libc::EINVAL);
    ApplyError::Call(CallError {
        call,
        object,
        errno,
    })
}

#[cfg(test)]
mod tests;
