//! Writes operations as one transaction of nf_tables.

use std::collections::HashMap;

use super::super::ruleset::{Batch, Op, Table, TableId};
use super::rule;
use crate::netlink::Builder;
use crate::nft::encode::called_at;
use crate::nft::ruleset::Hook;
use crate::nft::wire;

/// More than an operation without a rule takes.
const OPERATION: usize = 200;

/// Where an operation is: the index of its batch, and its own in the batch.
pub(super) type Place = (usize, usize);

/// What is written depends on what is there.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Built-in chains that are needed and missing, by the operation that needs them first.
    pub(super) missing: HashMap<Place, &'static str>,
    /// The handles of rules that are to be removed.
    pub(super) handles: HashMap<Place, u64>,
}

/// A transaction as the kernel reads it.
pub(super) struct Transaction {
    builder: Builder,
    first_sequence: u32,
    /// The operation that each message is of.
    places: Vec<Place>,
    /// Where the last message is that is of an operation.
    last: usize,
}

/// What an answer of the kernel's is about.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// The transaction as a whole.
    Whole,
    /// One operation of it.
    Operation(Place),
    /// Something else.
    Other,
}

impl Transaction {
    /// Writes all operations of all batches, numbered from `first_sequence` on.
    pub(super) fn encode(batches: &[Batch], found: &Found, first_sequence: u32) -> Transaction {
        let ops = batches.iter().flat_map(|batch| &batch.ops);
        let size = |op: &Op| OPERATION + op.rule().map_or(0, rule::size);
        let mut transaction = Transaction {
            builder: Builder::with_capacity(ops.map(size).sum()),
            first_sequence,
            places: Vec::new(),
            last: 0,
        };
        transaction.boundary(wire::NFNL_MSG_BATCH_BEGIN, 0);
        let batches = batches.iter().enumerate();
        for (index, batch) in batches.filter(|(_, batch)| !batch.ops.is_empty()) {
            let mut writer = Writer {
                transaction: &mut transaction,
                table: batch.table,
                place: (index, 0),
            };
            // Does nothing to a table that is there.
            writer.message(wire::NFT_MSG_NEWTABLE, libc::NLM_F_CREATE, |_| ());
            for (at, op) in batch.ops.iter().enumerate() {
                writer.place = (index, at);
                writer.write(op, found);
            }
        }
        transaction.finish()
    }

    /// The messages.
    pub(super) fn as_slice(&self) -> &[u8] {
        self.builder.as_slice()
    }

    /// How many messages there are, the batch's begin and end among them.
    pub(super) fn messages(&self) -> usize {
        self.places.len() + 2
    }

    /// What the kernel speaks of when it answers the message with this sequence number.
    pub(super) fn subject(&self, sequence: u32) -> Subject {
        let index = sequence.wrapping_sub(self.first_sequence) as usize;
        match index.checked_sub(1) {
            None => Subject::Whole,
            Some(index) => self
                .places
                .get(index)
                .map_or(Subject::Other, |place| Subject::Operation(*place)),
        }
    }

    /// Writes the begin or the end of the batch, `index` messages after the begin.
    fn boundary(&mut self, kind: u16, index: usize) {
        let sequence = self.first_sequence.wrapping_add(index as u32);
        wire::boundary(&mut self.builder, kind, sequence);
    }

    fn finish(mut self) -> Transaction {
        // Before Linux 6.10 the end of a batch is not acknowledged, but the last message in it is.
        self.builder.add_flags(self.last, libc::NLM_F_ACK);
        self.boundary(wire::NFNL_MSG_BATCH_END, self.places.len() + 1);
        self
    }
}

/// Writes the messages of one operation.
struct Writer<'a> {
    transaction: &'a mut Transaction,
    table: TableId,
    place: Place,
}

