//! Options of a socket.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};
use std::ptr;
use std::time::Duration;

use rustix::net::{AddressFamily, sockopt};

use crate::error::CallError;

/// When a peer from which nothing is heard is asked whether it is still there (tcp(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive {
    /// After how long, in whole seconds (`TCP_KEEPIDLE`).
    pub idle: Duration,
    /// How long it has to answer, in whole seconds (`TCP_KEEPINTVL`).
    pub interval: Duration,
    /// How often it is asked (`TCP_KEEPCNT`).
    pub probes: u32,
}

impl Keepalive {
    /// Sockets that a listener accepts have what the listener has.
    pub(super) fn set(&self, fd: impl AsFd) -> Result<(), CallError> {
        let fd = fd.as_fd();
        sockopt::set_socket_keepalive(fd, true).map_err(failed("setsockopt", "SO_KEEPALIVE"))?;
        sockopt::set_tcp_keepidle(fd, self.idle).map_err(failed("setsockopt", "TCP_KEEPIDLE"))?;
        sockopt::set_tcp_keepintvl(fd, self.interval)
            .map_err(failed("setsockopt", "TCP_KEEPINTVL"))?;
        sockopt::set_tcp_keepcnt(fd, self.probes).map_err(failed("setsockopt", "TCP_KEEPCNT"))
    }
}

pub(super) fn family(address: SocketAddr) -> AddressFamily {
    match address.ip() {
        IpAddr::V4(_) => AddressFamily::INET,
        IpAddr::V6(_) => AddressFamily::INET6,
    }
}

/// Lets a socket be bound to any address, and accept what was sent to any (ip(7)).
pub(super) fn set_transparent(fd: impl AsFd, address: SocketAddr) -> Result<(), CallError> {
    match address.ip() {
        IpAddr::V4(_) => set(fd, "IP_TRANSPARENT", libc::SOL_IP, libc::IP_TRANSPARENT, 1),
        IpAddr::V6(_) => set(
            fd,
            "IPV6_TRANSPARENT",
            libc::SOL_IPV6,
            libc::IPV6_TRANSPARENT,
            1,
        ),
    }
}

/// Has bind(2) leave the choice of a port to connect(2), which knows to whom it need not be free.
/// IPv6 sockets have the same option (`ipv6_setsockopt` hands it on).
pub(super) fn leave_port_to_connect(fd: impl AsFd) -> Result<(), CallError> {
    let (name, option) = ("IP_BIND_ADDRESS_NO_PORT", libc::IP_BIND_ADDRESS_NO_PORT);
    set(fd, name, libc::SOL_IP, option, 1)
}

/// Marks what is sent.
pub(super) fn set_mark(fd: impl AsFd, mark: u32) -> Result<(), CallError> {
    let mark = mark.cast_signed();
    set(fd, "SO_MARK", libc::SOL_SOCKET, libc::SO_MARK, mark)
}

#[allow(unsafe_code)]
fn set(
    fd: impl AsFd,
    name: &'static str,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> Result<(), CallError> {
    let length = size_of_val(&value) as libc::socklen_t;
    let value = ptr::from_ref(&value).cast();
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: `value` points to an integer that lives until the end of this function, and `length`
    // is its size.
    let result = unsafe { libc::setsockopt(fd, level, option, value, length) };
    if result < 0 {
        return Err(CallError::last("setsockopt", name));
    }
    Ok(())
}

/// For `map_err` after a call that reports an errno.
pub(super) fn failed(
    call: &'static str,
    object: impl ToString,
) -> impl FnOnce(rustix::io::Errno) -> CallError {
    move |errno| CallError::from_io(call, object.to_string(), &errno.into())
}
