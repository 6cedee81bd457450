//! Writes a transaction as netlink messages: one per operation, but of elements, which most of a
//! large transaction is, as many as fit.

mod element;
pub(crate) mod expression;
mod rule;
mod set;
#[cfg(test)]
mod tests;

use super::ruleset::{Batch, Chain, ChainKind, Element, Hook, Op, TableId};
use super::{userdata, wire};
use crate::netlink::{Attribute, Builder, Messages};

/// `struct nlmsghdr` and `struct nfgenmsg`.
const HEADERS: usize = 16 + wire::HEADER;

/// `sizeof(struct nlattr)`.
const ATTRIBUTE_HEADER: usize = 4;

/// About what an element takes beside its key and comment: the headers of four attributes, and
/// an address and a port or a verdict with a short name.
const ELEMENT: usize = 48;

/// A transaction as the kernel reads it.
#[derive(Debug)]
pub(super) struct Transaction {
    builder: Builder,
    first_sequence: u32,
    origins: Vec<Origin>,
}

/// Where in the batches a message comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Origin {
    batch: usize,
    op: usize,
    /// The first of the operation's elements in the message, and how many more there are; `None`
    /// when it is of no elements.
    elements: Option<(usize, usize)>,
    /// Where in the buffer the message starts.
    start: usize,
}

impl Transaction {
    /// The messages.
    pub(super) fn as_slice(&self) -> &[u8] {
        self.builder.as_slice()
    }

    /// How many messages there are, the batch's begin and end among them.
    pub(super) fn messages(&self) -> u32 {
        self.origins.len() as u32 + 2
    }

    /// What the kernel speaks of when it answers the message with this sequence number; with an
    /// offset, what in that message.
    pub(super) fn subject(&self, sequence: u32, offset: Option<u32>) -> Subject {
        let index = sequence.wrapping_sub(self.first_sequence) as usize;
        let Some(index) = index.checked_sub(1) else {
            return Subject::Transaction;
        };
        let Some(origin) = self.origins.get(index) else {
            return Subject::Other;
        };
        let element = origin.elements.map(|(first, more)| {
            let message = self.as_slice().get(origin.start..).unwrap_or_default();
            let before = offset.map_or(0, |offset| elements_before(message, offset as usize));
            first + before.min(more)
        });
        Subject::Operation {
            batch: origin.batch,
            op: origin.op,
            element,
        }
    }
}

/// What an answer of the kernel's is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    /// The transaction as a whole.
    Transaction,
    /// One operation of it.
    Operation {
        /// The index of its batch.
        batch: usize,
        /// Its index in the batch.
        op: usize,
        /// The index of its element, if it has any: of the first in the message when the offset
        /// does not say which.
        element: Option<usize>,
    },
    /// Something else.
    Other,
}

/// Writes all operations of all batches, numbered from `first_sequence` on.
pub(super) fn encode(batches: &[Batch], first_sequence: u32) -> Transaction {
    let ops = batches.iter().flat_map(|batch| &batch.ops);
    let capacity = ops.map(estimated_size).sum::<usize>() + 2 * HEADERS;
    let mut encoder = Encoder {
        builder: Builder::with_capacity(capacity),
        first_sequence,
        origins: Vec::new(),
        next_set_id: 1,
    };
    encoder.boundary(wire::NFNL_MSG_BATCH_BEGIN, 0);
    for (index, batch) in batches.iter().enumerate() {
        for (at, op) in batch.ops.iter().enumerate() {
            let mut writer = OpWriter {
                encoder: &mut encoder,
                table: batch.table,
                batch: index,
                op: at,
            };
            writer.write(op);
        }
    }
    encoder.finish()
}

/// Enough for most operations of their kind; the buffer grows when it is not.
fn estimated_size(op: &Op) -> usize {
    let size = |element: &Element| {
        let comment = element.comment.as_ref().map_or(0, |text| 8 + text.len());
        ELEMENT + element.key.as_slice().len() + comment
    };
    match op {
        Op::AddElements { elements, .. } | Op::DeleteElements { elements, .. } => {
            512 + elements.iter().map(size).sum::<usize>()
        }
        _ => 512,
    }
}

