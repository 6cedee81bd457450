//! The arguments of iptables' extensions, as the kernel has them: the C structures of
//! linux/netfilter/xt_*.h, in the host's byte order and padded to eight bytes (`XT_ALIGN`).
//!
//! Where `iptables-nft` leaves something behind that means nothing, it is written as well: it
//! compares all of it when it is asked to delete a rule.

use std::net::{IpAddr, SocketAddr};

use super::super::rule::{Probability, Protocol, State};
use crate::nft::ruleset::Family;

/// `NF_NAT_RANGE_MAP_IPS` (linux/netfilter/nf_nat.h).
const MAP_IPS: u32 = 1;
/// `NF_NAT_RANGE_PROTO_SPECIFIED` (linux/netfilter/nf_nat.h).
const PROTO_SPECIFIED: u32 = 1 << 1;
/// `NF_NAT_RANGE_PROTO_RANDOM_FULLY` (linux/netfilter/nf_nat.h).
const PROTO_RANDOM_FULLY: u32 = 1 << 4;

/// `XT_ADDRTYPE_LOCAL` (linux/netfilter/xt_addrtype.h).
const LOCAL: u16 = 1 << 2;

/// A revision of an extension with its arguments.
pub(super) struct Extension<const N: usize> {
    pub(super) name: &'static str,
    pub(super) revision: u32,
    pub(super) info: [u8; N],
}

impl<const N: usize> Extension<N> {
    fn new(name: &'static str, revision: u32) -> Extension<N> {
        Extension {
            name,
            revision,
            info: [0; N],
        }
    }