impl Writer<'_> {
    fn write(&mut self, op: &Op, found: &Found) {
        if let Some(chain) = found.missing.get(&self.place) {
            self.built_in(chain);
        }
        let family = self.table.family;
        match op {
            Op::Create(chain) => self.chain(chain, libc::NLM_F_CREATE | libc::NLM_F_EXCL),
            Op::Declare(chain) => {
                self.chain(chain, libc::NLM_F_CREATE);
                // Without a handle, all rules are meant.
                self.message(wire::NFT_MSG_DELRULE, 0, |body| {
                    body.string(wire::NFTA_RULE_CHAIN, chain);
                });
            }
            Op::Append(chain, rule) => {
                let flags = libc::NLM_F_CREATE | libc::NLM_F_APPEND;
                self.message(wire::NFT_MSG_NEWRULE, flags, |body| {
                    body.string(wire::NFTA_RULE_CHAIN, chain);
                    rule::write(body, family, rule);
                });
            }
            Op::Insert(chain, rule) => {
                self.message(wire::NFT_MSG_NEWRULE, libc::NLM_F_CREATE, |body| {
                    body.string(wire::NFTA_RULE_CHAIN, chain);
                    rule::write(body, family, rule);
                });
            }
            Op::Remove(chain, _) => {
                // No rule has the handle 0.
                let handle = found.handles.get(&self.place).copied().unwrap_or(0);
                self.message(wire::NFT_MSG_DELRULE, 0, |body| {
                    body.string(wire::NFTA_RULE_CHAIN, chain);
                    body.be64(wire::NFTA_RULE_HANDLE, handle);
                });
            }
            // A chain does not take its rules along.
            Op::Delete(chain) => self.message(wire::NFT_MSG_DELCHAIN, libc::NLM_F_NONREC, |body| {
                body.string(wire::NFTA_CHAIN_NAME, chain);
            }),
        }
    }

    fn chain(&mut self, name: &str, flags: i32) {
        self.message(wire::NFT_MSG_NEWCHAIN, flags, |body| {
            body.string(wire::NFTA_CHAIN_NAME, name);
        });
    }

    fn built_in(&mut self, name: &str) {
        let (hook, priority, kind) = base(self.table.table, name);
        self.message(wire::NFT_MSG_NEWCHAIN, libc::NLM_F_CREATE, |body| {
            body.string(wire::NFTA_CHAIN_NAME, name);
            called_at(body, hook, priority, kind);
        });
    }

    /// Writes a message: the table's name, and what `body` writes after it.
    fn message(&mut self, kind: u16, flags: i32, body: impl FnOnce(&mut Builder)) {
        let Transaction {
            builder,
            first_sequence,
            places,
            last,
        } = &mut *self.transaction;
        places.push(self.place);
        *last = builder.len();
        let sequence = first_sequence.wrapping_add(places.len() as u32);
        builder.message(kind, libc::NLM_F_REQUEST | flags, sequence, |builder| {
            wire::header(builder, wire::family_number(self.table.family), 0);
            builder.string(wire::NFTA_TABLE, self.table.table.name());
            body(builder);
        });
    }
}

/// Where the kernel calls a built-in chain: the hook, the priority (`enum nf_ip_hook_priorities`,
/// linux/netfilter_ipv4.h), and the type of the chain.
fn base(table: Table, chain: &str) -> (Hook, i32, &'static str) {
    let hook = match chain {
        "PREROUTING" => Hook::Prerouting,
        "INPUT" => Hook::Input,
        "FORWARD" => Hook::Forward,
        "OUTPUT" => Hook::Output,
        _ => Hook::Postrouting,
    };
    match (table, hook) {
        (Table::Filter, _) => (hook, 0, "filter"),
        (Table::Mangle, Hook::Output) => (hook, -150, "route"),
        (Table::Mangle, _) => (hook, -150, "filter"),
        (Table::Nat, Hook::Prerouting | Hook::Output) => (hook, -100, "nat"),
        (Table::Nat, _) => (hook, 100, "nat"),
    }
}
