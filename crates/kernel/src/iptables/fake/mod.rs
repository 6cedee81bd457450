//! iptables in memory, for tests: refuses what the kernel's tables and `iptables-restore` refuse.
//!
//! As in the legacy variant a batch is done at once, those before one that is refused stay done,
//! and what the kernel alone finds wrong is not told by the operation but by the table as a whole.
//!
//! Beyond that it refuses what is always a mistake of ours: to declare a built-in chain, a chain
//! with the name of a target, and what iptables would cut short without a word: comments of more
//! than 255 bytes and lists of more than 199.

mod rules;
mod table;
mod ways;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use self::table::Table;
use super::handle::{Applied, ApplyError, CallError, Iptables, ObservedTable, Refusal};
use super::rule::Rule;
use super::ruleset::{Batch, Family, Op, TableId};
use super::text;

/// The iptables of a test's own.
#[derive(Debug, Clone, Default)]
pub struct FakeIptables {
    tables: BTreeMap<TableId, Table>,
    accounting: BTreeSet<String>,
    applied: usize,
    refused: usize,
    lines: usize,
}

impl Iptables for FakeIptables {
    fn apply(&mut self, batches: &[Batch]) -> Result<Applied, ApplyError> {
        let mut cost = Applied::default();
        for (index, batch) in batches.iter().enumerate() {
            if batch.ops.is_empty() {
                continue;
            }
            self.attempt(index, batch).map_err(|refusal| {
                self.refused += 1;
                ApplyError::Refused(refusal)
            })?;
            let input = text::restore_input(std::slice::from_ref(batch));
            cost.messages += input.lines().count();
            cost.bytes += input.len();
        }
        self.applied += usize::from(cost.messages > 0);
        self.lines += cost.messages;
        Ok(cost)
    }

    fn observe(&mut self, table: TableId) -> Result<Option<ObservedTable>, CallError> {
        Ok(self.tables.get(&table).map(Table::observed))
    }
}

impl FakeIptables {
    /// Does a batch, or nothing of it.
    fn attempt(&mut self, index: usize, batch: &Batch) -> Result<(), Refusal> {
        let id = batch.table;
        // The kernel registers a table when it is first asked for, whatever becomes of it then.
        let table = self.tables.entry(id).or_insert_with(|| Table::new(id));
        let mut next = table.clone();
        for (op, operation) in batch.ops.iter().enumerate() {
            next.apply(operation).map_err(|why| Refusal {
                batch: index,
                op,
                what: text::op_line(operation, id.family).to_string(),
                why,
                done: index,
            })?;
        }
        next.validate(&self.accounting).map_err(|why| Refusal {
            batch: index,
            op: batch.ops.len(),
            what: "COMMIT".to_owned(),
            why: why.to_owned(),
            done: index,
        })?;
        *table = next;
        Ok(())
    }
}

/// What tests look at and do.
impl FakeIptables {
    /// An iptables without tables.
    pub fn new() -> Self {
        FakeIptables::default()
    }

    /// All tables of a family as `iptables-save` prints them, without its comments: equal for
    /// equal tables.
    pub fn save(&self, family: Family) -> String {
        let mut text = String::new();
        for (id, table) in self.tables.iter().filter(|(id, _)| id.family == family) {
            let _ = writeln!(text, "*{}", id.table.name());
            table.save(&mut text);
            text.push_str("COMMIT\n");
        }
        text
    }

    /// The names of a table's chains that are not built in, sorted.
    pub fn chains(&self, table: TableId) -> Vec<&str> {
        let table = self.tables.get(&table);
        table.map_or_else(Vec::new, |table| {
            table.own_chains().map(|name| &**name).collect()
        })
    }

    /// The rules of a chain in their order; none of a chain that is not there.
    pub fn rules(&self, table: TableId, chain: &str) -> &[Rule] {
        let table = self.tables.get(&table);
        table.map_or(&[], |table| table.rules(chain))
    }

    /// What another program does. It is not counted.
    pub fn play(&mut self, table: TableId, ops: Vec<Op>) -> Result<(), Refusal> {
        self.attempt(0, &Batch { table, ops })
    }

    /// What another program does with `iptables -F; iptables -X`: nothing but the built-in
    /// chains is left, and they are empty.
    pub fn flush(&mut self, table: TableId) {
        if let Some(there) = self.tables.get_mut(&table) {
            *there = Table::new(table);
        }
    }

    /// Makes an accounting object, which a rule that counts in it needs (`nfacct add NAME`).
    pub fn account(&mut self, name: &str) {
        self.accounting.insert(name.to_owned());
    }

    /// How many calls to apply something succeeded.
    pub fn applied(&self) -> usize {
        self.applied
    }

    /// How many were refused.
    pub fn refused(&self) -> usize {
        self.refused
    }

    /// How many lines of text the successful calls took.
    pub fn lines(&self) -> usize {
        self.lines
    }
}
