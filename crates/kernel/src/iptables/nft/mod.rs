//! The iptables that is a dialect of nf_tables (`iptables-nft`), over netlink.
//!
//! Its tables are ordinary ones of nf_tables that have iptables' names. What is written is what
//! `iptables-nft` would write, so it prints, checks and deletes these rules like its own, and
//! other programs go on using it on the same tables.

mod extension;
mod find;
mod read;
mod rule;
#[cfg(test)]
mod tests;
mod transaction;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use super::handle::{Applied, ApplyError, Iptables, ObservedTable, Refusal};
use super::ruleset::{Batch, TableId};
use super::text;
use crate::error::CallError;
use crate::netlink::Message;
use crate::nft::monitor::{LARGE, NftMonitor, Touched};
use crate::nft::observe::is_of;
use crate::nft::socket::{NftSocket, each_answer, failed, shortened};
use crate::nft::wire;
pub(crate) use read::has_match;
use transaction::{Place, Subject, Transaction};

/// Whether the kernel has extensions of iptables for nf_tables (CONFIG_NFT_COMPAT). Without them
/// this variant cannot be written.
pub(super) fn has_extensions(nft: &mut NftSocket) -> Result<bool, CallError> {
    read::has_extensions(nft.as_mut())
}

/// The iptables of nf_tables, with an eye on others.
///
/// All batches of an `apply` are one transaction: it is done as a whole or not at all. Tables and
/// built-in chains that are missing are made when an operation needs them, as `iptables-nft` does.
///
/// [`super::ruleset::Op::Remove`] looks for the rule before the transaction begins, among those
/// that are there then. For that it reads the chain (30 ms for 5,000 rules).
///
/// What a transaction costs beside what is in it: the kernel looks at every chain of the table
/// (5 ms for 55,000), and if a rule is added, it follows all rules from every built-in chain that
/// leads to them (`nft_table_validate` in net/netfilter/nf_tables_api.c: 100 ms for 160,000 rules
/// that two of them lead to). It is the same for `iptables-nft`. So changes should come together.
///
/// The descriptor, for poll(2), is readable when [`NftIptables::touched`] may have news.
#[derive(Debug)]
pub struct NftIptables {
    nft: NftSocket,
    monitor: NftMonitor,
    tables: Vec<TableId>,
    is_ours: fn(&str) -> bool,
    touched: bool,
}

impl NftIptables {
    /// Opens a socket, and watches those chains of the tables whose names are ours.
    ///
    /// # Errors
    /// `EPERM` without CAP_NET_ADMIN; `EPROTONOSUPPORT` and `EOPNOTSUPP` when the kernel has no
    /// nf_tables, or no extensions of iptables for it (CONFIG_NFT_COMPAT).
    pub fn open(tables: &[TableId], is_ours: fn(&str) -> bool) -> Result<NftIptables, CallError> {
        let mut nft = NftSocket::open()?;
        read::check_extensions(nft.as_mut())?;
        let monitor = NftMonitor::open(Vec::new(), nft.port())?;
        Ok(NftIptables {
            nft,
            monitor,
            tables: tables.into(),
            is_ours,
            touched: false,
        })
    }

    /// Whether rules can have a match of this name; the kernel loads it if it can.
    pub fn has_match(&mut self, name: &str) -> Result<bool, CallError> {
        read::has_match(self.nft.as_mut(), name)
    }

    /// Whether someone else may have changed what is ours since this was last asked: one of our
    /// chains or a rule in one, or taken a rule away that led to one from another chain.
    pub fn touched(&mut self) -> Result<bool, CallError> {
        let (tables, is_ours) = (&self.tables, self.is_ours);
        let heard = self
            .monitor
            .drain_for(|message| concerns(message, tables, is_ours))?;
        Ok(std::mem::take(&mut self.touched) || heard != Touched::Nothing)
    }
}

impl Iptables for NftIptables {
    fn apply(&mut self, batches: &[Batch]) -> Result<Applied, ApplyError> {
        if batches.iter().all(|batch| batch.ops.is_empty()) {
            return Ok(Applied::default());
        }
        let socket = self.nft.as_mut();
        let found = find::find(socket, batches)?;
        let transaction = Transaction::encode(batches, &found, socket.next_sequence());
        socket.skip_sequences(transaction.messages() as u32);
        if transaction.messages() > LARGE {
            let commit = |nft: &mut NftSocket| commit(nft, &transaction, batches);
            let (committed, others) = self.monitor.unheard(&mut self.nft, commit)?;
            self.touched |= others;
            committed?;
        } else {
            commit(&mut self.nft, &transaction, batches)?;
        }
        Ok(Applied {
            messages: transaction.messages(),
            bytes: transaction.as_slice().len(),
        })
    }

    fn observe(&mut self, table: TableId) -> Result<Option<ObservedTable>, CallError> {
        read::observe(&mut self.nft, table)
    }
}

impl AsFd for NftIptables {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.monitor.as_fd()
    }
}

/// Sends a transaction, and reads what the kernel says of it.
fn commit(
    nft: &mut NftSocket,
    transaction: &Transaction,
    batches: &[Batch],
) -> Result<(), ApplyError> {
    nft.send(transaction.as_slice())?;
    let mut done = false;
    let (mut refused, mut failure) = (None, None);
    let lost = each_answer(nft.as_mut(), |ack| {
        match transaction.subject(ack.sequence) {
            Subject::Other => {}
            _ if ack.errno == 0 => done = true,
            Subject::Whole => failure = Some(failed("commit", ack.errno)),
            // Later ones may have been refused because this was.
            Subject::Operation(place) if refused.is_none() => {
                refused = Some(refusal(batches, place, ack.errno, ack.message));
            }
            Subject::Operation(_) => {}
        }
    })?;
    match (refused, lost.or(failure)) {
        (Some(refused), _) => Err(ApplyError::Refused(refused)),
        _ if done => Ok(()),
        (None, Some(error)) => Err(error.into()),
        (None, None) => Err(failed("commit", libc::EBADMSG).into()),
    }
}

fn refusal(batches: &[Batch], (batch, op): Place, errno: i32, said: Option<&str>) -> Refusal {
    let operation = batches
        .get(batch)
        .and_then(|of| Some((of.ops.get(op)?, of.table.family)));
    let what = operation.map(|(op, family)| text::op_line(op, family).to_string());
    let error = io::Error::from_raw_os_error(errno);
    Refusal {
        batch,
        op,
        what: shortened(&what.unwrap_or_default()),
        why: said.map_or_else(|| error.to_string(), |said| format!("{error} ({said})")),
        done: 0,
    }
}

/// Whether a change is one of something that is ours.
fn concerns(message: &Message<'_>, tables: &[TableId], is_ours: fn(&str) -> bool) -> bool {
    let name = |kind| message.attributes(wire::HEADER).find(kind)?.str();
    let chain = |kind| name(kind).is_some_and(is_ours);
    let target = || read::leads_to(message).is_some_and(is_ours);
    let concerned = match message.kind {
        wire::NFT_MSG_DELTABLE => true,
        wire::NFT_MSG_NEWCHAIN | wire::NFT_MSG_DELCHAIN => chain(wire::NFTA_CHAIN_NAME),
        wire::NFT_MSG_NEWRULE => chain(wire::NFTA_RULE_CHAIN),
        wire::NFT_MSG_DELRULE => chain(wire::NFTA_RULE_CHAIN) || target(),
        _ => false,
    };
    let is_watched = |table: &TableId| is_of(message, read::nft_table(*table));
    concerned && tables.iter().any(is_watched)
}
