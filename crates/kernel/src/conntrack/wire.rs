//! ctnetlink's messages (linux/netfilter/nfnetlink_conntrack.h).

use super::{Family, Flow, Protocol, Query, Tuple};
use crate::netlink::{Attribute, Builder, Message};

/// `IPCTNL_MSG_CT_NEW` of `NFNL_SUBSYS_CTNETLINK`: what a dump consists of.
pub(super) const CT_NEW: u16 = (libc::NFNL_SUBSYS_CTNETLINK << 8) as u16;
/// `IPCTNL_MSG_CT_GET`.
pub(super) const CT_GET: u16 = CT_NEW | 1;
/// `IPCTNL_MSG_CT_DELETE`.
pub(super) const CT_DELETE: u16 = CT_NEW | 2;

/// `IPCTNL_MSG_CT_GET_STATS`.
pub(super) const CT_GET_STATS: u16 = CT_NEW | 5;

/// `sizeof(struct nfgenmsg)` (linux/netfilter/nfnetlink.h).
const NFGENMSG: usize = 4;

// enum ctattr_type
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_STATUS: u16 = 3;
const CTA_ID: u16 = 12;
const CTA_ZONE: u16 = 18;
const CTA_FILTER: u16 = 25;

// enum ctattr_tuple
const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_TUPLE_ZONE: u16 = 3;

// enum ctattr_ip
const CTA_IP_V4_SRC: u16 = 1;
const CTA_IP_V4_DST: u16 = 2;
const CTA_IP_V6_SRC: u16 = 3;
const CTA_IP_V6_DST: u16 = 4;

// enum ctattr_l4proto
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_SRC_PORT: u16 = 2;
const CTA_PROTO_DST_PORT: u16 = 3;

// enum ctattr_filter
const CTA_FILTER_ORIG_FLAGS: u16 = 1;

// enum ctattr_stats_global
const CTA_STATS_GLOBAL_ENTRIES: u16 = 1;

// What of the tuple is compared: `CTA_FILTER_F_CTA_IP_DST`, `CTA_FILTER_F_CTA_PROTO_NUM` and
// `CTA_FILTER_F_CTA_PROTO_DST_PORT` (net/netfilter/nf_internals.h, which is not exported).
const FILTER_BY_ADDRESS: u32 = 1 << 1;
const FILTER_BY_PROTOCOL: u32 = 1 << 3;
const FILTER_BY_PORT: u32 = 1 << 5;

/// `IPS_DST_NAT` (linux/netfilter/nf_conntrack_common.h).
const IPS_DST_NAT: u32 = 1 << 5;

/// Asks for the flows of a family.
pub(super) fn write_dump(body: &mut Builder, family: Family) {
    write_nfgenmsg(body, family);
}

/// Asks for those of a query only, which kernels before 5.8 do not understand: some refuse, some
/// tell all.
///
/// An IPv6 address is left out: the kernel tells the flows of all others instead
/// (`ctnetlink_filter_match_tuple` takes an `ipv6_addr_cmp` of zero for a difference).
pub(super) fn write_filter(body: &mut Builder, query: &Query) {
    let mut flags = FILTER_BY_PROTOCOL;
    body.nest(CTA_TUPLE_ORIG, |tuple| {
        if let (Some(address), Family::V4) = (query.address, query.family) {
            flags |= FILTER_BY_ADDRESS;
            tuple.nest(CTA_TUPLE_IP, |ip| ip.ip(CTA_IP_V4_DST, address));
        }
        tuple.nest(CTA_TUPLE_PROTO, |proto| {
            proto.u8(CTA_PROTO_NUM, query.protocol as u8);
            if let Some(port) = query.port {
                flags |= FILTER_BY_PORT;
                proto.be16(CTA_PROTO_DST_PORT, port);
            }
        });
    });
    body.nest(CTA_FILTER, |filter| {
        filter.u32(CTA_FILTER_ORIG_FLAGS, flags);
    });
}

