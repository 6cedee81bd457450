//! docs/COMPATIBILITY.md compared with kube-proxy and with this program: what it says is so, and
//! nothing is left out.
//!
//! What kube-proxy has is listed in `tests/kube-proxy`. Every list is compared with a table of the
//! document, and every table with the program, in both directions.

mod configuration;
mod observation;

use std::collections::BTreeMap;

const DOCUMENT: &str = include_str!("../../../../docs/COMPATIBILITY.md");

/// What became of something that kube-proxy has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Same,
    Different,
    Absent,
    Added,
}

impl Verdict {
    fn of(word: &str) -> Option<Verdict> {
        match word {
            "same" => Some(Verdict::Same),
            "different" => Some(Verdict::Different),
            "absent" => Some(Verdict::Absent),
            "added" => Some(Verdict::Added),
            _ => None,
        }
    }

    /// Whether the program has it.
    fn is_there(self) -> bool {
        self != Verdict::Absent
    }
}

/// A row of a table: the facts, what became of them, and why.
#[derive(Debug, Clone)]
struct Row {
    facts: Vec<String>,
    verdict: Verdict,
}

impl Row {
    fn name(&self) -> &str {
        &self.facts[0]
    }
}

/// The cells of the rows of the first table below a heading, without the table's head.
pub(crate) fn cells(heading: &str) -> Vec<Vec<String>> {
    let section = DOCUMENT
        .lines()
        .skip_while(|line| line.trim_start_matches('#').trim() != heading);
    let table = section
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'));
    let plain = |cell: &str| cell.trim().replace('`', "").replace(", ", ",");
    let row = |line: &str| line.trim_matches('|').split('|').map(plain).collect();
    table.skip(2).map(row).collect()
}

/// The rows of a table whose last two columns are the verdict and why.
fn table(heading: &str) -> Vec<Row> {
    let row = |mut cells: Vec<String>| {
        let why = cells.pop().unwrap_or_default();
        let word = cells.pop().unwrap_or_default();
        let verdict = Verdict::of(&word).unwrap_or_else(|| panic!("{heading}: {cells:?}: {word}"));
        let is_said = verdict == Verdict::Same || verdict == Verdict::Added || !why.is_empty();
        assert!(is_said, "{heading}: {cells:?} is {word}: why?");
        Row {
            facts: cells,
            verdict,
        }
    };
    let rows: Vec<Row> = cells(heading).into_iter().map(row).collect();
    assert!(!rows.is_empty(), "{heading}: there is no table");
    rows
}

/// The rows of a list of what kube-proxy has. Nothing is written as `""` or `-`.
fn list(text: &str) -> Vec<Vec<String>> {
    let is_row = |line: &&str| !line.is_empty() && !line.starts_with('#');
    let word = |word: &str| match word {
        "\"\"" | "-" => String::new(),
        word => word.to_owned(),
    };
    let row = |line: &str| line.split_whitespace().map(word).collect();
    text.lines().filter(is_row).map(row).collect()
}

/// Checks that a table has what a list has: the same facts, in any order.
fn hold(heading: &str, mut listed: Vec<Vec<String>>) -> Vec<Row> {
    let rows = table(heading);
    let mut told: Vec<_> = rows.iter().map(|row| row.facts.clone()).collect();
    told.sort();
    listed.sort();
    for (told, listed) in told.iter().zip(&listed) {
        assert_eq!(told, listed, "{heading}: the document, and kube-proxy");
    }
    assert_eq!(told.len(), listed.len(), "{heading}");
    assert!(
        rows.iter().all(|row| row.verdict != Verdict::Added),
        "{heading}: what is added stands below Beyond kube-proxy"
    );
    rows
}

/// Checks that a table is of what is there in the program: what it says to be there is, and all
/// that is there it says to be.
fn compare(heading: &str, rows: &[Row], program: &BTreeMap<String, Vec<String>>) {
    let mut known = program.clone();
    for row in rows.iter().filter(|row| row.verdict.is_there()) {
        let facts = known
            .remove(row.name())
            .unwrap_or_else(|| panic!("{heading}: {} is not in the program", row.name()));
        assert_eq!(row.facts[1..], facts, "{heading}: {}", row.name());
    }
    let left: Vec<_> = known.keys().collect();
    assert!(left.is_empty(), "{heading}: the document lacks {left:?}");
}
