//! A netlink socket: requests, dumps and notifications.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

use rustix::io::{Errno, retry_on_intr};
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};

use super::{Builder, Message, Messages};
use crate::error::CallError;

/// The most bytes that one datagram from the kernel may have. What it makes itself is at most
/// 32 KiB (`netlink_dump` in net/netlink/af_netlink.c); requests are not echoed (NETLINK_CAP_ACK).
const DATAGRAM: usize = 64 * 1024;

/// How often an interrupted dump is begun anew before it is given up.
const DUMP_ATTEMPTS: usize = 20;

/// What is talked about over a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// `NETLINK_NETFILTER`: nf_tables and conntrack.
    Netfilter,
    /// `NETLINK_ROUTE`: links, addresses, routes.
    Route,
    /// `NETLINK_GENERIC`: families that are found by name, such as IPVS's.
    Generic,
}

impl Protocol {
    fn number(self) -> Option<rustix::net::Protocol> {
        match self {
            Protocol::Netfilter => Some(netlink::NETFILTER),
            // NETLINK_ROUTE is 0, which rustix has as the lack of a protocol.
            Protocol::Route => None,
            Protocol::Generic => Some(netlink::GENERIC),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Protocol::Netfilter => "NETLINK_NETFILTER",
            Protocol::Route => "NETLINK_ROUTE",
            Protocol::Generic => "NETLINK_GENERIC",
        }
    }
}

/// A request for the kernel.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// `nlmsg_type`.
    pub kind: u16,
    /// `NLM_F_*` beside those that the way it is sent asks for.
    pub flags: i32,
    /// Names the request in an error, such as `RTM_NEWADDR`.
    pub call: &'static str,
    /// Names in an error what it is about.
    pub object: &'a str,
}

impl<'a> Request<'a> {
    /// A request for all that there is of a kind.
    pub fn for_all(kind: u16, call: &'static str, object: &'a str) -> Request<'a> {
        Request {
            kind,
            flags: 0,
            call,
            object,
        }
    }

    /// The request's failure, with what the kernel said about it.
    fn error(&self, errno: i32, said: Option<&str>) -> CallError {
        let said = said.map(|said| format!(" ({said})")).unwrap_or_default();
        CallError {
            call: self.call,
            object: format!("{}{said}", self.object),
            errno,
        }
    }
}

/// A netlink socket. It belongs to the network namespace that the thread was in that opened it.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    protocol: Protocol,
    port: u32,
    sequence: u32,
    datagram: Box<[u8]>,
}

