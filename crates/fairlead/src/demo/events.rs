//! What happens while the demo runs: the proxy says something, the user wants to end it.

use std::future::poll_fn;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Something happened.
#[derive(Debug)]
pub(super) enum Event {
    /// SIGINT, SIGTERM or SIGHUP came.
    Interrupt,
    /// The user pressed Enter.
    Enter,
    /// The proxy logged a line.
    Logged(Line),
    /// The proxy will log nothing more: it ended.
    LogEnded,
}

/// A line of a log.
#[derive(Debug, Clone)]
pub(super) struct Line {
    /// When it was read.
    pub(super) at: Instant,
    /// The line, without its end.
    pub(super) text: String,
}

/// The user wants the demo to end before it is done.
#[derive(Debug, Clone, Copy, Error)]
#[error("interrupted; everything is cleaned up")]
pub(super) struct Interrupted;

/// Where all that happens arrives.
#[derive(Debug)]
pub(super) struct Events {
    sender: Sender<Event>,
    receiver: Receiver<Event>,
}

impl Events {
    /// From now on signals do not end the process, but arrive here.
    pub(super) fn listen() -> io::Result<Events> {
        let (sender, receiver) = channel();
        let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
        let mut signals = {
            let _context = runtime.enter();
            [
                signal(SignalKind::interrupt())?,
                signal(SignalKind::terminate())?,
                signal(SignalKind::hangup())?,
            ]
        };
        let told = sender.clone();
        thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                runtime.block_on(any_of(&mut signals));
                // Nobody is left to be told when the demo is over.
                let _ = told.send(Event::Interrupt);
            })?;
        Ok(Events { sender, receiver })
    }

    /// Where others put what happens.
    pub(super) fn sender(&self) -> Sender<Event> {
        self.sender.clone()
    }

    /// The next event; `None` when there is none until the deadline.
    pub(super) fn next(&self, deadline: Instant) -> Result<Option<Event>, Interrupted> {
        let left = deadline.saturating_duration_since(Instant::now());
        match self.receiver.recv_timeout(left) {
            Ok(Event::Interrupt) => Err(Interrupted),
            Ok(event) => Ok(Some(event)),
            // There is always a sender, our own.
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Ok(None),
        }
    }

    /// Lets some time pass, and what happens in it.
    pub(super) fn pause(&self, time: Duration) -> Result<(), Interrupted> {
        let deadline = Instant::now() + time;
        while self.next(deadline)?.is_some() {}
        Ok(())
    }

    /// Waits until the user presses Enter or sends a signal.
    pub(super) fn until_told(&self) -> io::Result<()> {
        let enter = self.sender();
        thread::Builder::new()
            .name("keyboard".to_owned())
            .spawn(move || {
                // With nothing to read from, only a signal ends the wait.
                if io::stdin().read_line(&mut String::new()).unwrap_or(0) > 0 {
                    let _ = enter.send(Event::Enter);
                }
            })?;
        let told = |event| matches!(event, Event::Interrupt | Event::Enter);
        while self.receiver.recv().is_ok_and(|event| !told(event)) {}
        Ok(())
    }
}

/// Until one of them comes.
async fn any_of(signals: &mut [Signal]) {
    poll_fn(|context| {
        let mut signals = signals.iter_mut();
        if signals.any(|signal| signal.poll_recv(context).is_ready()) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}
