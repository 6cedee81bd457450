//! nf_tables in memory, for tests: refuses what the kernel refuses, with the same errno.
//!
//! Beyond the kernel it refuses what is always a mistake of ours: a key of other fields than the
//! set has, an interval without its end, a range in a field other than the last, and the removal
//! of a chain that still has rules. And it refuses what Linux 6.18 takes and then does otherwise:
//! a range that is put around another up to the same end, and the removal of a part of a range
//! in a concatenation, which removes all of it.

mod counting;
mod rules;
mod set;
mod table;

use std::collections::BTreeMap;

use self::table::Table;
use super::handle::{CallError, CommitError, Committed, Nft, ObservedTable, Refusal};
use super::rule::Rule;
use super::ruleset::{Batch, Element, Op, TableId};
use super::schema::Schema;
use super::{encode, text};

/// A kernel of a test's own.
#[derive(Debug, Clone, Default)]
pub struct FakeNft {
    tables: Tables,
    commits: usize,
    refused: usize,
    messages: usize,
}

type Tables = BTreeMap<TableId, Table>;

impl Nft for FakeNft {
    fn commit(&mut self, batches: &[Batch]) -> Result<Committed, CommitError> {
        match attempt(&self.tables, batches) {
            Ok(tables) => self.tables = tables,
            Err(refusals) => {
                self.refused += 1;
                return Err(CommitError::Refused(refusals));
            }
        }
        let committed = cost(batches);
        self.commits += 1;
        self.messages += committed.messages;
        Ok(committed)
    }

    fn observe(&mut self, table: TableId) -> Result<Option<ObservedTable>, CallError> {
        Ok(self.tables.get(&table).map(Table::observed))
    }
}

/// What the kernel would be sent.
fn cost(batches: &[Batch]) -> Committed {
    if batches.iter().all(|batch| batch.operations() == 0) {
        return Committed::default();
    }
    let transaction = encode::encode(batches, 0);
    Committed {
        messages: transaction.messages() as usize,
        bytes: transaction.as_slice().len(),
    }
}

/// The tables as all batches leave them, or every operation that was refused.
fn attempt(tables: &Tables, batches: &[Batch]) -> Result<Tables, Vec<Refusal>> {
    let mut next = tables.clone();
    let mut refusals = Vec::new();
    for (place, id, op) in operations(batches) {
        if let Err(failure) = apply(&mut next, id, op) {
            refusals.push(refusal(&next, place, id, op, failure));
        }
    }
    if !refusals.is_empty() {
        return Err(refusals);
    }
    if batches
        .iter()
        .all(|batch| valid(&next, batch.table).is_ok())
    {
        return Ok(next);
    }
    Err(first_invalid(tables, batches).into_iter().collect())
}

/// Whether packets find their way through a table. The kernel looks at the end and, when they do
/// not, does all of it again to see after which operation it was so.
fn first_invalid(tables: &Tables, batches: &[Batch]) -> Option<Refusal> {
    let mut next = tables.clone();
    operations(batches).find_map(|(place, id, op)| {
        let done = apply(&mut next, id, op).and_then(|()| Ok(valid(&next, id)?));
        done.err()
            .map(|failure| refusal(&next, place, id, op, failure))
    })
}

fn valid(tables: &Tables, id: TableId) -> Result<(), i32> {
    tables.get(&id).map_or(Ok(()), Table::validate)
}

/// All operations, with the batch's and the operation's index.
fn operations(batches: &[Batch]) -> impl Iterator<Item = ((usize, usize), TableId, &Op)> {
    let batches = batches.iter().enumerate();
    batches.flat_map(|(at, batch)| {
        let ops = batch.ops.iter().enumerate();
        ops.map(move |(index, op)| ((at, index), batch.table, op))
    })
}

/// Why an operation is refused: the errno, and the element it is about.
struct Failure {
    element: Option<usize>,
    errno: i32,
}

