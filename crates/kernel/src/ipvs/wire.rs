//! Writes and reads IPVS's messages (linux/ip_vs.h, linux/genetlink.h).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::handle::Op;
use super::server::{
    Flags, ObservedReal, Protocol, RealServer, SchedulerName, Timeouts, VirtualAddress,
    VirtualServer,
};
use crate::netlink::{Attribute, Attributes, Builder, Message};

/// `IPVS_GENL_NAME`: what the family is found by.
pub(super) const FAMILY: &str = "IPVS";

/// `sizeof(struct genlmsghdr)`.
pub(super) const HEADER: usize = 4;

/// `IPVS_GENL_VERSION`.
const VERSION: u8 = 1;

const IPVS_CMD_NEW_SERVICE: u8 = 1;
const IPVS_CMD_SET_SERVICE: u8 = 2;
const IPVS_CMD_DEL_SERVICE: u8 = 3;
pub(super) const IPVS_CMD_GET_SERVICE: u8 = 4;
const IPVS_CMD_NEW_DEST: u8 = 5;
const IPVS_CMD_SET_DEST: u8 = 6;
const IPVS_CMD_DEL_DEST: u8 = 7;
pub(super) const IPVS_CMD_GET_DEST: u8 = 8;
pub(super) const IPVS_CMD_SET_CONFIG: u8 = 12;
pub(super) const IPVS_CMD_GET_INFO: u8 = 15;

const IPVS_CMD_ATTR_SERVICE: u16 = 1;
const IPVS_CMD_ATTR_DEST: u16 = 2;
const IPVS_CMD_ATTR_TIMEOUT_TCP: u16 = 4;
const IPVS_CMD_ATTR_TIMEOUT_TCP_FIN: u16 = 5;
const IPVS_CMD_ATTR_TIMEOUT_UDP: u16 = 6;

const IPVS_SVC_ATTR_AF: u16 = 1;
const IPVS_SVC_ATTR_PROTOCOL: u16 = 2;
const IPVS_SVC_ATTR_ADDR: u16 = 3;
const IPVS_SVC_ATTR_PORT: u16 = 4;
const IPVS_SVC_ATTR_FWMARK: u16 = 5;
const IPVS_SVC_ATTR_SCHED_NAME: u16 = 6;
const IPVS_SVC_ATTR_FLAGS: u16 = 7;
const IPVS_SVC_ATTR_TIMEOUT: u16 = 8;
const IPVS_SVC_ATTR_NETMASK: u16 = 9;

const IPVS_DEST_ATTR_ADDR: u16 = 1;
const IPVS_DEST_ATTR_PORT: u16 = 2;
const IPVS_DEST_ATTR_FWD_METHOD: u16 = 3;
const IPVS_DEST_ATTR_WEIGHT: u16 = 4;
const IPVS_DEST_ATTR_U_THRESH: u16 = 5;
const IPVS_DEST_ATTR_L_THRESH: u16 = 6;
const IPVS_DEST_ATTR_ACTIVE_CONNS: u16 = 7;
const IPVS_DEST_ATTR_INACT_CONNS: u16 = 8;
const IPVS_DEST_ATTR_ADDR_FAMILY: u16 = 11;

/// `IP_VS_SVC_F_PERSISTENT`: clients stay with the real server they met.
const PERSISTENT: u32 = 0x1;

/// `IP_VS_SVC_F_HASHED`, which the kernel adds itself.
const HASHED: u32 = 0x2;

/// `IP_VS_CONN_F_FWD_MASK`: the bits that say how a real server is reached.
const FORWARDING: u32 = 0x7;

/// `IP_VS_CONN_F_MASQ`: by translation of the destination.
const MASQ: u32 = 0;

/// Of persistence: each client by its whole address, for IPv4 as a mask.
const WHOLE_V4: u32 = u32::MAX;

/// The same for IPv6, where it is the length of a prefix.
const WHOLE_V6: u32 = 128;

/// Writes the header of a command.
pub(super) fn header(body: &mut Builder, command: u8) {
    body.raw(&[command, VERSION, 0, 0]);
}

/// Writes the question for the number of the family of this name.
pub(super) fn family_question(body: &mut Builder, name: &str) {
    header(body, libc::CTRL_CMD_GETFAMILY as u8);
    body.string(libc::CTRL_ATTR_FAMILY_NAME as u16, name);
}

