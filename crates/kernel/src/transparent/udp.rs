//! UDP: listeners that tell where each datagram was sent to, sockets that answer from there, and
//! sockets to endpoints.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;

use rustix::net::{SocketFlags, SocketType, sockopt};

use super::option::{
    bind_to_client, drop_what_comes, failed, family, set_mark, set_transparent,
    tell_original_destination,
};
use crate::error::CallError;

/// Neither blocks nor is it a child's.
const FLAGS: SocketFlags = SocketFlags::NONBLOCK.union(SocketFlags::CLOEXEC);

/// How many bytes of datagrams may wait at a listener: a few thousand small ones, since each costs
/// the kernel about 1 KiB. The usual limit (`net.core.rmem_default`) is a burst of 200.
const WAITING: usize = 2 << 20;

/// Listens at `address` for datagrams that rules bring there, whatever address they were sent to.
/// [`Batch`](super::Batch) receives them.
///
/// # Errors
/// `EADDRINUSE` if somebody else listens there; `EPERM` without `CAP_NET_ADMIN`.
pub fn listen(address: SocketAddr) -> Result<UdpSocket, CallError> {
    let fd = socket(address)?;
    set_transparent(&fd, address)?;
    tell_original_destination(&fd, address)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&fd, true).map_err(failed("setsockopt", "IPV6_V6ONLY"))?;
    }
    // Beyond `net.core.rmem_max` it takes a capability of the host's own user namespace (socket(7)).
    sockopt::set_socket_recv_buffer_size_force(&fd, WAITING)
        .or_else(|_| sockopt::set_socket_recv_buffer_size(&fd, WAITING))
        .map_err(failed("setsockopt", "SO_RCVBUF"))?;
    rustix::net::bind(&fd, &address).map_err(failed("bind", address))?;
    Ok(UdpSocket::from(fd))
}

/// Where nobody sends from: the port of the service `discard` (RFC 863), on this host.
const NOBODY: u16 = 9;

/// A socket that sends from an address and port, whosever they are. It receives nothing: what is
/// sent there is for others, and is refused by the kernel where there are none. There may be several
/// of one address.
///
/// # Errors
/// `EADDRINUSE` if a socket of somebody else has that port and does not share it
/// (`SO_REUSEADDR`).
pub fn speak_as(address: SocketAddr) -> Result<UdpSocket, CallError> {
    let fd = socket(address)?;
    set_transparent(&fd, address)?;
    sockopt::set_socket_reuseaddr(&fd, true).map_err(failed("setsockopt", "SO_REUSEADDR"))?;
    // Before it is bound, so that not one datagram ends up here.
    drop_what_comes(&fd)?;
    rustix::net::bind(&fd, &address).map_err(failed("bind", address))?;
    // A filter alone would swallow what the kernel has to refuse. The kernel finds a socket with a
    // peer for what that peer sends alone; sending to somebody else is allowed all the same.
    let nobody = SocketAddr::new(loopback(address), NOBODY);
    rustix::net::connect(&fd, &nobody).map_err(failed("connect", nobody))?;
    Ok(UdpSocket::from(fd))
}

fn loopback(address: SocketAddr) -> IpAddr {
    match address {
        SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    }
}

/// How to call an endpoint.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    /// The mark of what is sent (`SO_MARK`); 0: none.
    pub mark: u32,
    /// As whom, if not as this host. With the same port if that is free, else with another.
    pub source: Option<SocketAddr>,
}

/// A socket that sends to an endpoint and receives from it alone. If nobody listens there, the next
/// call after the endpoint's host has said so fails with `ECONNREFUSED`.
///
/// # Errors
/// `EAGAIN` of the call `connect` says that no port is free (net.ipv4.ip_local_port_range).
pub fn connect(to: SocketAddr, call: &Call) -> Result<UdpSocket, CallError> {
    let fd = socket(to)?;
    if call.mark != 0 {
        set_mark(&fd, call.mark)?;
    }
    if let Some(source) = call.source {
        bind_to_client(&fd, source)?;
    }
    rustix::net::connect(&fd, &to).map_err(failed("connect", to))?;
    Ok(UdpSocket::from(fd))
}

fn socket(address: SocketAddr) -> Result<OwnedFd, CallError> {
    rustix::net::socket_with(family(address), SocketType::DGRAM, FLAGS, None)
        .map_err(failed("socket", address))
}
