//! The kernel's table of connections (ctnetlink): list them, and make it forget some.
//!
//! A datagram of a known flow goes where the flow's first one went, whatever the rules say by
//! now. So flows whose destination is gone have to be forgotten for the rules to be asked again.

mod fake;
mod socket;
mod wire;

use std::net::{IpAddr, SocketAddr};

use thiserror::Error;

pub use fake::FakeConntrack;
pub use socket::ConntrackSocket;

use crate::error::CallError;

/// The kernel's table of connections or a fake.
pub trait Conntrack {
    /// How many flows there are, of all families and protocols.
    fn count(&mut self) -> Result<usize, ConntrackError>;

    /// The flows that are asked for and `wanted`, in no order. It reads them as they come and
    /// keeps only those, so a large table costs time but not memory. What comes or goes
    /// meanwhile may or may not be among them.
    fn flows(
        &mut self,
        query: &Query,
        wanted: &dyn Fn(&Flow) -> bool,
    ) -> Result<Vec<Flow>, ConntrackError>;

    /// Forgets these flows and no others. A flow that is gone already is as good as deleted, and
    /// one that is refused does not keep the others from being deleted.
    fn delete(&mut self, flows: &[Flow]) -> Result<Deleted, ConntrackError>;
}

/// A family of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// A protocol whose flows have ports, with its number (IANA's protocol numbers).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Protocol {
    /// TCP.
    Tcp = 6,
    /// UDP.
    Udp = 17,
    /// SCTP.
    Sctp = 132,
}

/// Which flows are asked for. The kernel leaves out all others, since Linux 5.8: that is cheap,
/// telling a flow is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query {
    /// The family.
    pub family: Family,
    /// The protocol.
    pub protocol: Protocol,
    /// Where the client thinks that it sends to, if that matters. Of the same family.
    pub address: Option<IpAddr>,
    /// The port there, if that matters.
    pub port: Option<u16>,
}

impl Query {
    /// All flows of a family and protocol.
    pub fn all(family: Family, protocol: Protocol) -> Query {
        Query {
            family,
            protocol,
            address: None,
            port: None,
        }
    }

    /// Whether it asks for this flow.
    pub fn asks_for(&self, flow: &Flow) -> bool {
        (self.family, self.protocol) == (flow.family(), flow.protocol)
            && self
                .address
                .is_none_or(|address| address == flow.original.dst)
            && self.port.is_none_or(|port| port == flow.original.dport)
    }
}

/// A flow as conntrack remembers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Flow {
    /// Its protocol.
    pub protocol: Protocol,
    /// From whom to whom the first packet was, before any translation.
    pub original: Tuple,
    /// From whom to whom answers are, before their translation back.
    pub reply: Tuple,
    /// The destination was translated (`IPS_DST_NAT`): where to is the source of answers, see
    /// [`Flow::translated_destination`].
    pub dnat: bool,
    /// The zone that keeps it apart from equal flows in other zones; 0 is what everybody uses
    /// who does not ask for one.
    pub zone: u16,
    /// What tells it from a later flow with the same addresses (`CTA_ID`), most of the time: it
    /// is made of the place in memory, which may be used again.
    pub id: Option<u32>,
}

impl Flow {
    /// The family of its addresses.
    pub fn family(&self) -> Family {
        match self.original.src {
            IpAddr::V4(_) => Family::V4,
            IpAddr::V6(_) => Family::V6,
        }
    }

    /// Where the client thinks that it sends to.
    pub fn destination(&self) -> SocketAddr {
        (self.original.dst, self.original.dport).into()
    }

    /// Where it really goes, if that is elsewhere by translation.
    pub fn translated_destination(&self) -> Option<SocketAddr> {
        self.dnat.then(|| (self.reply.src, self.reply.sport).into())
    }
}

/// One direction of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tuple {
    /// The sender.
    pub src: IpAddr,
    /// The receiver.
    pub dst: IpAddr,
    /// The sender's port.
    pub sport: u16,
    /// The receiver's port.
    pub dport: u16,
}

/// What became of flows that were to be forgotten.
#[must_use]
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Deleted {
    /// How many were forgotten.
    pub deleted: usize,
    /// How many were gone already.
    pub gone: usize,
    /// Those that are still there, with the error number (errno(3)).
    pub refused: Vec<(Flow, i32)>,
}

/// The table of connections could not be read or written at all.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConntrackError {
    /// The kernel does not offer it.
    #[error(
        "{0}: this kernel does not let its connections be listed; it needs CONFIG_NF_CT_NETLINK \
         (`modprobe nf_conntrack_netlink`)"
    )]
    Unavailable(CallError),
    /// A call failed.
    #[error(transparent)]
    Call(#[from] CallError),
}