impl Socket {
    /// Opens a socket that answers with extended acknowledgements (NETLINK_EXT_ACK) and does not
    /// send requests back (NETLINK_CAP_ACK).
    pub fn open(protocol: Protocol) -> Result<Socket, CallError> {
        let name = protocol.name();
        let (family, kind) = (AddressFamily::NETLINK, SocketType::RAW);
        let number = protocol.number();
        let fd = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, number)
            .map_err(failed("socket", name))?;
        // Port 0 lets the kernel choose one.
        rustix::net::bind(&fd, &SocketAddrNetlink::new(0, 0)).map_err(failed("bind", name))?;
        let address = rustix::net::getsockname(&fd)
            .and_then(SocketAddrNetlink::try_from)
            .map_err(failed("getsockname", name))?;
        let datagram = vec![0; DATAGRAM].into_boxed_slice();
        let socket = Socket {
            fd,
            protocol,
            port: address.pid(),
            sequence: 0,
            datagram,
        };
        socket.set_option("NETLINK_EXT_ACK", libc::NETLINK_EXT_ACK, 1)?;
        socket.set_option("NETLINK_CAP_ACK", libc::NETLINK_CAP_ACK, 1)?;
        Ok(socket)
    }

    /// The port (`nlmsg_pid`) that names this socket in messages from the kernel.
    pub fn port(&self) -> u32 {
        self.port
    }

    /// A sequence number (`nlmsg_seq`) that no request on this socket has had.
    pub fn next_sequence(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        self.sequence
    }

    /// What [`Socket::next_sequence`] will return next.
    pub(super) fn peek_sequence(&self) -> u32 {
        self.sequence.wrapping_add(1)
    }

    /// Leaves out `count` sequence numbers, which the caller has used in messages it wrote itself.
    pub fn skip_sequences(&mut self, count: u32) {
        self.sequence = self.sequence.wrapping_add(count);
    }

    /// Has dumps tell only what the header of the request asks for (NETLINK_GET_STRICT_CHK, since
    /// Linux 4.20).
    ///
    /// # Errors
    /// `ENOPROTOOPT` before.
    pub fn ask_strictly(&self) -> Result<(), CallError> {
        const NETLINK_GET_STRICT_CHK: libc::c_int = 12;
        self.set_option("NETLINK_GET_STRICT_CHK", NETLINK_GET_STRICT_CHK, 1)
    }

    /// Joins a multicast group, such as `RTNLGRP_LINK`.
    pub fn join(&self, group: u32) -> Result<(), CallError> {
        self.set_option(
            "NETLINK_ADD_MEMBERSHIP",
            libc::NETLINK_ADD_MEMBERSHIP,
            group.cast_signed(),
        )
    }

    /// Leaves a multicast group.
    pub fn leave(&self, group: u32) -> Result<(), CallError> {
        self.set_option(
            "NETLINK_DROP_MEMBERSHIP",
            libc::NETLINK_DROP_MEMBERSHIP,
            group.cast_signed(),
        )
    }

    /// Makes room for `bytes` on their way to the kernel, beyond `net.core.wmem_max` if this
    /// process may (CAP_NET_ADMIN in the first user namespace), else up to it.
    pub fn set_send_buffer(&self, bytes: usize) -> Result<(), CallError> {
        sockopt::set_socket_send_buffer_size_force(&self.fd, bytes)
            .or_else(|_| sockopt::set_socket_send_buffer_size(&self.fd, bytes))
            .map_err(failed("setsockopt", "SO_SNDBUF"))
    }

    /// Makes room for `bytes` on their way from the kernel, beyond `net.core.rmem_max` if this
    /// process may (CAP_NET_ADMIN in the first user namespace), else up to it.
    pub fn set_receive_buffer(&self, bytes: usize) -> Result<(), CallError> {
        sockopt::set_socket_recv_buffer_size_force(&self.fd, bytes)
            .or_else(|_| sockopt::set_socket_recv_buffer_size(&self.fd, bytes))
            .map_err(failed("setsockopt", "SO_RCVBUF"))
    }

    /// Sends messages to the kernel in one datagram.
    pub fn send(&self, messages: &[u8]) -> Result<(), CallError> {
        retry_on_intr(|| rustix::net::send(&self.fd, messages, SendFlags::empty()))
            .map(|_| ())
            .map_err(failed("send", self.protocol.name()))
    }

    /// Waits for a datagram from the kernel.
    ///
    /// # Errors
    /// `ENOBUFS` when messages were lost because they came faster than they were read.
    pub fn receive(&mut self) -> Result<Messages<'_>, CallError> {
        let length = self
            .fill(RecvFlags::empty())
            .map_err(self.receive_error())?;
        Ok(Messages::new(&self.datagram[..length]))
    }

    /// A datagram from the kernel, or `None` when there is none waiting.
    ///
    /// # Errors
    /// As [`Socket::receive`].
    pub fn try_receive(&mut self) -> Result<Option<Messages<'_>>, CallError> {
        match self.fill(RecvFlags::DONTWAIT) {
            Ok(length) => Ok(Some(Messages::new(&self.datagram[..length]))),
            Err(Errno::AGAIN) => Ok(None),
            Err(errno) => Err(self.receive_error()(errno)),
        }
    }

    /// Sends a request and waits for its acknowledgement.
    ///
    /// # Errors
    /// The kernel's refusal, with what it said about it.
    pub fn request(
        &mut self,
        request: &Request<'_>,
        body: impl FnOnce(&mut Builder),
    ) -> Result<(), CallError> {
        self.query(request, body, |(), _| ())
    }

    /// Sends a request and gives each message that answers it to `collect`.
    ///
    /// # Errors
    /// The kernel's refusal, with what it said about it.
    pub fn query<T: Default>(
        &mut self,
        request: &Request<'_>,
        body: impl FnOnce(&mut Builder),
        mut collect: impl FnMut(&mut T, &Message<'_>),
    ) -> Result<T, CallError> {
        let mut answer = T::default();
        let sequence = self.begin(request, libc::NLM_F_ACK, body)?;
        self.answers(request, sequence, |message| collect(&mut answer, message))?;
        Ok(answer)
    }

    /// Asks for a dump and gives each of its messages to `collect`, in order.
    ///
    /// When what is dumped changed meanwhile (`NLM_F_DUMP_INTR`), all is thrown away and the dump
    /// begins anew, so the answer is consistent.
    ///
    /// # Errors
    /// The kernel's refusal; `EINTR` when the dump was interrupted again and again.
    pub fn dump<T: Default>(
        &mut self,
        request: &Request<'_>,
        body: impl Fn(&mut Builder),
        mut collect: impl FnMut(&mut T, &Message<'_>),
    ) -> Result<T, CallError> {
        for _ in 0..DUMP_ATTEMPTS {
            let mut answer = T::default();
            if self.dump_once(request, &body, |message| collect(&mut answer, message))? {
                return Ok(answer);
            }
        }
        Err(request.error(libc::EINTR, None))
    }

    /// Asks for a dump and gives each of its messages to `collect`, in order. Says whether what
    /// was dumped held still meanwhile.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn dump_once(
        &mut self,
        request: &Request<'_>,
        body: impl FnOnce(&mut Builder),
        mut collect: impl FnMut(&Message<'_>),
    ) -> Result<bool, CallError> {
        let mut interrupted = false;
        let sequence = self.begin(request, libc::NLM_F_DUMP, body)?;
        let end = self.answers(request, sequence, |message| {
            interrupted |= message.has(libc::NLM_F_DUMP_INTR);
            collect(message);
        });
        match end {
            Ok(flags) => Ok(!interrupted && flags & libc::NLM_F_DUMP_INTR == 0),
            Err(error) if error.errno == libc::EINTR => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn begin(
        &mut self,
        request: &Request<'_>,
        flags: i32,
        body: impl FnOnce(&mut Builder),
    ) -> Result<u32, CallError> {
        let sequence = self.next_sequence();
        let flags = libc::NLM_F_REQUEST | flags | request.flags;
        let mut builder = Builder::default();
        builder.message(request.kind, flags, sequence, body);
        self.send(builder.as_slice())?;
        Ok(sequence)
    }

    /// Reads answers up to the acknowledgement or the end of the dump, and returns its flags.
    fn answers(
        &mut self,
        request: &Request<'_>,
        sequence: u32,
        mut collect: impl FnMut(&Message<'_>),
    ) -> Result<i32, CallError> {
        loop {
            for message in self
                .receive()?
                .filter(|message| message.sequence == sequence)
            {
                match message.ack() {
                    None => collect(&message),
                    Some(ack) if ack.errno == 0 => return Ok(i32::from(message.flags)),
                    Some(ack) => return Err(request.error(ack.errno, ack.message)),
                }
            }
        }
    }

    /// Receives a datagram and returns its length.
    fn fill(&mut self, flags: RecvFlags) -> rustix::io::Result<usize> {
        loop {
            let (fd, datagram) = (&self.fd, &mut self.datagram[..]);
            // With MSG_TRUNC the length is that of the datagram, not of what there was room for.
            let (_, length, sender) = retry_on_intr(|| {
                rustix::net::recvfrom(fd, &mut *datagram, flags | RecvFlags::TRUNC)
            })?;
            if length > self.datagram.len() {
                return Err(Errno::MSGSIZE);
            }
            // Another process may send to this port; only the kernel's is 0.
            let sender = sender.and_then(|address| SocketAddrNetlink::try_from(address).ok());
            if sender.is_some_and(|sender| sender.pid() == 0) {
                return Ok(length);
            }
        }
    }

    fn receive_error(&self) -> impl FnOnce(Errno) -> CallError + use<> {
        failed("recv", self.protocol.name())
    }

    #[allow(unsafe_code)]
    fn set_option(
        &self,
        name: &'static str,
        option: libc::c_int,
        value: libc::c_int,
    ) -> Result<(), CallError> {
        let length = size_of_val(&value) as libc::socklen_t;
        let value = ptr::from_ref(&value).cast();
        let fd = self.fd.as_raw_fd();
        // SAFETY: `value` points to an integer that lives until the end of this function, and
        // `length` is its size.
        let result = unsafe { libc::setsockopt(fd, libc::SOL_NETLINK, option, value, length) };
        if result < 0 {
            return Err(CallError::last("setsockopt", name));
        }
        Ok(())
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// For `map_err` after a call that reports an [`Errno`].
fn failed(call: &'static str, object: &'static str) -> impl FnOnce(Errno) -> CallError {
    move |errno| CallError::from_io(call, object, &errno.into())
}
