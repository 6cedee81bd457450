//! One end of a connection.

use std::io;
use std::net::TcpStream as StdStream;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use fairlead_kernel::transparent::pipe::Pipe;
use fairlead_kernel::transparent::tcp;
use tokio::io::{AsyncRead, Interest, ReadBuf};
use tokio::net::TcpStream;

/// A connection that was accepted. Unless somebody takes it, the peer is told that it was cut off when
/// it goes.
#[derive(Debug)]
pub(super) struct Accepted(Option<StdStream>);

impl Accepted {
    pub(super) fn new(stream: StdStream) -> Accepted {
        Accepted(Some(stream))
    }

    pub(super) fn take(mut self) -> Option<StdStream> {
        self.0.take()
    }
}

impl Drop for Accepted {
    fn drop(&mut self) {
        if let Some(stream) = &self.0 {
            // If it cannot be, it is closed as any other.
            let _ = tcp::reset_when_closed(stream);
        }
    }
}

/// A socket. Unless it is done with, the peer is told that the connection was cut off when it goes.
///
/// What is received waits for the runtime to say that something is there. What is sent is tried at
/// once, since there mostly is room: the runtime is asked only after the system had none, and may
/// be told to forget what it knows.
#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    is_done: bool,
}

impl Socket {
    /// Registers a socket with the runtime that this is called in.
    pub(super) fn new(stream: StdStream) -> io::Result<Socket> {
        Ok(Socket {
            stream: TcpStream::from_std(stream)?,
            is_done: false,
        })
    }

    /// Whether there is something to receive.
    pub(super) fn has_received(&self) -> bool {
        tcp::has_received(&self.stream)
    }

    /// Waits until a connection is made.
    pub(super) async fn connected(&self) -> io::Result<()> {
        let ready = self.stream.ready(Interest::WRITABLE).await?;
        match ready.is_write_closed() {
            // A connection that is broken cannot be told from one that was never made.
            true => Err(self
                .broken()
                .unwrap_or(io::ErrorKind::ConnectionReset.into())),
            false => Ok(()),
        }
    }

    fn broken(&self) -> Option<io::Error> {
        match self.stream.take_error() {
            Ok(Some(error)) | Err(error) => Some(error),
            Ok(None) => None,
        }
    }

    /// Receives into a buffer; nothing if the peer sends no more.
    pub(super) fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }

    /// Receives into a pipe, which is empty, and returns how much.
    pub(super) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        pipe: &mut Pipe,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        loop {
            let stream = &self.stream;
            match stream.try_io(Interest::READABLE, || pipe.fill(stream, most)) {
                Err(error) if is_nothing(&error) => ready!(stream.poll_read_ready(cx))?,
                done => return Poll::Ready(done),
            }
        }
    }

    /// Receives into a pipe what is there, whatever the runtime knows of it.
    pub(super) fn fill(&mut self, pipe: &mut Pipe, most: usize) -> io::Result<usize> {
        pipe.fill(&self.stream, most)
    }

    /// Sends as much as there is room for; 0 if there is none.
    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        none_if_nothing(tcp::send(&self.stream, bytes))
    }

    /// The same with the last that there is to send, which need not go before it is finished.
    pub(super) fn send_last(&mut self, bytes: &[u8]) -> io::Result<usize> {
        none_if_nothing(tcp::send_last(&self.stream, bytes))
    }

    /// Sends what a pipe has, as much as there is room for; 0 if there is none.
    pub(super) fn drain(&mut self, pipe: &mut Pipe) -> io::Result<usize> {
        none_if_nothing(pipe.drain(&self.stream))
    }

    /// Waits for room, after there was none.
    pub(super) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.forget_room();
        self.stream.poll_write_ready(cx)
    }

    /// Waits until the connection is broken, and says how. Not to be used while somebody waits for
    /// room or for something to receive, since that one hears of it too.
    pub(super) fn poll_broken(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        self.forget_room();
        match self.stream.poll_write_ready(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(error),
            // If nothing is wrong it is over both ways, which is no news.
            Poll::Ready(Ok(())) => self.broken().map_or(Poll::Pending, Poll::Ready),
            Poll::Pending => Poll::Pending,
        }
    }

    /// The runtime tells of room that comes, not of room that is there already. It is safe to have
    /// it forget, since nobody asks it before having tried.
    fn forget_room(&self) {
        let nothing = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
        let _ = self.stream.try_io(Interest::WRITABLE, nothing);
    }

    /// Says to the peer that no more is sent to it.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        tcp::finish(&self.stream)
    }

    /// Both sides have said all.
    pub(super) fn done(&mut self) {
        self.is_done = true;
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if !self.is_done {
            // If it cannot be, it is closed as any other.
            let _ = tcp::reset_when_closed(&self.stream);
        }
    }
}

fn is_nothing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

fn none_if_nothing(sent: io::Result<usize>) -> io::Result<usize> {
    match sent {
        Err(error) if is_nothing(&error) => Ok(0),
        sent => sent,
    }
}
