//! A socket that notices when someone else changes the tables it writes.

use std::os::fd::{AsFd, BorrowedFd};

use super::handle::{CallError, CommitError, Committed, Nft, ObservedTable};
use super::monitor::{LARGE, NftMonitor, Touched};
use super::ruleset::{Batch, TableId};
use super::socket::NftSocket;

/// nf_tables with an eye on others.
#[derive(Debug)]
pub struct WatchedNft {
    socket: NftSocket,
    monitor: NftMonitor,
    touched: bool,
}

impl WatchedNft {
    /// Opens a socket and watches the tables.
    pub fn open(tables: &[TableId]) -> Result<WatchedNft, CallError> {
        let socket = NftSocket::open()?;
        let monitor = NftMonitor::open(tables.into(), socket.port())?;
        Ok(WatchedNft {
            socket,
            monitor,
            touched: false,
        })
    }

    /// Whether someone else may have changed one of the tables since this was last asked.
    pub fn touched(&mut self) -> Result<bool, CallError> {
        let heard = self.monitor.drain()? != Touched::Nothing;
        Ok(std::mem::take(&mut self.touched) || heard)
    }
}

impl Nft for WatchedNft {
    fn commit(&mut self, batches: &[Batch]) -> Result<Committed, CommitError> {
        let operations: usize = batches.iter().map(Batch::operations).sum();
        if operations > LARGE {
            let commit = |socket: &mut NftSocket| socket.commit(batches);
            let (committed, others) = self.monitor.unheard(&mut self.socket, commit)?;
            self.touched |= others;
            committed
        } else {
            self.socket.commit(batches)
        }
    }

    fn observe(&mut self, table: TableId) -> Result<Option<ObservedTable>, CallError> {
        self.socket.observe(table)
    }
}

impl AsFd for WatchedNft {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.monitor.as_fd()
    }
}