impl From<i32> for Failure {
    fn from(errno: i32) -> Self {
        let element = None;
        Failure { element, errno }
    }
}

fn apply(tables: &mut Tables, id: TableId, op: &Op) -> Result<(), Failure> {
    match op {
        Op::AddTable { comment } => {
            tables.entry(id).or_insert_with(|| Table::new(id, comment));
        }
        Op::DeleteTable => drop(tables.remove(&id).ok_or(libc::ENOENT)?),
        Op::AddElements { set, elements } => {
            each(elements, |element| {
                table_mut(tables, id)?.add_element(set, element)
            })?;
        }
        Op::DeleteElements { set, elements } => {
            each(elements, |element| {
                table_mut(tables, id)?.delete_element(set, element)
            })?;
        }
        _ => table_mut(tables, id)?.apply(op)?,
    }
    Ok(())
}

fn table_mut(tables: &mut Tables, id: TableId) -> Result<&mut Table, i32> {
    tables.get_mut(&id).ok_or(libc::ENOENT)
}

/// Does something with every element, until one is refused.
fn each(
    elements: &[Element],
    mut apply: impl FnMut(&Element) -> Result<(), i32>,
) -> Result<(), Failure> {
    let mut elements = elements.iter().enumerate();
    elements.try_for_each(|(index, element)| {
        apply(element).map_err(|errno| Failure {
            element: Some(index),
            errno,
        })
    })
}

fn refusal(
    tables: &Tables,
    (batch, index): (usize, usize),
    id: TableId,
    op: &Op,
    Failure { element, errno }: Failure,
) -> Refusal {
    let sets = tables.get(&id).into_iter().flat_map(Table::definitions);
    let schema = Schema::new(id, sets);
    Refusal {
        batch,
        op: index,
        element,
        what: text::op_of(&schema, op, element),
        errno,
        message: None,
    }
}

/// What tests look at and do.
impl FakeNft {
    /// A kernel without tables.
    pub fn new() -> Self {
        FakeNft::default()
    }

    /// What a rule does that updates a dynamic set when a packet comes: adds the element, or
    /// leaves the one that is there as it is. The errno when it cannot: `EOPNOTSUPP` for a set
    /// that is not dynamic, `ENFILE` for one that is full.
    pub fn learn(&mut self, table: TableId, set: &str, element: Element) -> Result<(), i32> {
        let table = self.tables.get_mut(&table).ok_or(libc::ENOENT)?;
        table.learn(set, element)
    }

    /// The elements of a set by their keys; none of a set that is not there.
    pub fn elements(&self, table: TableId, set: &str) -> Vec<&Element> {
        let table = self.tables.get(&table);
        table.map_or_else(Vec::new, |table| table.elements(set).collect())
    }

    /// The rules of a chain in their order; none of a chain that is not there.
    pub fn rules(&self, table: TableId, chain: &str) -> &[Rule] {
        let table = self.tables.get(&table);
        table.map_or(&[], |table| table.rules(chain))
    }

    /// The names of a table's chains, sorted.
    pub fn chains(&self, table: TableId) -> Vec<&str> {
        let table = self.tables.get(&table);
        table.map_or_else(Vec::new, |table| table.chain_names().collect())
    }

    /// A batch that would build a table as it is, its chains and sets by their names.
    pub fn batch(&self, table: TableId) -> Option<Batch> {
        self.tables.get(&table).map(Table::batch)
    }

    /// All tables in `nft`'s words, everything sorted: equal for equal kernels.
    pub fn dump(&self) -> String {
        let tables = self.tables.values();
        tables.map(|table| text::script(&table.batch())).collect()
    }

    /// How many transactions succeeded.
    pub fn commits(&self) -> usize {
        self.commits
    }

    /// How many were refused.
    pub fn refused(&self) -> usize {
        self.refused
    }

    /// How many messages the successful transactions took.
    pub fn messages(&self) -> usize {
        self.messages
    }
}
