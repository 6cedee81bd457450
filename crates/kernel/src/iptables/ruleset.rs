//! Tables, and the operations on them.
//!
//! A [`Batch`] changes one table at once: it can be printed for `iptables-restore`, sent to the
//! kernel or given to the fake. Its operations are in an order in which each chain is there
//! before a rule leads to it.

pub use crate::nft::ruleset::{ChainName, Family};

use super::rule::Rule;

/// A table of iptables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Table {
    /// `filter`.
    Filter,
    /// `nat`.
    Nat,
    /// `mangle`.
    Mangle,
}

impl Table {
    /// All of them, in the order in which they are written.
    pub const ALL: [Table; 3] = [Table::Filter, Table::Nat, Table::Mangle];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Table::Filter => "filter",
            Table::Nat => "nat",
            Table::Mangle => "mangle",
        }
    }

    /// The chains that the kernel calls, which are there as long as the table is.
    pub fn built_in(self) -> &'static [&'static str] {
        match self {
            Table::Filter => &["INPUT", "FORWARD", "OUTPUT"],
            Table::Nat => &["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"],
            Table::Mangle => &["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"],
        }
    }
}

/// Names a table of one family: `iptables` or `ip6tables`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableId {
    /// The family.
    pub family: Family,
    /// The table.
    pub table: Table,
}

/// Operations on one table. They happen all at once or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The table.
    pub table: TableId,
    /// What to do, in order.
    pub ops: Vec<Op>,
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// `-N CHAIN`: makes a chain that must not be there yet.
    Create(ChainName),
    /// `:CHAIN - [0:0]`: makes a chain, or empties it if it is there.
    Declare(ChainName),
    /// `-A CHAIN RULE`.
    Append(ChainName, Rule),
    /// `-I CHAIN RULE`: before all other rules of the chain.
    Insert(ChainName, Rule),
    /// `-D CHAIN RULE`: removes the first rule that is equal to this one; there must be one.
    Remove(ChainName, Rule),
    /// `-X CHAIN`: removes a chain, which must be empty and have nothing lead to it.
    Delete(ChainName),
}

impl Op {
    /// The chain that it is about.
    pub fn chain(&self) -> &ChainName {
        match self {
            Op::Create(chain)
            | Op::Declare(chain)
            | Op::Append(chain, _)
            | Op::Insert(chain, _)
            | Op::Remove(chain, _)
            | Op::Delete(chain) => chain,
        }
    }

    /// The rule that it is about.
    pub fn rule(&self) -> Option<&Rule> {
        match self {
            Op::Append(_, rule) | Op::Insert(_, rule) | Op::Remove(_, rule) => Some(rule),
            Op::Create(_) | Op::Declare(_) | Op::Delete(_) => None,
        }
    }
}
