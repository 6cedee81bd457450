//! Tables, chains, sets, maps and elements, and the operations on them.
//!
//! A [`Batch`] is one transaction on one table: it can be sent to the kernel, printed as text or
//! JSON, or given to the fake. Concatenated keys are laid out as the kernel wants them: every
//! field padded to four bytes (`NFT_REG32_SIZE`, linux/netfilter/nf_tables.h).

use std::sync::Arc;

pub use super::bytes::{Bytes, MAX_KEY, MAX_VALUE, Value};
use super::rule::Rule;

/// The family of a table (`NFPROTO_IPV4`, `NFPROTO_IPV6`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// `ip`.
    Ip,
    /// `ip6`.
    Ip6,
}

/// Names one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableId {
    /// The table's family.
    pub family: Family,
    /// The table's name.
    pub name: &'static str,
}

/// The name of a chain. Shared, since maps refer to chains from many elements.
pub type ChainName = Arc<str>;
/// The name of a set or map. The sets of a table are known when the program is written.
pub type SetName = &'static str;
/// The name of a counter. They too are known when the program is written.
pub type CounterName = &'static str;

/// A chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// The chain's name.
    pub name: ChainName,
    /// Where the kernel calls it, for a base chain.
    pub hook: Option<BaseHook>,
    /// Shown by `nft list`.
    pub comment: Option<&'static str>,
}

/// What makes a chain a base chain; its policy is accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BaseHook {
    /// `filter`, `nat` or `route`.
    pub kind: ChainKind,
    /// The hook.
    pub hook: Hook,
    /// The priority; lower runs earlier.
    pub priority: i32,
}

/// The type of a base chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChainKind {
    /// `type filter`.
    Filter,
    /// `type nat`: sees the first packet of a connection alone.
    Nat,
    /// `type route`, at `output` only: a packet whose mark is changed is routed anew.
    Route,
}

/// A netfilter hook of the IP families.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hook {
    /// `prerouting`.
    Prerouting,
    /// `input`.
    Input,
    /// `forward`.
    Forward,
    /// `output`.
    Output,
    /// `postrouting`.
    Postrouting,
}

/// The type of one field of a key or of a map's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Type {
    /// `ipv4_addr` or `ipv6_addr`, by the table's family.
    Address,
    /// `inet_proto`.
    Protocol,
    /// `inet_service`.
    Port,
    /// What `numgen` gives: a 32-bit integer in the host's byte order.
    Number,
    /// `ct_dir`: 0 for what the client of a connection sends, 1 for the answers.
    Direction,
}

/// What a map holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum DataType {
    /// `verdict`.
    Verdict,
    /// A concatenation of typed fields.
    Fields(&'static [Type]),
}

/// A set, or a map when it has data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// The set's name.
    pub name: SetName,
    /// The fields of a key. Where one is a [`Type::Number`] or the set is `dynamic`, the listing
    /// shows `typeof` and `typeof_key` and `typeof_data` say of what.
    pub key: &'static [Type],
    /// What a map holds; `None` for a set.
    pub data: Option<DataType>,
    /// Keys are ranges: the last field of a concatenation, or the only one. A concatenation has
    /// an address in it.
    pub interval: bool,
    /// Elements are added by rules, and every one has a timeout.
    pub dynamic: bool,
    /// Every element counts the packets whose lookup finds it.
    pub counted: bool,
    /// The most elements it may hold, given for dynamic sets.
    pub size: Option<u32>,
    /// The expressions that the fields of a key come from, for `typeof`.
    pub typeof_key: Option<super::rule::Concat>,
    /// The expressions that the fields of the data come from, for `typeof`.
    pub typeof_data: Option<super::rule::Concat>,
    /// Shown by `nft list`.
    pub comment: Option<&'static str>,
}

impl Set {
    /// A set of single values without a comment; what else it is to be is set by the caller.
    pub fn new(name: SetName, key: &'static [Type]) -> Set {
        Set {
            name,
            key,
            data: None,
            interval: false,
            dynamic: false,
            counted: false,
            size: None,
            typeof_key: None,
            typeof_data: None,
            comment: None,
        }
    }
}

