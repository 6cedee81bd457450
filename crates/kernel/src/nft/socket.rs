//! The kernel's nf_tables, over netlink.

use std::collections::HashMap;
use std::fmt::Write;

use super::encode::{Subject, Transaction, encode};
use super::handle::{CallError, CommitError, Committed, Nft, ObservedTable, Refusal};
pub use super::jumps::Jump;
use super::ruleset::{Batch, Op, Set, SetName, TableId};
use super::schema::Schema;
use super::{jumps, observe, text, wire};
use crate::netlink::{Ack, Protocol, Request, Socket};

/// Room for the answers to one transaction: about two thousand refusals, each of which the kernel
/// accounts some hundred bytes for.
const ANSWERS: usize = 2 << 20;

/// How long the description of a refused operation may be, in characters.
const DESCRIPTION: usize = 160;

/// A socket to the nf_tables of the network namespace it was opened in.
#[derive(Debug)]
pub struct NftSocket {
    socket: Socket,
    /// The sets that were sent over this socket. A refusal may be about an element of theirs.
    sets: HashMap<(TableId, SetName), Set>,
}

impl NftSocket {
    /// Opens a socket and asks the kernel a first question over it.
    ///
    /// # Errors
    /// `EPERM` without CAP_NET_ADMIN; `EPROTONOSUPPORT` and `EOPNOTSUPP` when the kernel has no
    /// nf_tables.
    pub fn open() -> Result<NftSocket, CallError> {
        let socket = Socket::open(Protocol::Netfilter)?;
        socket.set_receive_buffer(ANSWERS)?;
        let mut nft = NftSocket {
            socket,
            sets: HashMap::new(),
        };
        match nft.generation() {
            // What nfnetlink says of a subsystem that it does not know.
            Err(error) if error.errno == libc::EINVAL => Err(CallError {
                errno: libc::EOPNOTSUPP,
                ..error
            }),
            result => result.map(|_| nft),
        }
    }

    /// Opens a socket; `None` when the kernel has no nf_tables.
    ///
    /// # Errors
    /// `EPERM` without CAP_NET_ADMIN.
    pub fn open_if_known() -> Result<Option<NftSocket>, CallError> {
        match NftSocket::open() {
            Err(error) if [libc::EOPNOTSUPP, libc::EPROTONOSUPPORT].contains(&error.errno) => {
                Ok(None)
            }
            socket => socket.map(Some),
        }
    }

    /// The port that the kernel knows this socket by (see [`super::monitor::NftMonitor`]).
    pub fn port(&self) -> u32 {
        self.socket.port()
    }

    /// The generation of the namespace's whole ruleset: another after every transaction, of
    /// whoever.
    pub fn generation(&mut self) -> Result<u32, CallError> {
        let request = Request {
            kind: wire::NFT_MSG_GETGEN,
            flags: 0,
            call: "NFT_MSG_GETGEN",
            object: "nf_tables",
        };
        let answer = self.socket.query(
            &request,
            |body| wire::header(body, 0, 0),
            |generation: &mut Option<u32>, message| {
                let id = message.attributes(wire::HEADER).find(wire::NFTA_GEN_ID);
                *generation = generation.or(id.and_then(|id| id.be32()));
            },
        )?;
        answer.ok_or_else(|| failed("NFT_MSG_GETGEN", libc::EBADMSG))
    }

    /// The rules of a table, whoever made it, that send packets to other chains; none when there
    /// is no such table.
    pub fn jumps(&mut self, table: TableId) -> Result<Vec<Jump>, CallError> {
        jumps::read(&mut self.socket, table)
    }

    fn remember_sets(&mut self, batches: &[Batch]) {
        for batch in batches {
            for op in &batch.ops {
                if let Op::AddSet(set) = op {
                    self.sets.insert((batch.table, set.name), set.clone());
                }
            }
        }
    }

