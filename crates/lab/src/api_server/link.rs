//! A connection that can be reset, and a socket that can stop listening and begin again.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Makes a connection end with a reset rather than in good order.
#[derive(Debug, Clone, Default)]
pub(super) struct Reset(Arc<AtomicBool>);

impl Reset {
    pub(super) fn order(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A connection. Resets when dropped if that was ordered.
#[derive(Debug)]
pub(super) struct Link {
    stream: TcpStream,
    pub(super) reset: Reset,
}

impl Link {
    pub(super) fn new(stream: TcpStream) -> Link {
        // Lines of a watch are to arrive as they are written.
        let _ = stream.set_nodelay(true);
        Link {
            stream,
            reset: Reset::default(),
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if self.reset.0.load(Ordering::Relaxed) {
            // That nothing may linger is how one asks for a reset (tcp_close() in the kernel).
            let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
        }
    }
}

impl AsyncRead for Link {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, to)
    }
}

impl AsyncWrite for Link {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 128;

/// Listens on an address, in the network namespace of the calling thread. Port 0 becomes one that
/// stays the server's own, also while it does not listen.
pub(super) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let first = bound(address)?;
    // A port that the kernel chose is given up with the listening, one that was asked for is kept
    // (SOCK_BINDPORT_LOCK in the kernel). So the chosen one is asked for.
    let chosen = first.local_addr()?;
    let socket = bound(chosen.as_socket().unwrap_or(address))?;
    drop(first);
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn bound(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// From now on connections are refused.
pub(super) fn refuse(listener: &TcpListener) -> io::Result<()> {
    SockRef::from(listener).shutdown(std::net::Shutdown::Both)
}

/// From now on connections are accepted again.
pub(super) fn listen_again(listener: &TcpListener) -> io::Result<()> {
    SockRef::from(listener).listen(BACKLOG)
}