/// The number that an answer to [`family_question`] tells.
pub(super) fn family_number(message: &Message<'_>) -> Option<u16> {
    let id = message.attributes(HEADER);
    id.clone().find(libc::CTRL_ATTR_FAMILY_ID as u16)?.u16()
}

/// Writes an operation.
pub(super) fn operation(body: &mut Builder, op: &Op) {
    match op {
        Op::AddServer(server) => whole_server(body, IPVS_CMD_NEW_SERVICE, server),
        Op::EditServer(server) => whole_server(body, IPVS_CMD_SET_SERVICE, server),
        Op::RemoveServer(of) => command(body, IPVS_CMD_DEL_SERVICE, *of),
        Op::AddReal(of, real) => whole_real(body, IPVS_CMD_NEW_DEST, *of, real),
        Op::EditReal(of, real) => whole_real(body, IPVS_CMD_SET_DEST, *of, real),
        Op::RemoveReal(of, address) => {
            command(body, IPVS_CMD_DEL_DEST, *of);
            body.nest(IPVS_CMD_ATTR_DEST, |nest| real_address(nest, *address));
        }
    }
}

/// Writes a command about a virtual server that needs no more than its address.
pub(super) fn command(body: &mut Builder, command: u8, of: VirtualAddress) {
    header(body, command);
    body.nest(IPVS_CMD_ATTR_SERVICE, |nest| server_address(nest, of));
}

/// Writes `IPVS_CMD_SET_CONFIG`. What is left out stays as it is.
pub(super) fn timeouts(body: &mut Builder, timeouts: Timeouts) {
    header(body, IPVS_CMD_SET_CONFIG);
    let values = [
        (IPVS_CMD_ATTR_TIMEOUT_TCP, timeouts.tcp),
        (IPVS_CMD_ATTR_TIMEOUT_TCP_FIN, timeouts.tcp_fin),
        (IPVS_CMD_ATTR_TIMEOUT_UDP, timeouts.udp),
    ];
    for (kind, value) in values.into_iter().filter(|(_, value)| *value > 0) {
        body.u32(kind, value);
    }
}

/// The virtual server that a message tells of; `None` if it is one of a packet mark, or of a
/// protocol that has no name here.
pub(super) fn read_server(message: &Message<'_>) -> Option<VirtualServer> {
    let nest = message.attributes(HEADER).find(IPVS_CMD_ATTR_SERVICE)?;
    let attributes = nest.nested();
    let find = |kind| attributes.clone().find(kind);
    if find(IPVS_SVC_ATTR_FWMARK).is_some() {
        return None;
    }
    let family = find(IPVS_SVC_ATTR_AF)?.u16()?;
    let flags = find(IPVS_SVC_ATTR_FLAGS)?.u32()?;
    let timeout = find(IPVS_SVC_ATTR_TIMEOUT)?.u32()?;
    Some(VirtualServer {
        address: VirtualAddress {
            address: read_address(family, &find(IPVS_SVC_ATTR_ADDR)?)?,
            protocol: protocol(find(IPVS_SVC_ATTR_PROTOCOL)?.u16()?)?,
            port: find(IPVS_SVC_ATTR_PORT)?.be16()?,
        },
        scheduler: SchedulerName::new(find(IPVS_SVC_ATTR_SCHED_NAME)?.str()?)?,
        flags: Flags(flags & !(PERSISTENT | HASHED)),
        persistence: (flags & PERSISTENT != 0).then_some(timeout),
    })
}