/// A verdict that a map's element gives.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// `drop`.
    Drop,
    /// `goto CHAIN`.
    Goto(ChainName),
    /// `jump CHAIN`.
    Jump(ChainName),
}

/// What an element of a map holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Data {
    /// In a verdict map.
    Verdict(Verdict),
    /// In any other map.
    Value(Value),
}

/// An element of a set or map. Of these there are as many as all else together many times over,
/// so they are kept small.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// The key; of an interval set the first that belongs to the range.
    pub key: Bytes,
    /// The last key that belongs to the range, in an interval set.
    pub key_end: Option<Box<Bytes>>,
    /// What a map holds for it.
    pub data: Option<Data>,
    /// Shown by `nft list`. At most 127 bytes (`NFTNL_UDATA_COMMENT_MAXLEN`); longer ones are cut.
    pub comment: Option<Arc<str>>,
}

impl Element {
    /// A key, and nothing held for it.
    pub fn new(key: Bytes) -> Element {
        Element {
            key,
            key_end: None,
            data: None,
            comment: None,
        }
    }

    /// The keys from `first` to `last`, both included.
    pub fn range(first: Bytes, last: Bytes) -> Element {
        Element {
            key_end: Some(Box::new(last)),
            ..Element::new(first)
        }
    }
}

/// A comment as the kernel will give it back: cut where an element's comment ends.
pub fn comment(text: &str) -> Arc<str> {
    super::userdata::comment_text(text).into()
}

/// One operation of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Makes the table, if it is not there yet.
    AddTable {
        /// Shown by `nft list`.
        comment: &'static str,
    },
    /// Removes the table with all that is in it; refused when there is none.
    DeleteTable,
    /// Makes a chain, if it is not there yet.
    AddChain(Chain),
    /// Removes a chain's rules.
    FlushChain(ChainName),
    /// Removes a chain without rules that nothing refers to.
    DeleteChain(ChainName),
    /// Appends a rule.
    AddRule {
        /// The chain it is appended to.
        chain: ChainName,
        /// The rule.
        rule: Rule,
    },
    /// Removes one rule, by the handle that the kernel has for it; refused when there is none.
    DeleteRule {
        /// The chain it is in.
        chain: ChainName,
        /// The handle, as [`jumps`](super::socket::NftSocket::jumps) gives it.
        handle: u64,
    },
    /// Makes a counter, if it is not there yet. One that is there goes on counting.
    AddCounter {
        /// The counter's name.
        name: CounterName,
        /// Shown by `nft list`.
        comment: &'static str,
    },
    /// Makes a set or map, if it is not there yet.
    AddSet(Set),
    /// Removes a set or map that no rule refers to.
    DeleteSet(SetName),
    /// Removes all elements of a set or map.
    FlushSet(SetName),
    /// Adds elements. Refused when a key is there with other data.
    AddElements {
        /// The set or map.
        set: SetName,
        /// The elements.
        elements: Vec<Element>,
    },
    /// Removes elements. Refused when there is none with a key.
    DeleteElements {
        /// The set or map.
        set: SetName,
        /// The elements, of which only the keys count.
        elements: Vec<Element>,
    },
}

/// The operations on one table, in their order. The batches of a commit succeed or fail together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The table they work on.
    pub table: TableId,
    /// The operations.
    pub ops: Vec<Op>,
}

impl Batch {
    /// How many operations there are. Each element is one.
    pub fn operations(&self) -> usize {
        let operations = |op: &Op| match op {
            Op::AddElements { elements, .. } | Op::DeleteElements { elements, .. } => {
                elements.len()
            }
            _ => 1,
        };
        self.ops.iter().map(operations).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_is_small() {
        // A large cluster has some hundred thousand.
        assert!(size_of::<Element>() <= 104, "{}", size_of::<Element>());
    }
}