/// Asks for the number of all flows.
pub(super) fn write_stats(body: &mut Builder) {
    body.raw(&[libc::AF_UNSPEC as u8, libc::NFNETLINK_V0 as u8, 0, 0]);
}

/// Reads the number of all flows.
pub(super) fn parse_count(message: &Message<'_>) -> Option<usize> {
    let mut attributes = message
        .attributes(NFGENMSG)
        .filter(|_| message.kind == CT_GET_STATS);
    let entries = attributes.find(|attribute| attribute.kind == CTA_STATS_GLOBAL_ENTRIES)?;
    usize::try_from(entries.be32()?).ok()
}

/// Names one flow to delete. Without a tuple the kernel would delete all flows, so there is
/// always one.
pub(super) fn write_flow(body: &mut Builder, flow: &Flow) {
    write_nfgenmsg(body, flow.family());
    body.nest(CTA_TUPLE_ORIG, |tuple| write_tuple(tuple, flow));
    if flow.zone != 0 {
        body.be16(CTA_ZONE, flow.zone);
    }
    if let Some(id) = flow.id {
        body.be32(CTA_ID, id);
    }
}

fn write_nfgenmsg(body: &mut Builder, family: Family) {
    let family = match family {
        Family::V4 => libc::AF_INET as u8,
        Family::V6 => libc::AF_INET6 as u8,
    };
    body.raw(&[family, libc::NFNETLINK_V0 as u8, 0, 0]);
}

fn write_tuple(body: &mut Builder, flow: &Flow) {
    let Tuple {
        src,
        dst,
        sport,
        dport,
    } = flow.original;
    let (src_kind, dst_kind) = match flow.family() {
        Family::V4 => (CTA_IP_V4_SRC, CTA_IP_V4_DST),
        Family::V6 => (CTA_IP_V6_SRC, CTA_IP_V6_DST),
    };
    body.nest(CTA_TUPLE_IP, |ip| {
        ip.ip(src_kind, src);
        ip.ip(dst_kind, dst);
    });
    body.nest(CTA_TUPLE_PROTO, |proto| {
        proto.u8(CTA_PROTO_NUM, flow.protocol as u8);
        proto.be16(CTA_PROTO_SRC_PORT, sport);
        proto.be16(CTA_PROTO_DST_PORT, dport);
    });
}

/// Reads a flow, unless it is of another protocol or makes no sense.
pub(super) fn parse_flow(message: &Message<'_>, protocol: Protocol) -> Option<Flow> {
    let (mut original, mut reply, mut status, mut zone, mut id) = (None, None, 0, 0, None);
    if message.kind != CT_NEW {
        return None;
    }
    for attribute in message.attributes(NFGENMSG) {
        match attribute.kind {
            CTA_TUPLE_ORIG => {
                original = Some(parse_tuple(&attribute, protocol)?);
                // A zone for this direction alone stands in the tuple.
                let own_zone = attribute.nested().find(CTA_TUPLE_ZONE);
                zone = own_zone.and_then(|zone| zone.be16()).unwrap_or(zone);
            }
            CTA_TUPLE_REPLY => reply = Some(parse_tuple(&attribute, protocol)?),
            CTA_STATUS => status = attribute.be32()?,
            CTA_ZONE => zone = attribute.be16()?,
            CTA_ID => id = attribute.be32(),
            _ => {}
        }
    }
    let dnat = status & IPS_DST_NAT != 0;
    Some(Flow {
        protocol,
        original: original?,
        reply: reply?,
        dnat,
        zone,
        id,
    })
}

