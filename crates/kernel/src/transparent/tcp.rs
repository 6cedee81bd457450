//! TCP: listeners, connections in and out.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{SendFlags, Shutdown, SocketFlags, SocketType, sockopt};

use super::option::{Keepalive, bind_to_client, failed, family, set_mark, set_transparent};
use crate::error::CallError;

/// Neither blocks nor is it a child's.
const FLAGS: SocketFlags = SocketFlags::NONBLOCK.union(SocketFlags::CLOEXEC);

/// A peer that is gone is an error, not a signal.
const AT_ONCE: SendFlags = SendFlags::NOSIGNAL.union(SendFlags::DONTWAIT);

/// Listens at `address` for connections that rules bring there, whatever address they were made
/// to. An IPv6 listener takes no IPv4.
///
/// # Errors
/// `EADDRINUSE` if somebody else listens there; `EPERM` without `CAP_NET_ADMIN`.
pub fn listen(address: SocketAddr, keepalive: &Keepalive) -> Result<OwnedFd, CallError> {
    let fd = rustix::net::socket_with(family(address), SocketType::STREAM, FLAGS, None)
        .map_err(failed("socket", address))?;
    set_transparent(&fd, address)?;
    // Connections that are over, but not forgotten yet, must not keep the port.
    sockopt::set_socket_reuseaddr(&fd, true).map_err(failed("setsockopt", "SO_REUSEADDR"))?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&fd, true).map_err(failed("setsockopt", "IPV6_V6ONLY"))?;
    }
    // What is accepted inherits these.
    set_nodelay(&fd)?;
    keepalive.set(&fd)?;
    rustix::net::bind(&fd, &address).map_err(failed("bind", address))?;
    // The kernel has its own limit, net.core.somaxconn.
    rustix::net::listen(&fd, i32::MAX).map_err(failed("listen", address))?;
    Ok(fd)
}

/// Has a listener listen no more, whoever else has its descriptor: the port is free for another
/// one, and [`accept`] fails with `EINVAL`.
pub fn stop_listening(listener: impl AsFd) -> Result<(), CallError> {
    rustix::net::shutdown(listener, Shutdown::Read).map_err(failed("shutdown", "a listener"))
}

/// A connection that waits to be accepted, and who made it. Its local address is the one that it
/// was made to.
///
/// # Errors
/// Those of accept(2); `EAGAIN` if none waits.
pub fn accept(listener: impl AsFd) -> io::Result<(TcpStream, SocketAddr)> {
    let (fd, client) = rustix::net::acceptfrom_with(listener, FLAGS)?;
    // A peer that has reset its connection already has an address all the same.
    let client = client.ok_or(Errno::CONNABORTED)?;
    Ok((TcpStream::from(fd), SocketAddr::try_from(client)?))
}

/// How to call an endpoint.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    /// The mark of what is sent (`SO_MARK`); 0: none.
    pub mark: u32,
    /// As whom, if not as this host. With the same port if that is free, else with another.
    pub source: Option<SocketAddr>,
    /// When it is asked whether it is still there.
    pub keepalive: Keepalive,
    /// Something is sent as soon as the connection is made. It acknowledges the endpoint's answer,
    /// too, which else is a packet of its own (`TCP_QUICKACK`, tcp(7)).
    pub speaks_at_once: bool,
}

/// Begins a connection. It is made when the socket can be written to and has no error (`SO_ERROR`).
///
/// # Errors
/// Of the call `connect` if it is clear at once that nobody answers; of any other if this host
/// cannot call. `EADDRNOTAVAIL` of `connect` says that no port is free.
pub fn connect(to: SocketAddr, call: &Call) -> Result<TcpStream, CallError> {
    let fd = rustix::net::socket_with(family(to), SocketType::STREAM, FLAGS, None)
        .map_err(failed("socket", to))?;
    if call.mark != 0 {
        set_mark(&fd, call.mark)?;
    }
    set_nodelay(&fd)?;
    call.keepalive.set(&fd)?;
    if call.speaks_at_once {
        sockopt::set_tcp_quickack(&fd, false).map_err(failed("setsockopt", "TCP_QUICKACK"))?;
    }
    if let Some(source) = call.source {
        bind_to_client(&fd, source)?;
    }
    match rustix::net::connect(&fd, &to) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(TcpStream::from(fd)),
        Err(errno) => Err(failed("connect", to)(errno)),
    }
}

/// Whether something was received that nobody has read yet (`FIONREAD`, tcp(7)).
pub fn has_received(fd: impl AsFd) -> bool {
    // A socket that cannot tell has nothing.
    rustix::io::ioctl_fionread(fd).is_ok_and(|bytes| bytes > 0)
}

/// Sends as much as there is room for.
///
/// # Errors
/// Those of send(2); `EAGAIN` if there is no room.
pub fn send(fd: impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    Ok(rustix::net::send(fd, bytes, AT_ONCE)?)
}

/// The same, but what does not fill a packet waits for what follows at once, as [`finish`] or
/// closing: then one packet has both (`MSG_MORE`, send(2)).
///
/// # Errors
/// Those of [`send`].
pub fn send_last(fd: impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    Ok(rustix::net::send(fd, bytes, AT_ONCE | SendFlags::MORE)?)
}

/// Says to the peer that no more is sent to it. It may go on sending.
pub fn finish(fd: impl AsFd) -> io::Result<()> {
    rustix::net::shutdown(fd, Shutdown::Write)?;
    Ok(())
}

/// Has the peer be told, when the socket is closed, that the connection was cut off (RST): what it
/// had not received yet is lost.
pub fn reset_when_closed(fd: impl AsFd) -> io::Result<()> {
    sockopt::set_socket_linger(fd, Some(Duration::ZERO))?;
    Ok(())
}

/// Small messages do not wait for others.
fn set_nodelay(fd: &OwnedFd) -> Result<(), CallError> {
    sockopt::set_tcp_nodelay(fd, true).map_err(failed("setsockopt", "TCP_NODELAY"))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    const KEEPALIVE: Keepalive = Keepalive {
        idle: Duration::from_mins(1),
        interval: Duration::from_secs(15),
        probes: 4,
    };

    /// Whether an endpoint knows of a connection that was made, before something is sent on it, and
    /// after.
    fn is_known(speaks_at_once: bool) -> [bool; 2] {
        let endpoint = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        endpoint.set_nonblocking(true).unwrap();
        let call = Call {
            mark: 0,
            source: None,
            keepalive: KEEPALIVE,
            speaks_at_once,
        };
        let stream = connect(endpoint.local_addr().unwrap(), &call).unwrap();
        let before = endpoint.accept();
        assert_eq!(send(&stream, b"hello").unwrap(), 5);
        let after = before.is_ok() || endpoint.accept().is_ok();
        [before.is_ok(), after]
    }

    #[test]
    fn the_first_that_is_sent_acknowledges_the_answer() {
        assert_eq!(is_known(false), [true, true]);
        // On a machine that stands still for 200 ms the kernel waits no longer (TCP_DELACK_MAX).
        assert!((0..5).any(|_| is_known(true) == [false, true]));
    }

    #[test]
    fn a_socket_knows_whether_something_was_received() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        assert!(!has_received(&stream));
        send(&peer, b"!").unwrap();
        assert!(has_received(&stream));
    }
}
