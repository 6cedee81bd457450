//! What can be asked of iptables: the contract that both variants and the fake keep.

use std::fmt;

use thiserror::Error;

use super::ruleset::{Batch, ChainName, TableId};
pub use crate::error::CallError;

/// iptables, one of the kernel's or a fake.
pub trait Iptables {
    /// Does all operations of all batches. A batch is done at once or not at all; when one
    /// fails, those before it may have been done and those after it are not.
    fn apply(&mut self, batches: &[Batch]) -> Result<Applied, ApplyError>;

    /// Reads what concerns the caller in a table: `None` when there is no such table.
    fn observe(&mut self, table: TableId) -> Result<Option<ObservedTable>, CallError>;
}

/// What applying cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Applied {
    /// Netlink messages or lines of text sent.
    pub messages: usize,
    /// Their size in bytes.
    pub bytes: usize,
}

/// Operations that were not done.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ApplyError {
    /// One was refused.
    #[error("iptables refused {0}")]
    Refused(Refusal),
    /// They could not be asked for, or the answer did not say which was refused.
    #[error(transparent)]
    Call(#[from] CallError),
    /// A program that was run said something else.
    #[error("{program}: {said}")]
    Program {
        /// The program.
        program: String,
        /// What it said.
        said: String,
    },
}

/// An operation that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The index of the batch.
    pub batch: usize,
    /// The index of the operation in the batch; as many as it has when the batch was refused as a
    /// whole, and nobody said for which operation's sake.
    pub op: usize,
    /// The operation, as `iptables-restore` would read it, or `COMMIT`.
    pub what: String,
    /// Why.
    pub why: String,
    /// How many batches were done nevertheless: the first ones.
    pub done: usize,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.why)
    }
}

/// A table as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObservedTable {
    /// The chains that are not built in.
    pub chains: Vec<ChainName>,
    /// The rules of built-in chains that lead to another chain, in the order in which they are.
    pub hooks: Vec<ObservedHook>,
}

/// A rule of a built-in chain that leads to another chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedHook {
    /// The built-in chain.
    pub chain: ChainName,
    /// Where it leads to.
    pub target: ChainName,
    /// Its comment.
    pub comment: Option<String>,
}