struct Encoder {
    builder: Builder,
    first_sequence: u32,
    origins: Vec<Origin>,
    /// Names sets within the transaction (`NFTA_SET_ID`).
    next_set_id: u32,
}

impl Encoder {
    /// Writes the begin or the end of the batch, `index` messages after the begin.
    fn boundary(&mut self, kind: u16, index: usize) {
        let sequence = self.first_sequence.wrapping_add(index as u32);
        wire::boundary(&mut self.builder, kind, sequence);
    }

    fn finish(mut self) -> Transaction {
        // Before Linux 6.10 the end of a batch is not acknowledged, but the last message in it is.
        if let Some(last) = self.origins.last() {
            self.builder.add_flags(last.start, libc::NLM_F_ACK);
        }
        self.boundary(wire::NFNL_MSG_BATCH_END, self.origins.len() + 1);
        Transaction {
            builder: self.builder,
            first_sequence: self.first_sequence,
            origins: self.origins,
        }
    }
}

/// Writes the messages of one operation.
struct OpWriter<'a> {
    encoder: &'a mut Encoder,
    table: TableId,
    batch: usize,
    op: usize,
}

impl OpWriter<'_> {
    fn write(&mut self, op: &Op) {
        match op {
            Op::AddTable { comment } => self.message(wire::NFT_MSG_NEWTABLE, |body| {
                comment_of(body, wire::NFTA_TABLE_USERDATA, Some(comment));
            }),
            Op::DeleteTable => self.message(wire::NFT_MSG_DELTABLE, |_| ()),
            Op::AddChain(chain) => {
                self.message(wire::NFT_MSG_NEWCHAIN, |body| add_chain(body, chain));
            }
            Op::FlushChain(chain) => self.message(wire::NFT_MSG_DELRULE, |body| {
                body.string(wire::NFTA_RULE_CHAIN, chain);
            }),
            Op::DeleteChain(chain) => self.message(wire::NFT_MSG_DELCHAIN, |body| {
                body.string(wire::NFTA_CHAIN_NAME, chain);
            }),
            Op::DeleteRule { chain, handle } => self.message(wire::NFT_MSG_DELRULE, |body| {
                body.string(wire::NFTA_RULE_CHAIN, chain);
                body.be64(wire::NFTA_RULE_HANDLE, *handle);
            }),
            Op::AddRule { chain, rule } => self.add_rule(chain, rule),
            Op::AddCounter { name, comment } => self.message(wire::NFT_MSG_NEWOBJ, |body| {
                body.string(wire::NFTA_OBJ_NAME, name);
                body.be32(wire::NFTA_OBJ_TYPE, wire::NFT_OBJECT_COUNTER);
                body.nest(wire::NFTA_OBJ_DATA, set::zero);
                comment_of(body, wire::NFTA_OBJ_USERDATA, Some(comment));
            }),
            Op::AddSet(set) => self.add_set(set),
            Op::DeleteSet(set) => self.message(wire::NFT_MSG_DELSET, |body| {
                body.string(wire::NFTA_SET_NAME, set);
            }),
            // Without elements, all are meant.
            Op::FlushSet(set) => self.message(wire::NFT_MSG_DELSETELEM, |body| {
                body.string(wire::NFTA_SET_ELEM_LIST_SET, set);
            }),
            Op::AddElements { set, elements } => {
                self.elements(wire::NFT_MSG_NEWSETELEM, set, elements);
            }
            Op::DeleteElements { set, elements } => {
                self.elements(wire::NFT_MSG_DELSETELEM, set, elements);
            }
        }
    }

    /// Writes a message: the table's name, and what `body` writes after it.
    fn message(&mut self, kind: u16, body: impl FnOnce(&mut Builder)) {
        let Encoder {
            builder,
            first_sequence,
            origins,
            ..
        } = &mut *self.encoder;
        origins.push(Origin {
            batch: self.batch,
            op: self.op,
            elements: None,
            start: builder.len(),
        });
        let sequence = first_sequence.wrapping_add(origins.len() as u32);
        builder.message(kind, flags(kind), sequence, |builder| {
            wire::header(builder, wire::family_number(self.table.family), 0);
            builder.string(wire::NFTA_TABLE, self.table.name);
            body(builder);
        });
    }

    fn next_set_id(&mut self) -> u32 {
        let id = self.encoder.next_set_id;
        self.encoder.next_set_id += 1;
        id
    }
}

