//! What can be asked of IPVS: the contract that the kernel's socket and the fake both keep.

use std::fmt;
use std::net::SocketAddr;

use super::server::{
    ObservedReal, RealServer, SchedulerName, Timeouts, VirtualAddress, VirtualServer,
};
use crate::error::CallError;

/// IPVS, the kernel's or a fake.
pub trait Ipvs {
    /// Carries operations out in their order. There are no transactions: an operation that is
    /// refused does not keep the others from being carried out.
    ///
    /// # Errors
    /// Nothing is known of what was carried out.
    fn apply(&mut self, ops: &[Op]) -> Result<Applied, CallError>;

    /// All virtual servers but those of packet marks, in no order.
    fn servers(&mut self) -> Result<Vec<VirtualServer>, CallError>;

    /// The real servers of a virtual server; none if there is no such virtual server.
    fn reals(&mut self, of: VirtualAddress) -> Result<Vec<ObservedReal>, CallError>;

    /// Sets how long connections are remembered: all that is to be set, or nothing.
    ///
    /// # Errors
    /// `EINVAL` for more than the kernel can count, which is 24 days or more (`INT_MAX / HZ`).
    fn set_timeouts(&mut self, timeouts: Timeouts) -> Result<(), CallError>;
}

/// An operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// Adds a virtual server. Refused: `EEXIST`; `ENOENT` where the kernel has no such scheduler.
    AddServer(VirtualServer),
    /// Changes a virtual server. Refused: `ESRCH`; `ENOENT` as above.
    EditServer(VirtualServer),
    /// Removes a virtual server with its real servers. Refused: `ESRCH`.
    RemoveServer(VirtualAddress),
    /// Adds a real server. Refused: `ESRCH` without the virtual server, `EEXIST`.
    AddReal(VirtualAddress, RealServer),
    /// Changes a real server's weight. Refused: `ESRCH`, `ENOENT` without the real server.
    EditReal(VirtualAddress, RealServer),
    /// Removes a real server; what is open to it has nowhere to go. Refused: `ESRCH`, `ENOENT`.
    RemoveReal(VirtualAddress, SocketAddr),
}

impl Op {
    /// The virtual server that it is about.
    pub fn server(&self) -> VirtualAddress {
        match self {
            Op::AddServer(server) | Op::EditServer(server) => server.address,
            Op::RemoveServer(of)
            | Op::AddReal(of, _)
            | Op::EditReal(of, _)
            | Op::RemoveReal(of, _) => *of,
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Op::AddServer(server) => write!(f, "add {} {}", server.address, server.scheduler),
            Op::EditServer(server) => write!(f, "change {} {}", server.address, server.scheduler),
            Op::RemoveServer(of) => write!(f, "remove {of}"),
            Op::AddReal(of, real) => write!(f, "add {of} -> {real}"),
            Op::EditReal(of, real) => write!(f, "change {of} -> {real}"),
            Op::RemoveReal(of, real) => write!(f, "remove {of} -> {real}"),
        }
    }
}

impl fmt::Display for RealServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} weight {}", self.address, self.weight)
    }
}

impl Op {
    /// Whether an operation that is refused with this is done all the same: what is to go is gone.
    pub fn is_done_despite(&self, errno: i32) -> bool {
        let goes = match self {
            Op::RemoveServer(_) | Op::RemoveReal(..) => true,
            Op::EditReal(_, real) => real.weight == 0,
            Op::AddServer(_) | Op::EditServer(_) | Op::AddReal(..) => false,
        };
        goes && [libc::ENOENT, libc::ESRCH].contains(&errno)
    }

    /// The scheduler that the kernel does not have, and could not load, if that is why it refused
    /// the operation with this.
    pub fn missing_scheduler(&self, errno: i32) -> Option<SchedulerName> {
        match self {
            Op::AddServer(server) | Op::EditServer(server) => {
                (errno == libc::ENOENT).then_some(server.scheduler)
            }
            _ => None,
        }
    }
}

/// What came of operations.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Applied {
    /// Netlink messages sent.
    pub messages: usize,
    /// Their size in bytes.
    pub bytes: usize,
    /// What was refused, in order.
    pub refused: Vec<Refusal>,
}

/// An operation that the kernel refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The operation's index.
    pub op: usize,
    /// The error number (errno(3)).
    pub errno: i32,
}
