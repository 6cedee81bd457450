//! The part of the rule language that is needed, as values.
//!
//! Each statement compiles to the expressions that `nft` itself would send, so that `nft list`
//! prints it as it is written here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ipnet::IpNet;

use super::ruleset::{ChainName, CounterName, Family, SetName};

/// A rule: statements from left to right, each of which may end it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rule {
    /// The statements.
    pub statements: Vec<Statement>,
    /// Shown by `nft list`.
    pub comment: Option<&'static str>,
}

impl Rule {
    /// A rule without a comment.
    pub fn new(statements: impl Into<Vec<Statement>>) -> Rule {
        Rule {
            statements: statements.into(),
            comment: None,
        }
    }

    /// The rule with a comment.
    #[must_use]
    pub fn comment(self, comment: &'static str) -> Rule {
        Rule {
            comment: Some(comment),
            ..self
        }
    }
}

/// A value taken from the packet, its connection, or chance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Expr {
    /// `ip saddr` or `ip6 saddr`.
    SourceAddress,
    /// `ip daddr` or `ip6 daddr`.
    DestinationAddress,
    /// `meta l4proto`.
    Protocol,
    /// `th dport`.
    DestinationPort,
    /// `ct original ip daddr`: the address the client asked for, whatever the packet has now.
    OriginalDestination,
    /// `ct original proto-dst`: the port the client asked for. Only after
    /// [`Statement::IsProtocol`], since `nft` otherwise does not know that it is a port.
    OriginalPort,
    /// `ct direction`: whether the packet is of the connection's client or an answer.
    Direction,
    /// `numgen random mod MODULUS offset OFFSET`.
    Random {
        /// How many values there are.
        modulus: u32,
        /// The lowest.
        offset: u32,
    },
}

/// Values side by side: `ip daddr . meta l4proto . th dport`.
pub type Concat = Vec<Expr>;