/// What makes what is not there yet says so; rules go to the end of their chain; a chain does not
/// take its rules along.
fn flags(kind: u16) -> i32 {
    let more = match kind {
        wire::NFT_MSG_NEWTABLE
        | wire::NFT_MSG_NEWCHAIN
        | wire::NFT_MSG_NEWSET
        | wire::NFT_MSG_NEWOBJ
        | wire::NFT_MSG_NEWSETELEM => libc::NLM_F_CREATE,
        wire::NFT_MSG_NEWRULE => libc::NLM_F_CREATE | libc::NLM_F_APPEND,
        wire::NFT_MSG_DELCHAIN => libc::NLM_F_NONREC,
        _ => 0,
    };
    libc::NLM_F_REQUEST | more
}

fn add_chain(body: &mut Builder, chain: &Chain) {
    body.string(wire::NFTA_CHAIN_NAME, &chain.name);
    if let Some(base) = &chain.hook {
        called_at(body, base.hook, base.priority, kind_name(base.kind));
    }
    comment_of(body, wire::NFTA_CHAIN_USERDATA, chain.comment);
}

/// Writes what makes a chain a base chain: where the kernel calls it, as what type, and that it
/// accepts.
pub(crate) fn called_at(body: &mut Builder, hook: Hook, priority: i32, kind: &str) {
    body.nest(wire::NFTA_CHAIN_HOOK, |nest| {
        nest.be32(wire::NFTA_HOOK_HOOKNUM, hook_number(hook));
        nest.be32(wire::NFTA_HOOK_PRIORITY, priority.cast_unsigned());
    });
    body.be32(wire::NFTA_CHAIN_POLICY, wire::NF_ACCEPT.cast_unsigned());
    body.string(wire::NFTA_CHAIN_TYPE, kind);
}

/// Writes the comment of a table, chain, rule or counter. An empty one is none.
fn comment_of(body: &mut Builder, kind: u16, comment: Option<&str>) {
    if let Some(comment) = comment.filter(|comment| !comment.is_empty()) {
        body.bytes(kind, &userdata::comment(comment));
    }
}

/// `enum nf_inet_hooks` (linux/netfilter.h).
pub(crate) fn hook_number(hook: Hook) -> u32 {
    match hook {
        Hook::Prerouting => 0,
        Hook::Input => 1,
        Hook::Forward => 2,
        Hook::Output => 3,
        Hook::Postrouting => 4,
    }
}

/// The name that the kernel and `nft` have for a type of base chain.
pub(super) fn kind_name(kind: ChainKind) -> &'static str {
    match kind {
        ChainKind::Filter => "filter",
        ChainKind::Nat => "nat",
        ChainKind::Route => "route",
    }
}

/// How many of our elements the message has before the one that `offset` points into.
fn elements_before(message: &[u8], offset: usize) -> usize {
    let position = |element: &Attribute<'_>| {
        element.payload.as_ptr().addr() - message.as_ptr().addr() - ATTRIBUTE_HEADER
    };
    let attributes = Messages::new(message)
        .next()
        .map(|m| m.attributes(wire::HEADER));
    let list = attributes.and_then(|a| a.find(wire::NFTA_SET_ELEM_LIST_ELEMENTS));
    list.iter()
        .flat_map(Attribute::nested)
        .take_while(|element| position(element) <= offset)
        .filter(|element| !element::is_end(element))
        .count()
        .saturating_sub(1)
}