    /// Sends the messages of a transaction, numbered from [`Socket::next_sequence`] on.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<(), CallError> {
        // The kernel doubles it, for what it itself needs to keep the bytes.
        self.socket.set_send_buffer(bytes.len())?;
        self.socket.send(bytes).map_err(|error| match error.errno {
            libc::EMSGSIZE | libc::ENOBUFS => CallError {
                object: format!(
                    "a transaction of {} bytes; raise the sysctl net.core.wmem_max to as much, \
                     or grant CAP_NET_ADMIN in the first user namespace",
                    bytes.len()
                ),
                ..error
            },
            _ => error,
        })
    }

    fn answers(&mut self, batches: &[Batch], transaction: &Transaction) -> Result<(), CommitError> {
        let mut done = false;
        let mut failure = None;
        let mut refusals = Vec::new();
        let lost = each_answer(&mut self.socket, |ack| {
            match transaction.subject(ack.sequence, ack.offset) {
                Subject::Other => {}
                _ if ack.errno == 0 => done = true,
                Subject::Transaction => failure = Some(failed("commit", ack.errno)),
                Subject::Operation { batch, op, element } => {
                    let place = (batch, op, element);
                    refusals.extend(refusal(&self.sets, batches, place, ack));
                }
            }
        })?;
        let failure = lost.or(failure);
        // An operation may take several messages, and each may be refused.
        refusals.dedup_by_key(|refusal| (refusal.batch, refusal.op, refusal.element));
        match failure {
            _ if !refusals.is_empty() => Err(CommitError::Refused(refusals)),
            _ if done => Ok(()),
            Some(error) => Err(error.into()),
            None => Err(failed("commit", libc::EBADMSG).into()),
        }
    }
}

impl Nft for NftSocket {
    fn commit(&mut self, batches: &[Batch]) -> Result<Committed, CommitError> {
        if batches.iter().all(|batch| batch.operations() == 0) {
            return Ok(Committed::default());
        }
        self.remember_sets(batches);
        let transaction = encode(batches, self.socket.next_sequence());
        self.socket.skip_sequences(transaction.messages());
        self.send(transaction.as_slice())?;
        self.answers(batches, &transaction)?;
        Ok(Committed {
            messages: transaction.messages() as usize,
            bytes: transaction.as_slice().len(),
        })
    }

    fn observe(&mut self, table: TableId) -> Result<Option<ObservedTable>, CallError> {
        observe::observe(self, table)
    }
}

impl AsMut<Socket> for NftSocket {
    fn as_mut(&mut self) -> &mut Socket {
        &mut self.socket
    }
}

/// Reads what the kernel says of a transaction. It says all before `send` returns, or as much as
/// there is room for: then the error that says so is returned.
pub(crate) fn each_answer(
    socket: &mut Socket,
    mut hear: impl FnMut(&Ack<'_>),
) -> Result<Option<CallError>, CallError> {
    let mut lost = None;
    loop {
        match socket.try_receive() {
            Ok(None) => return Ok(lost),
            Ok(Some(messages)) => {
                for ack in messages.filter_map(|message| message.ack()) {
                    hear(&ack);
                }
            }
            Err(error) if error.errno == libc::ENOBUFS => lost = Some(error),
            Err(error) => return Err(error),
        }
    }
}

fn refusal(
    sets: &HashMap<(TableId, SetName), Set>,
    batches: &[Batch],
    (batch, op, element): (usize, usize, Option<usize>),
    ack: &Ack<'_>,
) -> Option<Refusal> {
    let Batch { table, ops } = batches.get(batch)?;
    let sets = sets.iter().filter(|((of, _), _)| of == table);
    let schema = Schema::new(*table, sets.map(|(_, set)| set));
    let what = text::op_of(&schema, ops.get(op)?, element);
    Some(Refusal {
        batch,
        op,
        element,
        what: shortened(&what),
        errno: ack.errno,
        message: ack.message.map(str::to_owned),
    })
}

/// The start of a description that may be long.
pub(crate) fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(DESCRIPTION).collect();
    if short.len() < text.len() {
        let _ = write!(short, "…");
    }
    short
}

/// For a transaction as a whole.
pub(crate) fn failed(call: &'static str, errno: i32) -> CallError {
    CallError {
        call,
        object: "nf_tables".to_owned(),
        errno,
    }
}