/// One statement of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    /// `KEY @SET`, or `KEY != @SET`: goes on if the key is (is not) in the set.
    InSet {
        /// The key.
        key: Concat,
        /// The set.
        set: SetName,
        /// `!=`.
        negate: bool,
    },
    /// `ip saddr NET`, `ip daddr != NET`: goes on if the address is (is not) in the network.
    InNet {
        /// [`Expr::SourceAddress`] or [`Expr::DestinationAddress`].
        address: Expr,
        /// The network.
        net: IpNet,
        /// `!=`.
        negate: bool,
    },
    /// `iifname NAME` or `iifname "PREFIX*"`: goes on if the packet came in by it (did not).
    InputInterface {
        /// The interface's name, or how it begins.
        name: String,
        /// `name` is how it begins.
        prefix: bool,
        /// `!=`.
        negate: bool,
    },
    /// `fib saddr type local`, `fib daddr type local`: goes on if this host owns the address.
    IsLocal(Expr),
    /// `meta skuid != 4294967295`: goes on if a socket sends the packet, whosever it is. The number
    /// is nobody's (chown(2)).
    HasSender,
    /// `socket transparent 1`: goes on if the packet's socket is a transparent one
    /// (`IP_TRANSPARENT`, ip(7)). Only in `prerouting`, `input` and `output`; there after
    /// [`Statement::HasSender`], since before Linux 5.18 a packet without a socket is the end of
    /// the host (`nft_socket_eval` in net/netfilter/nft_socket.c).
    IsTransparent,
    /// `ct state new`.
    NewConnection,
    /// `ct state established`: goes on if the connection has been answered.
    Established,
    /// `ct direction original`: goes on if the packet goes the way of the connection's first.
    IsOriginal,
    /// `ct direction reply`: goes on if the packet goes the other way.
    IsReply,
    /// `ct status dnat`: goes on if the connection's destination was translated.
    Translated,
    /// `ct status ! confirmed`: goes on if the packet is the first of its connection.
    Unconfirmed,
    /// `meta l4proto tcp`: goes on if the packet is of the protocol with this number.
    IsProtocol(u8),
    /// `counter name "NAME"`: counts the packet.
    Count(CounterName),
    /// `meta l4proto { tcp, udp, sctp }`: needed before a translation that gives a port.
    HasPorts,
    /// `meta mark & BITS != 0`.
    HasMark(u32),
    /// `meta mark set meta mark | BITS`.
    SetMark(u32),
    /// `meta mark set meta mark ^ BITS`.
    FlipMark(u32),
    /// `ct mark & BITS != 0`: the mark of the connection, which all its packets share.
    HasConnectionMark(u32),
    /// `ct mark set ct mark | BITS`.
    SetConnectionMark(u32),
    /// `ip daddr set KEY map @MAP`: ends the rule if the map has no such key.
    SetDestinationFromMap {
        /// The key.
        key: Concat,
        /// The map.
        map: SetName,
    },
    /// `ip daddr set ct original ip daddr`.
    RestoreDestination,
    /// `update @MAP { KEY timeout T : DATA }`: remembers, or refreshes what is remembered and
    /// leaves its data as it is.
    Update {
        /// The dynamic map.
        map: SetName,
        /// The key.
        key: Concat,
        /// How long without another update it is kept.
        timeout: Duration,
        /// What a new element holds.
        data: Concat,
    },
    /// `delete @MAP { KEY : DATA }`: forgets; the data is not compared.
    Forget {
        /// The dynamic map.
        map: SetName,
        /// The key.
        key: Concat,
        /// Data of the map's type, as the grammar wants.
        data: Concat,
    },
    /// `KEY vmap @MAP`: follows the verdict; the rule ends if the map has no such key.
    VerdictMap {
        /// The key.
        key: Concat,
        /// The map.
        map: SetName,
    },
    /// `dnat ip to KEY map @MAP`: the map gives an address and a port; the rule ends if it has
    /// no such key.
    Dnat {
        /// The key.
        key: Concat,
        /// The map.
        map: SetName,
    },
    /// `tproxy to 127.0.0.1:KEY map @MAP`, of IPv6 `[::1]`: gives the packet to the socket that is
    /// bound to the loopback address and the port that the map holds, and leaves the packet as it
    /// is. A socket that is connected to where the packet comes from is before it. The rule ends if
    /// the map has no such key, or there is no such socket. Only in `prerouting`, and, since
    /// `nft` asks for it, after [`Statement::IsProtocol`] or [`Statement::HasPorts`].
    ///
    /// The socket must be transparent (`IP_TRANSPARENT`, ip(7)), and routing must keep the packet on
    /// this host, whose address its destination need not be.
    Tproxy {
        /// The key.
        key: Concat,
        /// The map, which holds ports.
        map: SetName,
    },
    /// `masquerade fully-random`.
    Masquerade,
    /// `reject`, with ICMP port unreachable (for TCP a reset is not sent, as `nft`'s plain
    /// `reject` does).
    Reject,
    /// `reject with tcp reset`, after [`Statement::IsProtocol`] with TCP. Unlike an ICMP error it
    /// can come from an address that is this host's by a route alone.
    Reset,
    /// `accept`: this table's base chain is done with the packet.
    Accept,
    /// `drop`.
    Drop,
    /// `return`.
    Return,
    /// `jump CHAIN`.
    Jump(ChainName),
    /// `goto CHAIN`.
    Goto(ChainName),
}

/// The user who is none (`INVALID_UID`, linux/uidgid.h).
pub(super) const NOBODY: u32 = u32::MAX;

/// The loopback address that [`Statement::Tproxy`] names.
pub(super) fn loopback(family: Family) -> IpAddr {
    match family {
        Family::Ip => Ipv4Addr::LOCALHOST.into(),
        Family::Ip6 => Ipv6Addr::LOCALHOST.into(),
    }
}