fn parse_tuple(tuple: &Attribute<'_>, protocol: Protocol) -> Option<Tuple> {
    let (mut src, mut dst, mut number, mut sport, mut dport) = (None, None, None, None, None);
    for part in tuple.nested() {
        match part.kind {
            CTA_TUPLE_IP => {
                for attribute in part.nested() {
                    match attribute.kind {
                        CTA_IP_V4_SRC | CTA_IP_V6_SRC => src = attribute.ip(),
                        CTA_IP_V4_DST | CTA_IP_V6_DST => dst = attribute.ip(),
                        _ => {}
                    }
                }
            }
            CTA_TUPLE_PROTO => {
                for attribute in part.nested() {
                    match attribute.kind {
                        CTA_PROTO_NUM => number = attribute.u8(),
                        CTA_PROTO_SRC_PORT => sport = attribute.be16(),
                        CTA_PROTO_DST_PORT => dport = attribute.be16(),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    if number != Some(protocol as u8) {
        return None;
    }
    Some(Tuple {
        src: src?,
        dst: dst?,
        sport: sport?,
        dport: dport?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::netlink::Messages;

    fn tuple(src: &str, dst: &str, sport: u16, dport: u16) -> Tuple {
        Tuple {
            src: src.parse().unwrap(),
            dst: dst.parse().unwrap(),
            sport,
            dport,
        }
    }

    fn flow() -> Flow {
        Flow {
            protocol: Protocol::Udp,
            original: tuple("2001:db8::1", "2001:db8::2", 1025, 53),
            reply: tuple("2001:db8::2", "2001:db8::1", 53, 1025),
            dnat: true,
            zone: 7,
            id: Some(0x0102_0304),
        }
    }

    /// What the kernel answers for [`flow`], with the zone where `write_zone` writes it.
    fn dumped(write_zone: impl Fn(&mut Builder, u16)) -> Builder {
        let (flow, mut builder) = (flow(), Builder::default());
        builder.message(CT_NEW, 0, 0, |body| {
            write_nfgenmsg(body, Family::V6);
            body.nest(CTA_TUPLE_ORIG, |body| {
                write_tuple(body, &flow);
                write_zone(body, CTA_TUPLE_ZONE);
            });
            let answer = Flow {
                original: flow.reply,
                ..flow
            };
            body.nest(CTA_TUPLE_REPLY, |body| write_tuple(body, &answer));
            body.be32(CTA_STATUS, 0x18a | IPS_DST_NAT);
            body.be32(CTA_ID, 0x0102_0304);
            write_zone(body, CTA_ZONE);
        });
        builder
    }

    fn parse(builder: &Builder, protocol: Protocol) -> Option<Flow> {
        Messages::new(builder.as_slice()).find_map(|message| parse_flow(&message, protocol))
    }

    #[test]
    fn a_flow_is_read_with_its_zone_wherever_that_stands() {
        for place in [CTA_ZONE, CTA_TUPLE_ZONE] {
            let zone = |body: &mut Builder, kind| {
                if kind == place {
                    body.be16(kind, 7);
                }
            };
            assert_eq!(parse(&dumped(zone), Protocol::Udp), Some(flow()));
        }
    }

    #[test]
    fn flows_of_other_protocols_are_not_read() {
        assert_eq!(parse(&dumped(|_, _| ()), Protocol::Tcp), None);
    }

    #[test]
    fn a_deletion_always_has_the_whole_tuple() {
        let mut builder = Builder::default();
        builder.message(CT_DELETE, 0, 0, |body| write_flow(body, &flow()));
        let message = Messages::new(builder.as_slice()).next().unwrap();
        let tuple = message.attributes(NFGENMSG).find(CTA_TUPLE_ORIG).unwrap();
        assert_eq!(parse_tuple(&tuple, Protocol::Udp), Some(flow().original));
        assert_eq!(
            message.attributes(NFGENMSG).find(CTA_ZONE).unwrap().be16(),
            Some(7)
        );
    }

    proptest! {
        #[test]
        fn a_damaged_answer_is_read_without_panic(at in 16usize..200, byte: u8, cut in 0usize..220) {
            let mut bytes = dumped(|_, _| ()).as_slice().to_vec();
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
            bytes.truncate(cut);
            let length = bytes.len() as u32;
            if let Some(place) = bytes.first_chunk_mut() {
                *place = length.to_ne_bytes();
            }
            for message in Messages::new(&bytes) {
                let _ = parse_flow(&message, Protocol::Udp);
            }
        }
    }
}