/// The real server that a message tells of. The virtual server's `family` is that of kernels
/// before Linux 3.18, which know no other.
pub(super) fn read_real(message: &Message<'_>, of: VirtualAddress) -> Option<ObservedReal> {
    let nest = message.attributes(HEADER).find(IPVS_CMD_ATTR_DEST)?;
    let attributes: Attributes<'_> = nest.nested();
    let find = |kind| attributes.clone().find(kind);
    let number = |kind| find(kind)?.u32();
    let family = find(IPVS_DEST_ATTR_ADDR_FAMILY)
        .and_then(|attribute| attribute.u16())
        .unwrap_or(family(of.address));
    let address = read_address(family, &find(IPVS_DEST_ATTR_ADDR)?)?;
    Some(ObservedReal {
        server: RealServer {
            address: SocketAddr::new(address, find(IPVS_DEST_ATTR_PORT)?.be16()?),
            weight: number(IPVS_DEST_ATTR_WEIGHT)?,
        },
        translated: number(IPVS_DEST_ATTR_FWD_METHOD)? & FORWARDING == MASQ,
        active: number(IPVS_DEST_ATTR_ACTIVE_CONNS)?,
        inactive: number(IPVS_DEST_ATTR_INACT_CONNS)?,
    })
}

fn whole_server(body: &mut Builder, command: u8, server: &VirtualServer) {
    header(body, command);
    let persistent = server.persistence.map_or(0, |_| PERSISTENT);
    let flags = server.flags.0 & !(PERSISTENT | HASHED) | persistent;
    let netmask = match server.address.address {
        IpAddr::V4(_) => WHOLE_V4,
        IpAddr::V6(_) => WHOLE_V6,
    };
    body.nest(IPVS_CMD_ATTR_SERVICE, |nest| {
        server_address(nest, server.address);
        nest.string(IPVS_SVC_ATTR_SCHED_NAME, server.scheduler.as_str());
        // struct ip_vs_flags: the flags, and which of them are meant.
        let (flags, mask) = (flags.to_ne_bytes(), u32::MAX.to_ne_bytes());
        nest.parts(IPVS_SVC_ATTR_FLAGS, &[&flags, &mask]);
        nest.u32(IPVS_SVC_ATTR_TIMEOUT, server.persistence.unwrap_or(0));
        nest.u32(IPVS_SVC_ATTR_NETMASK, netmask);
    });
}

fn whole_real(body: &mut Builder, kind: u8, of: VirtualAddress, real: &RealServer) {
    command(body, kind, of);
    body.nest(IPVS_CMD_ATTR_DEST, |nest| {
        real_address(nest, real.address);
        nest.u32(IPVS_DEST_ATTR_FWD_METHOD, MASQ);
        nest.u32(IPVS_DEST_ATTR_WEIGHT, real.weight);
        nest.u32(IPVS_DEST_ATTR_U_THRESH, 0);
        nest.u32(IPVS_DEST_ATTR_L_THRESH, 0);
    });
}

fn server_address(nest: &mut Builder, of: VirtualAddress) {
    nest.u16(IPVS_SVC_ATTR_AF, family(of.address));
    nest.u16(IPVS_SVC_ATTR_PROTOCOL, of.protocol as u16);
    address(nest, IPVS_SVC_ATTR_ADDR, of.address);
    nest.be16(IPVS_SVC_ATTR_PORT, of.port);
}

fn real_address(nest: &mut Builder, of: SocketAddr) {
    nest.u16(IPVS_DEST_ATTR_ADDR_FAMILY, family(of.ip()));
    address(nest, IPVS_DEST_ATTR_ADDR, of.ip());
    nest.be16(IPVS_DEST_ATTR_PORT, of.port());
}

/// Writes a `union nf_inet_addr`, which has room for either family.
fn address(nest: &mut Builder, kind: u16, address: IpAddr) {
    match address {
        IpAddr::V4(address) => nest.parts(kind, &[&address.octets(), &[0; 12]]),
        IpAddr::V6(address) => nest.bytes(kind, &address.octets()),
    }
}

fn read_address(family: u16, attribute: &Attribute<'_>) -> Option<IpAddr> {
    let bytes = attribute.payload;
    match i32::from(family) {
        libc::AF_INET => Some(Ipv4Addr::from(*bytes.first_chunk::<4>()?).into()),
        libc::AF_INET6 => Some(Ipv6Addr::from(*bytes.first_chunk::<16>()?).into()),
        _ => None,
    }
}

fn family(address: IpAddr) -> u16 {
    match address {
        IpAddr::V4(_) => libc::AF_INET as u16,
        IpAddr::V6(_) => libc::AF_INET6 as u16,
    }
}

fn protocol(number: u16) -> Option<Protocol> {
    let all = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
    all.into_iter().find(|known| *known as u16 == number)
}

#[cfg(test)]
mod tests;
