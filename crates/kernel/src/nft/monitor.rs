//! Tells when someone else touches our tables.

use std::os::fd::{AsFd, BorrowedFd};

use super::handle::CallError;
use super::observe::is_of;
use super::ruleset::TableId;
use super::socket::NftSocket;
use super::wire;
use crate::netlink::{Message, Protocol, Socket};

/// Room for notifications between two calls of [`NftMonitor::drain`].
const NOTIFICATIONS: usize = 1 << 20;

/// Above so many operations it is better not to listen: the kernel would report each of them.
pub(crate) const LARGE: usize = 512;

/// What has been seen since it was last asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Touched {
    /// Nothing of ours was touched.
    Nothing,
    /// Someone else changed one of our tables.
    Ours,
    /// More was changed than there was room for; one of our tables may be among it.
    Lost,
}

/// Listens to the changes that the kernel reports.
///
/// While anyone listens, the kernel makes a report for each element of a transaction, so before a
/// large transaction of one's own it is better to [pause](NftMonitor::pause): 240,000 elements
/// take half a second without a listener and about four with one. A listener in any network
/// namespace counts, for the kernel does not tell them apart (`netlink_has_listeners` in
/// net/netlink/af_netlink.c). Afterwards,
/// [`super::socket::NftSocket::generation`] has gone up by one for every transaction, and tells if
/// there was another one meanwhile.
///
/// The descriptor, for poll(2), is readable when [`NftMonitor::drain`] has something to read.
#[derive(Debug)]
pub struct NftMonitor {
    socket: Socket,
    tables: Vec<TableId>,
    own_port: u32,
}

impl NftMonitor {
    /// Listens to what happens to `tables`, but for what the socket of port `own_port` does.
    pub fn open(tables: Vec<TableId>, own_port: u32) -> Result<NftMonitor, CallError> {
        let socket = Socket::open(Protocol::Netfilter)?;
        socket.set_receive_buffer(NOTIFICATIONS)?;
        let monitor = NftMonitor {
            socket,
            tables,
            own_port,
        };
        monitor.resume()?;
        Ok(monitor)
    }

    /// Stops listening. What was reported before is still to be drained.
    pub fn pause(&self) -> Result<(), CallError> {
        self.socket.leave(wire::NFNLGRP_NFTABLES)
    }

    /// Listens again.
    pub fn resume(&self) -> Result<(), CallError> {
        self.socket.join(wire::NFNLGRP_NFTABLES)
    }

    /// Has something committed without listening. Returns what came of it, and whether anybody
    /// else committed meanwhile, which the generation tells.
    pub(crate) fn unheard<T, E>(
        &self,
        nft: &mut NftSocket,
        commit: impl FnOnce(&mut NftSocket) -> Result<T, E>,
    ) -> Result<(Result<T, E>, bool), CallError> {
        let before = nft.generation()?;
        self.pause()?;
        let committed = commit(nft);
        self.resume()?;
        let own = u32::from(committed.is_ok());
        let others = nft.generation()? != before.wrapping_add(own);
        Ok((committed, others))
    }

    /// Reads all that has been reported, without waiting.
    pub fn drain(&mut self) -> Result<Touched, CallError> {
        let tables = &self.tables;
        drain(&mut self.socket, self.own_port, |message| {
            is_of_any(message, tables)
        })
    }

    /// Reads all that has been reported, without waiting; what is ours, `is_ours` says.
    pub(crate) fn drain_for(
        &mut self,
        is_ours: impl Fn(&Message<'_>) -> bool,
    ) -> Result<Touched, CallError> {
        drain(&mut self.socket, self.own_port, is_ours)
    }
}

impl AsFd for NftMonitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn drain(
    socket: &mut Socket,
    own_port: u32,
    is_ours: impl Fn(&Message<'_>) -> bool,
) -> Result<Touched, CallError> {
    let mut touched = Touched::Nothing;
    loop {
        match socket.try_receive() {
            Ok(None) => return Ok(touched),
            Ok(Some(mut messages)) => {
                if messages.any(|message| message.port != own_port && is_ours(&message)) {
                    touched = touched.max(Touched::Ours);
                }
            }
            Err(error) if error.errno == libc::ENOBUFS => touched = Touched::Lost,
            Err(error) => return Err(error),
        }
    }
}

/// A change of one of the tables. (That a generation has ended names no table.)
fn is_of_any(message: &Message<'_>, tables: &[TableId]) -> bool {
    message.kind != wire::NFT_MSG_NEWGEN && tables.iter().any(|table| is_of(message, *table))
}
