//! Tells when someone else touches our rules and routes.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd};

use super::wire;
use crate::error::CallError;
use crate::netlink::{Protocol, Socket};

/// Room for notifications between two calls of [`RoutingMonitor::drain`]: all routes of the host are
/// told of, and some daemons change thousands at once.
const NOTIFICATIONS: usize = 1 << 20;

/// Listens to what happens to rules and routes.
#[derive(Debug)]
pub(super) struct RoutingMonitor {
    socket: Socket,
    /// The port of the socket that our own changes are made by.
    ours: u32,
    /// The tables that we have routes in, or rules that lead to.
    tables: BTreeSet<u32>,
}

impl RoutingMonitor {
    pub(super) fn open(ours: u32) -> Result<RoutingMonitor, CallError> {
        let socket = Socket::open(Protocol::Route)?;
        socket.set_receive_buffer(NOTIFICATIONS)?;
        for group in [
            libc::RTNLGRP_IPV4_RULE,
            libc::RTNLGRP_IPV6_RULE,
            libc::RTNLGRP_IPV4_ROUTE,
            libc::RTNLGRP_IPV6_ROUTE,
        ] {
            socket.join(group)?;
        }
        Ok(RoutingMonitor {
            socket,
            ours,
            tables: BTreeSet::new(),
        })
    }

    /// Whatever happens to these tables is news from now on.
    pub(super) fn watch(&mut self, tables: impl IntoIterator<Item = u32>) {
        self.tables.extend(tables);
    }

    /// Reads all that has been reported, without waiting, and says whether there was news.
    pub(super) fn drain(&mut self) -> Result<bool, CallError> {
        let mut news = false;
        loop {
            match self.socket.try_receive() {
                Ok(None) => return Ok(news),
                Ok(Some(mut messages)) => {
                    let (ours, tables) = (self.ours, &self.tables);
                    news |= messages.any(|message| {
                        message.port != ours
                            && wire::is_about(&message, |table| tables.contains(&table))
                    });
                }
                // More came than there was room for; some of it may have been about ours.
                Err(error) if error.errno == libc::ENOBUFS => news = true,
                Err(error) => return Err(error),
            }
        }
    }
}

impl AsFd for RoutingMonitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
