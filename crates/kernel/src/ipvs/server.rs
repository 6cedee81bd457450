//! Virtual and real servers.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// A protocol that IPVS balances, with its number (IANA's protocol numbers).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Protocol {
    /// TCP.
    Tcp = 6,
    /// UDP.
    Udp = 17,
    /// SCTP.
    Sctp = 132,
}

/// What clients address. It names the virtual server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VirtualAddress {
    /// The address, which also tells the family.
    pub address: IpAddr,
    /// The protocol.
    pub protocol: Protocol,
    /// The port.
    pub port: u16,
}

impl fmt::Display for VirtualAddress {
    /// As `ipvsadm -Ln` shows it: `TCP  10.96.0.10:80`, with one space.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = match self.protocol {
            Protocol::Tcp => "TCP",
            Protocol::Udp => "UDP",
            Protocol::Sctp => "SCTP",
        };
        write!(f, "{protocol} {}", SocketAddr::new(self.address, self.port))
    }
}

/// The longest name of a scheduler (`IP_VS_SCHEDNAME_MAXLEN`, with the zero at its end).
const NAME: usize = 16;

/// The name of a scheduler, such as `rr`. The kernel loads the module `ip_vs_NAME` for it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct SchedulerName([u8; NAME]);

impl SchedulerName {
    /// A name; `None` where the kernel has no room for it, or it has a zero in it.
    pub fn new(name: &str) -> Option<SchedulerName> {
        let mut bytes = [0; NAME];
        let fits = !name.is_empty() && name.len() < NAME && !name.contains('\0');
        fits.then(|| bytes[..name.len()].copy_from_slice(name.as_bytes()))?;
        Some(SchedulerName(bytes))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        let end = self.0.iter().position(|byte| *byte == 0).unwrap_or(NAME);
        // Made of a `str`, and never cut.
        str::from_utf8(&self.0[..end]).unwrap_or_default()
    }
}

impl fmt::Debug for SchedulerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

impl fmt::Display for SchedulerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a virtual server does its work (`IP_VS_SVC_F_*`), but for what is said elsewhere: whether
/// it is persistent, and whether it is in the kernel's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flags(pub u32);

impl Flags {
    /// `IP_VS_SVC_F_SCHED_SH_FALLBACK`, `IP_VS_SVC_F_SCHED_MH_FALLBACK`: to another real server
    /// when the chosen one takes nobody.
    pub const FALLBACK: Flags = Flags(0x8);
    /// `IP_VS_SVC_F_SCHED_SH_PORT`, `IP_VS_SVC_F_SCHED_MH_PORT`: the client's port counts too.
    pub const PORT: Flags = Flags(0x10);

    /// These and others.
    #[must_use]
    pub fn with(self, others: Flags) -> Flags {
        Flags(self.0 | others.0)
    }
}

/// A virtual server without its real servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VirtualServer {
    /// What clients address.
    pub address: VirtualAddress,
    /// Who chooses.
    pub scheduler: SchedulerName,
    /// How.
    pub flags: Flags,
    /// How many seconds a client is sent to the real server that it met, if it is.
    pub persistence: Option<u32>,
}

/// A real server, reached by translation of the destination (`IP_VS_CONN_F_MASQ`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RealServer {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its share; 0: it keeps its connections and gets no new ones.
    pub weight: u32,
}

/// A real server as it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObservedReal {
    /// The real server.
    pub server: RealServer,
    /// It is reached by translation of the destination, and not by a tunnel or another way.
    pub translated: bool,
    /// Connections that are open.
    pub active: u32,
    /// Connections that are about to be forgotten.
    pub inactive: u32,
}

/// How long connections are remembered that nothing is heard of (`ip_vs_timeout_user`), in
/// seconds. 0 leaves what there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timeouts {
    /// Of TCP.
    pub tcp: u32,
    /// Of TCP, when one side has ended.
    pub tcp_fin: u32,
    /// Of UDP.
    pub udp: u32,
}
