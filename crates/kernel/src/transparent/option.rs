//! Options of a socket.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::ptr;
use std::time::Duration;

use rustix::io::Errno;
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

/// Binds to a client's address. Its port is free unless another connection of the same client has
/// it: one that is not forgotten yet, or one to another address; then there is another port.
pub(super) fn bind_to_client(fd: &OwnedFd, source: SocketAddr) -> Result<(), CallError> {
    set_transparent(fd, source)?;
    match rustix::net::bind(fd, &source) {
        Err(Errno::ADDRINUSE) => {}
        done => return done.map_err(failed("bind", source)),
    }
    leave_port_to_connect(fd)?;
    let source = SocketAddr::new(source.ip(), 0);
    rustix::net::bind(fd, &source).map_err(failed("bind", source))
}

/// Has bind(2) leave the choice of a port to connect(2), which knows to whom it need not be free.
/// IPv6 sockets have the same option (`ipv6_setsockopt` hands it on).
fn leave_port_to_connect(fd: impl AsFd) -> Result<(), CallError> {
    let (name, option) = ("IP_BIND_ADDRESS_NO_PORT", libc::IP_BIND_ADDRESS_NO_PORT);
    set(fd, name, libc::SOL_IP, option, 1)
}

/// Marks what is sent.
pub(super) fn set_mark(fd: impl AsFd, mark: u32) -> Result<(), CallError> {
    let mark = mark.cast_signed();
    set(fd, "SO_MARK", libc::SOL_SOCKET, libc::SO_MARK, mark)
}

/// Has each datagram come with the address that it was sent to.
pub(super) fn tell_original_destination(
    fd: impl AsFd,
    address: SocketAddr,
) -> Result<(), CallError> {
    let (name, level, option) = match address.ip() {
        IpAddr::V4(_) => ("IP_RECVORIGDSTADDR", libc::SOL_IP, libc::IP_RECVORIGDSTADDR),
        IpAddr::V6(_) => (
            "IPV6_RECVORIGDSTADDR",
            libc::SOL_IPV6,
            libc::IPV6_RECVORIGDSTADDR,
        ),
    };
    set(fd, name, level, option, 1)
}

/// Has a socket receive nothing: its filter drops whatever comes
/// (Documentation/networking/filter.rst).
#[allow(unsafe_code)]
pub(super) fn drop_what_comes(fd: impl AsFd) -> Result<(), CallError> {
    // BPF_RET | BPF_K of 0: none of the packet's bytes pass (linux/filter.h).
    let mut drop_all = libc::sock_filter {
        code: 0x06,
        jt: 0,
        jf: 0,
        k: 0,
    };
    let program = libc::sock_fprog {
        len: 1,
        filter: &raw mut drop_all,
    };
    let (fd, name) = (fd.as_fd().as_raw_fd(), libc::SO_ATTACH_FILTER);
    let length = size_of_val(&program) as libc::socklen_t;
    let value = ptr::from_ref(&program).cast();
    // SAFETY: `value` points to a program of `length` bytes, which points to its one instruction;
    // the kernel copies both before this returns.
    let result = unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, name, value, length) };
    if result < 0 {
        return Err(CallError::last("setsockopt", "SO_ATTACH_FILTER"));
    }
    Ok(())
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