    /// Puts bytes at an offset into the structure.
    fn put(mut self, at: usize, bytes: &[u8]) -> Extension<N> {
        self.info[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    fn put_u16(self, at: usize, value: u16) -> Extension<N> {
        self.put(at, &value.to_ne_bytes())
    }

    fn put_u32(self, at: usize, value: u32) -> Extension<N> {
        self.put(at, &value.to_ne_bytes())
    }
}

/// `struct xt_comment_info`. At most 255 bytes, for there must be a NUL.
pub(super) fn comment(text: &str) -> Extension<256> {
    Extension::new("comment", 0).put(0, start_of(text, 255))
}

/// `struct xt_tcp`, `struct xt_udp`: any port. (One that is asked for is compared by nf_tables.)
pub(super) fn any_port(protocol: Protocol) -> Extension<16> {
    Extension::new(protocol.name(), 0)
        .put_u16(2, u16::MAX)
        .put_u16(6, u16::MAX)
}

/// `struct xt_sctp_info`.
pub(super) fn sctp(dport: Option<u16>) -> Extension<296> {
    const DEST_PORTS: u32 = 2;
    const NO_CHUNK_TYPE: u8 = 0xff;
    let chunks = (268..280)
        .step_by(3)
        .fold(Extension::new("sctp", 0), |sctp, at| {
            sctp.put(at, &[NO_CHUNK_TYPE])
        });
    match dport {
        Some(port) => chunks
            .put_u16(0, port)
            .put_u16(2, port)
            .put_u32(284, DEST_PORTS),
        None => chunks,
    }
}

/// `struct xt_conntrack_mtinfo3`.
pub(super) fn conntrack(negate: bool, states: &[State]) -> Extension<168> {
    const STATE: u16 = 1;
    let bits = states
        .iter()
        .fold(0, |bits, state| bits | state_bit(*state));
    Extension::new("conntrack", 3)
        .put_u16(146, STATE)
        .put_u16(148, if negate { STATE } else { 0 })
        .put_u16(150, bits)
}

/// `XT_CONNTRACK_STATE_*` (linux/netfilter/xt_conntrack.h).
fn state_bit(state: State) -> u16 {
    match state {
        State::Invalid => 1,
        State::Established => 1 << 1,
        State::Related => 1 << 2,
        State::New => 1 << 3,
        State::Dnat => 1 << 7,
    }
}

/// `struct xt_addrtype_info_v1`: the source is a local address.
pub(super) fn source_is_local() -> Extension<8> {
    Extension::new("addrtype", 1).put_u16(0, LOCAL)
}

/// `struct xt_addrtype_info_v1`: the destination is a local address.
pub(super) fn destination_is_local() -> Extension<8> {
    Extension::new("addrtype", 1).put_u16(2, LOCAL)
}

/// `struct xt_statistic_info`. `iptables` writes the probability a second time, where another
/// mode has a count.
pub(super) fn statistic(Probability(numerator): Probability) -> Extension<24> {
    Extension::new("statistic", 0)
        .put_u32(4, numerator)
        .put_u32(12, numerator)
}

/// `struct xt_recent_mtinfo_v1`: remembers the source.
pub(super) fn remember(family: Family, list: &str) -> Extension<232> {
    const SET: u8 = 1 << 1;
    recent(family, list).put(8, &[SET])
}

/// `struct xt_recent_mtinfo_v1`: asks whether the source was remembered.
pub(super) fn remembered(family: Family, list: &str, seconds: u32) -> Extension<232> {
    const CHECK: u8 = 1;
    const REAP: u8 = 1 << 5;
    recent(family, list)
        .put_u32(0, seconds)
        .put(8, &[CHECK | REAP])
}

/// `iptables` writes the name over `DEFAULT`, and the end of that stays if it is shorter. One
/// that is too long has no NUL, and the kernel refuses it.
fn recent(family: Family, list: &str) -> Extension<232> {
    const NAME: usize = 10;
    const NAME_LEN: usize = 200;
    let name = start_of(list, NAME_LEN);
    let mask: &[u8] = match family {
        Family::Ip => &[0xff; 4],
        Family::Ip6 => &[0xff; 16],
    };
    let recent = Extension::new("recent", 1)
        .put(NAME, b"DEFAULT")
        .put(NAME, name);
    let end = name.len().min(NAME_LEN - 1);
    let terminated = if name.len() < NAME_LEN {
        recent.put(NAME + end, &[0])
    } else {
        recent
    };
    terminated.put(212, mask)
}

/// `struct xt_nfacct_match_info_v1`.
pub(super) fn nfacct(name: &str) -> Extension<40> {
    Extension::new("nfacct", 1).put(0, start_of(name, 31))
}

/// `struct xt_mark_tginfo2`: `(mark & !mask) ^ bits`.
pub(super) fn mark(bits: u32, mask: u32) -> Extension<8> {
    Extension::new("MARK", 2).put_u32(0, bits).put_u32(4, mask)
}

/// `struct nf_nat_ipv4_multi_range_compat`: one range, of any address.
pub(super) fn masquerade4(random_fully: bool) -> Extension<24> {
    Extension::new("MASQUERADE", 0)
        .put_u32(0, 1)
        .put_u32(4, random(random_fully))
}

/// `struct nf_nat_range`: any address.
pub(super) fn masquerade6(random_fully: bool) -> Extension<40> {
    Extension::new("MASQUERADE", 0).put_u32(0, random(random_fully))
}

fn random(fully: bool) -> u32 {
    if fully { PROTO_RANDOM_FULLY } else { 0 }
}

/// `struct nf_nat_range2`: from this address and port to the same.
pub(super) fn dnat(to: SocketAddr) -> Extension<48> {
    let port = to.port().to_be_bytes();
    let dnat = Extension::new("DNAT", 2).put_u32(0, MAP_IPS | PROTO_SPECIFIED);
    let dnat = match to.ip() {
        IpAddr::V4(ip) => dnat.put(4, &ip.octets()).put(20, &ip.octets()),
        IpAddr::V6(ip) => dnat.put(4, &ip.octets()).put(20, &ip.octets()),
    };
    dnat.put(36, &port).put(38, &port)
}

/// `struct ipt_reject_info`, `struct ip6t_reject_info`: port unreachable.
pub(super) fn reject(family: Family) -> Extension<8> {
    let with = match family {
        Family::Ip => 3,
        Family::Ip6 => 4,
    };
    Extension::new("REJECT", 0).put_u32(0, with)
}

/// At most `most` bytes of a text, whole characters.
fn start_of(text: &str, most: usize) -> &[u8] {
    &text.as_bytes()[..text.floor_char_boundary(most)]
}
