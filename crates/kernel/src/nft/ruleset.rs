//! Tables, chains, sets, maps and elements, and the operations on them.
//!
//! A [`Batch`] is one transaction on one table: it can be sent to the kernel, printed as text or
//! JSON, or given to the fake. Concatenated keys are laid out as the kernel wants them: every
//! field padded to four bytes (`NFT_REG32_SIZE`, linux/netfilter/nf_tables.h).

use std::net::IpAddr;
use std::sync::Arc;

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
    /// `filter` or `nat`.
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
    /// The most elements it may hold, given for dynamic sets.
    pub size: Option<u32>,
    /// The expressions that the fields of a key come from, for `typeof`.
    pub typeof_key: Option<super::rule::Concat>,
    /// The expressions that the fields of the data come from, for `typeof`.
    pub typeof_data: Option<super::rule::Concat>,
    /// Shown by `nft list`.
    pub comment: Option<&'static str>,
}

/// The longest key: two IPv6 addresses, a protocol and a port, or an address, a protocol, a
/// port and an address.
pub const MAX_KEY: usize = 40;

/// The bytes of a key or of a map's data, each field padded to four bytes.
///
/// Addresses and ports are in network byte order, protocols one byte, numbers in the host's
/// byte order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bytes {
    len: u8,
    /// The kernel pads the fields of a concatenation, but not a field that stands alone.
    kernel_len: u8,
    buffer: [u8; MAX_KEY],
}

impl Bytes {
    /// No fields yet.
    pub fn new() -> Bytes {
        Bytes {
            len: 0,
            kernel_len: 0,
            buffer: [0; MAX_KEY],
        }
    }

    /// Appends a field that holds an address.
    #[must_use]
    pub fn address(self, address: IpAddr) -> Bytes {
        match address {
            IpAddr::V4(v4) => self.field(&v4.octets()),
            IpAddr::V6(v6) => self.field(&v6.octets()),
        }
    }

    /// Appends a field that holds a protocol number.
    #[must_use]
    pub fn protocol(self, number: u8) -> Bytes {
        self.field(&[number])
    }

    /// Appends a field that holds a port.
    #[must_use]
    pub fn port(self, port: u16) -> Bytes {
        self.field(&port.to_be_bytes())
    }

    /// Appends a field that holds a number.
    #[must_use]
    pub fn number(self, number: u32) -> Bytes {
        self.field(&number.to_ne_bytes())
    }

    /// The bytes as the kernel has them.
    ///
    /// # Errors
    /// `None` when they are more than [`MAX_KEY`].
    pub fn from_kernel(bytes: &[u8]) -> Option<Bytes> {
        (bytes.len() <= MAX_KEY).then(|| Bytes::new().field(bytes))
    }

    /// The bytes as the kernel wants them: those of a field that stands alone are not padded.
    pub fn as_kernel(&self) -> &[u8] {
        &self.buffer[..usize::from(self.kernel_len)]
    }

    /// The bytes of all fields.
    pub fn as_slice(&self) -> &[u8] {
        &self.buffer[..usize::from(self.len)]
    }

    fn field(mut self, value: &[u8]) -> Bytes {
        let start = usize::from(self.len);
        let end = start + value.len();
        self.buffer[start..end].copy_from_slice(value);
        self.len = end.next_multiple_of(4) as u8;
        self.kernel_len = if start == 0 { end as u8 } else { self.len };
        self
    }
}

impl Default for Bytes {
    fn default() -> Self {
        Bytes::new()
    }
}

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for byte in self.as_slice() {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
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
    Value(Bytes),
}

/// An element of a set or map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// The key; of an interval set the first that belongs to the range.
    pub key: Bytes,
    /// The last key that belongs to the range, in an interval set.
    pub key_end: Option<Bytes>,
    /// What a map holds for it.
    pub data: Option<Data>,
    /// Shown by `nft list`. At most 127 bytes (`NFTNL_UDATA_COMMENT_MAXLEN`); longer ones are cut.
    pub comment: Option<Arc<str>>,
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
    /// Makes a set or map, if it is not there yet.
    AddSet(Set),
    /// Removes a set or map that no rule refers to.
    DeleteSet(SetName),
    /// Removes all elements of a set or map.
    FlushSet(SetName),
    /// Adds an element. Refused when the key is there with other data.
    AddElement {
        /// The set or map.
        set: SetName,
        /// The element.
        element: Element,
    },
    /// Removes an element. Refused when there is none with this key.
    DeleteElement {
        /// The set or map.
        set: SetName,
        /// Its key.
        key: Bytes,
        /// The end of its range, in an interval set.
        key_end: Option<Bytes>,
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
