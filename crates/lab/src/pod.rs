//! Pods: servers that answer with who they are.
//!
//! Every address of a namespace is a pod that answers over TCP and UDP, and those that are told to
//! over SCTP, with `<address that was asked> <port> <address that asked>`.

use std::io::{self, IoSlice, IoSliceMut, PipeReader, PipeWriter, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::thread::{self, JoinHandle};

use fairlead_kernel::error::CallError;
use fairlead_kernel::netns::Netns;
use nix::cmsg_space;
use nix::errno::Errno;
use nix::libc::in6_pktinfo;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::sockopt::Ipv6RecvPacketInfo;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn6, recvmsg, sendmsg, setsockopt,
};
use socket2::{Domain, Protocol, Socket, Type};

/// The ports that the pods of a lab answer on.
pub const PORTS: [u16; 5] = [8080, 8081, 8443, 9376, 5353];

/// More than a test opens at once.
const BACKLOG: i32 = 1024;

/// The pods of some namespaces. They answer until this value is dropped.
#[derive(Debug)]
pub struct Pods {
    thread: Option<JoinHandle<()>>,
    /// The thread ends when it is closed.
    stop: Option<PipeWriter>,
}

impl Pods {
    /// Starts to answer on these ports at every address that the namespaces have or will have.
    pub fn start(namespaces: &[&Netns], ports: &[u16]) -> Result<Pods, CallError> {
        let mut servers = Vec::new();
        for netns in namespaces {
            // A socket stays in the namespace it was made in, whoever uses it.
            servers.extend(netns.run(|| listen(ports))??);
        }
        Pods::answer(servers)
    }

    /// Starts to answer over SCTP at one address of a namespace. `EPROTONOSUPPORT` if the kernel
    /// has no SCTP.
    ///
    /// No socket can be for all addresses as those of TCP and UDP are: one of SCTP tells its peer
    /// which addresses it has, and of those that are a host's by a route alone it does not know.
    pub fn start_sctp(netns: &Netns, at: SocketAddr) -> Result<Pods, CallError> {
        let listener = netns.run(|| listen_stream(at, Protocol::SCTP))?;
        let failed = |error| CallError::from_io("bind", format!("SCTP {at}"), &error);
        Pods::answer(vec![Server::Stream(listener.map_err(failed)?, at.port())])
    }

    fn answer(servers: Vec<Server>) -> Result<Pods, CallError> {
        let (stopped, stop) =
            io::pipe().map_err(|error| CallError::from_io("pipe", "stop", &error))?;
        let thread = thread::Builder::new()
            .name("pods".to_owned())
            .spawn(move || serve(&servers, &stopped))
            .map_err(|error| CallError::from_io("clone", "thread of the pods", &error))?;
        Ok(Pods {
            thread: Some(thread),
            stop: Some(stop),
        })
    }
}

impl Drop for Pods {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It does not panic; if it did, there would be nobody to tell.
            let _ = thread.join();
        }
    }
}

/// A socket that does not block, open to both families.
enum Server {
    /// TCP, or SCTP in the style of TCP (RFC 6458 section 4).
    Stream(TcpListener, u16),
    Udp(UdpSocket, u16),
}

impl AsFd for Server {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        match self {
            Server::Stream(listener, _) => listener.as_fd(),
            Server::Udp(socket, _) => socket.as_fd(),
        }
    }
}

fn listen(ports: &[u16]) -> Result<Vec<Server>, CallError> {
    let mut servers = Vec::new();
    for &port in ports {
        let at = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
        let failed = |error: io::Error| CallError::from_io("bind", at.to_string(), &error);
        let listener = listen_stream(at, Protocol::TCP).map_err(failed)?;
        servers.push(Server::Stream(listener, port));
        servers.push(Server::Udp(listen_udp(at).map_err(failed)?, port));
    }
    Ok(servers)
}

fn listen_stream(at: SocketAddr, protocol: Protocol) -> io::Result<TcpListener> {
    let socket = bound(at, Type::STREAM, protocol)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn listen_udp(at: SocketAddr) -> io::Result<UdpSocket> {
    let socket = bound(at, Type::DGRAM, Protocol::UDP)?;
    // To answer from the address that was asked.
    setsockopt(&socket, Ipv6RecvPacketInfo, &true)?;
    Ok(socket.into())
}

fn bound(at: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(at), kind, Some(protocol))?;
    if at.is_ipv6() {
        socket.set_only_v6(false)?;
        // An address may be this host's by a route alone. IPv4 does not mind.
        socket.set_freebind_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&at.into())?;
    Ok(socket)
}

fn serve(servers: &[Server], stopped: &PipeReader) {
    let mut waiting: Vec<PollFd<'_>> = servers
        .iter()
        .map(|server| PollFd::new(server.as_fd(), PollFlags::POLLIN))
        .collect();
    waiting.push(PollFd::new(stopped.as_fd(), PollFlags::POLLIN));
    loop {
        match poll(&mut waiting, PollTimeout::NONE) {
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            Err(_) => return,
        }
        let ready = |fd: &PollFd<'_>| fd.any().unwrap_or(true);
        if waiting.last().is_none_or(ready) {
            return;
        }
        for (server, _) in servers.iter().zip(&waiting).filter(|(_, fd)| ready(fd)) {
            answer_one(server);
        }
    }
}

/// Answers one that is waiting, and no more: clients that come back at once would keep the others
/// waiting for ever. One that went away meanwhile gets no answer.
fn answer_one(server: &Server) {
    match server {
        Server::Stream(listener, port) => {
            if let Ok((mut stream, peer)) = listener.accept()
                && let Ok(own) = stream.local_addr()
            {
                let _ = stream.write_all(answer(own.ip(), *port, peer.ip()).as_bytes());
            }
        }
        // An ICMP error to an earlier answer, for example, says nothing of the next.
        Server::Udp(socket, port) => drop(answer_datagram(socket, *port)),
    }
}

/// Answers one datagram, from the address it was sent to (RFC 3542 section 6).
fn answer_datagram(socket: &UdpSocket, port: u16) -> nix::Result<()> {
    let mut question = [0; 64];
    let mut control = cmsg_space!(in6_pktinfo);
    let mut parts = [IoSliceMut::new(&mut question)];
    let received = recvmsg::<SockaddrIn6>(
        socket.as_raw_fd(),
        &mut parts,
        Some(&mut control),
        MsgFlags::empty(),
    )?;
    let asked = received.cmsgs()?.find_map(|message| match message {
        ControlMessageOwned::Ipv6PacketInfo(info) => Some(info.ipi6_addr),
        _ => None,
    });
    let (Some(asked), Some(peer)) = (asked, received.address) else {
        return Ok(());
    };
    let text = answer(Ipv6Addr::from(asked.s6_addr).into(), port, peer.ip().into());
    let from = in6_pktinfo {
        ipi6_addr: asked,
        ipi6_ifindex: 0,
    };
    sendmsg(
        socket.as_raw_fd(),
        &[IoSlice::new(text.as_bytes())],
        &[ControlMessage::Ipv6PacketInfo(&from)],
        MsgFlags::empty(),
        Some(&peer),
    )
    .map(drop)
}

/// Written at once, for clients read once.
fn answer(own: IpAddr, port: u16, peer: IpAddr) -> String {
    format!("{} {port} {}", own.to_canonical(), peer.to_canonical())
}
