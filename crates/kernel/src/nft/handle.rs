//! What can be asked of nf_tables: the contract that the kernel's socket and the fake both keep.

use std::fmt;

use thiserror::Error;

use super::ruleset::{BaseHook, Batch, Element, TableId};
pub use crate::error::CallError;

/// nf_tables, the kernel's or a fake.
pub trait Nft {
    /// Makes all operations of all batches true in one transaction, or none.
    fn commit(&mut self, batches: &[Batch]) -> Result<Committed, CommitError>;

    /// Reads a table back: `None` when there is no such table.
    fn observe(&mut self, table: TableId) -> Result<Option<ObservedTable>, CallError>;
}

/// What a successful commit cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Committed {
    /// Netlink messages sent.
    pub messages: usize,
    /// Their size in bytes.
    pub bytes: usize,
}

/// A transaction that the kernel refused; nothing of it was done.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CommitError {
    /// Operations were refused.
    #[error("the kernel refused the transaction: {}", list(.0))]
    Refused(Vec<Refusal>),
    /// The transaction could not be sent or answered.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// An operation that the kernel refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The index of the batch in the commit.
    pub batch: usize,
    /// The index of the operation in the batch.
    pub op: usize,
    /// The index of the element in the operation, if it has any: when the kernel did not say
    /// which, of the first that went to it in the same message.
    pub element: Option<usize>,
    /// The operation in `nft`'s words, with this element alone, shortened.
    pub what: String,
    /// The error number (errno(3)).
    pub errno: i32,
    /// What the kernel said about it, by NETLINK_EXT_ACK.
    pub message: Option<String>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {}",
            self.what,
            std::io::Error::from_raw_os_error(self.errno)
        )?;
        self.message
            .as_ref()
            .map_or(Ok(()), |message| write!(f, " ({message})"))
    }
}

fn list(refusals: &[Refusal]) -> String {
    refusals
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

/// A table as it is in the kernel. Rules are not read: they are written anew when in doubt.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObservedTable {
    /// The table's comment.
    pub comment: Option<String>,
    /// Its chains.
    pub chains: Vec<ObservedChain>,
    /// Its named sets and maps.
    pub sets: Vec<ObservedSet>,
}

/// A chain as it is in the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedChain {
    /// The chain's name.
    pub name: String,
    /// Where the kernel calls it, for a base chain. `None` also for a kind of hook that
    /// [`BaseHook`] does not know; then `foreign` is set.
    pub hook: Option<BaseHook>,
    /// The chain has a hook, type or flag that [`BaseHook`] does not know.
    pub foreign: bool,
}

/// A set or map as it is in the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedSet {
    /// The set's name.
    pub name: String,
    /// `NFTA_SET_KEY_LEN` in bytes.
    pub key_len: u32,
    /// `NFTA_SET_DATA_LEN` in bytes, for a map that is not a verdict map.
    pub data_len: Option<u32>,
    /// The set is a verdict map.
    pub verdict_map: bool,
    /// `NFT_SET_INTERVAL`.
    pub interval: bool,
    /// `NFT_SET_EVAL`: rules add elements.
    pub dynamic: bool,
    /// Every element counts.
    pub counted: bool,
    /// `NFTA_SET_DESC_SIZE`.
    pub size: Option<u32>,
    /// Its elements, sorted by their keys; not read for a dynamic set, whose elements are the packets' own.
    pub elements: Vec<Element>,
}
