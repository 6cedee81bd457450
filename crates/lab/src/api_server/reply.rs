//! The body of an answer: all at once, or in pieces while they come.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::faults::Fault;
use super::handler::Client;
use super::link::Reset;
use super::list::Page;

/// The body of an answer.
pub(super) enum Reply {
    Whole(Option<Bytes>),
    List(Box<Page>),
    /// What somebody else writes. An error breaks the connection off.
    Pieces(mpsc::Receiver<io::Result<Bytes>>),
}

impl Reply {
    pub(super) fn whole(bytes: impl Into<Bytes>) -> Reply {
        Reply::Whole(Some(bytes.into()))
    }

    /// Something to write, and the body that comes of it.
    pub(super) fn pieces(client: &Client) -> (Writer, Reply) {
        // One in the making and one on its way.
        let (out, pieces) = mpsc::channel(1);
        let writer = Writer {
            out,
            reset: client.reset.clone(),
            pace: client.pace,
        };
        (writer, Reply::Pieces(pieces))
    }

    /// All of it, where it does not come piece by piece anyway.
    pub(super) fn collect(self) -> Result<Bytes, Reply> {
        match self {
            Reply::Whole(bytes) => Ok(bytes.unwrap_or_default()),
            Reply::List(page) => Ok(Bytes::from(page.flatten().collect::<Vec<u8>>())),
            Reply::Pieces(_) => Err(self),
        }
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let next = match &mut *self {
            Reply::Whole(bytes) => bytes.take().map(Ok),
            Reply::List(page) => page.next().map(Ok),
            Reply::Pieces(pieces) => std::task::ready!(pieces.poll_recv(context)),
        };
        Poll::Ready(next.map(|bytes| bytes.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Reply::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Reply::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64)
            }
            _ => SizeHint::default(),
        }
    }
}

/// The client is no longer there.
#[derive(Debug)]
pub(super) struct Gone;

/// So many bytes at a time, with a pause in front.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    bytes: usize,
    pause: Duration,
}

impl Pace {
    pub(super) fn of(fault: &Fault) -> Option<Pace> {
        match fault {
            Fault::Slow { bytes, pause } => Some(Pace {
                bytes: (*bytes).max(1),
                pause: *pause,
            }),
            _ => None,
        }
    }
}

/// How long what was written may take to leave the process, before a reset discards the rest.
const LEAVE: Duration = Duration::from_millis(20);

/// Writes a body piece by piece. The body ends in good order when it is dropped.
pub(super) struct Writer {
    out: mpsc::Sender<io::Result<Bytes>>,
    reset: Reset,
    pace: Option<Pace>,
}

impl Writer {
    pub(super) async fn write(&self, bytes: impl Into<Bytes>) -> Result<(), Gone> {
        let mut bytes = bytes.into();
        while !bytes.is_empty() {
            let mut size = bytes.len();
            if let Some(pace) = self.pace {
                sleep(pace.pause).await;
                size = size.min(pace.bytes);
            }
            self.out
                .send(Ok(bytes.split_to(size)))
                .await
                .map_err(|_| Gone)?;
        }
        Ok(())
    }

    /// Resolves when the client is no longer there.
    pub(super) async fn gone(&self) {
        self.out.closed().await;
    }

    /// Resets the connection, after what was written has gone out.
    pub(super) async fn reset(self) {
        sleep(LEAVE).await;
        self.reset.order();
        let broken = io::Error::from(io::ErrorKind::ConnectionReset);
        let _ = self.out.send(Err(broken)).await;
    }
}
