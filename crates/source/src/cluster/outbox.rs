//! From the thread that talks to the API server to the daemon's loop: batches of changes, and a
//! descriptor that is readable when there are some.
//!
//! The number of batches is bounded. When the daemon is busy, the thread stops reading, so that
//! what waits does so at the server and not in this process's memory.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc;

use super::telling::Said;

/// Batches that may wait.
const BATCHES: usize = 8;

/// Changes in a batch, at most.
const BATCH: usize = 128;

/// Batches that are taken at a time, so that a busy server does not keep the daemon from its
/// other work.
const AT_A_TIME: usize = 64;

/// The end that is written to.
#[derive(Clone)]
pub(super) struct Outbox {
    batches: mpsc::Sender<Said>,
    bell: Arc<Bell>,
}

/// The end that is read from.
pub(super) struct Inbox {
    batches: mpsc::Receiver<Said>,
    bell: Arc<Bell>,
    ear: UnixStream,
}

/// Rings once until it is heard.
struct Bell {
    rung: AtomicBool,
    clapper: UnixStream,
}

/// A pair of ends.
pub(super) fn pair() -> std::io::Result<(Outbox, Inbox)> {
    let (ear, clapper) = UnixStream::pair()?;
    ear.set_nonblocking(true)?;
    clapper.set_nonblocking(true)?;
    let bell = Arc::new(Bell {
        rung: AtomicBool::new(false),
        clapper,
    });
    let (sender, receiver) = mpsc::channel(BATCHES);
    let outbox = Outbox {
        batches: sender,
        bell: Arc::clone(&bell),
    };
    let inbox = Inbox {
        batches: receiver,
        bell,
        ear,
    };
    Ok((outbox, inbox))
}

impl Outbox {
    /// Hands over what was said and leaves it empty. Waits while too much waits already.
    pub(super) async fn send(&self, said: &mut Said) {
        let mut said = std::mem::take(said);
        while said.changes.len() > BATCH {
            let rest = said.changes.split_off(BATCH);
            let changes = std::mem::replace(&mut said.changes, rest);
            let news = Vec::new();
            self.batch(Said { changes, news }).await;
        }
        if !said.changes.is_empty() || !said.news.is_empty() {
            self.batch(said).await;
        }
    }

    async fn batch(&self, said: Said) {
        // Nobody listens any more when it fails, and this thread is about to end.
        if self.batches.send(said).await.is_ok() {
            self.bell.ring();
        }
    }
}

impl Inbox {
    /// What has come. Never waits.
    pub(super) fn receive(&mut self, mut each: impl FnMut(Said)) {
        self.bell.silence(&mut self.ear);
        for _ in 0..AT_A_TIME {
            match self.batches.try_recv() {
                Ok(said) => each(said),
                Err(_) => return,
            }
        }
        self.bell.ring();
    }
}

impl AsFd for Inbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ear.as_fd()
    }
}

impl Bell {
    fn ring(&self) {
        if !self.rung.swap(true, Ordering::SeqCst) {
            // One byte at most is on its way, so there is room for it.
            let _ = (&self.clapper).write(&[1]);
        }
    }

    /// Before what it rang for is looked at, so that what comes meanwhile rings again.
    fn silence(&self, ear: &mut UnixStream) {
        let mut bytes = [0; 8];
        loop {
            match ear.read(&mut bytes) {
                Ok(8) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                _ => break,
            }
        }
        self.rung.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use fairlead_core::api::{Change, Kind, ObjectName};

    use super::*;

    fn said(count: usize) -> Said {
        let change = Change::Deleted(Kind::Node, ObjectName::cluster("node"));
        Said {
            changes: vec![change; count],
            news: Vec::new(),
        }
    }

    fn rings(inbox: &Inbox) -> bool {
        let mut peek = inbox.ear.try_clone().unwrap();
        let rang = peek.read_exact(&mut [0]).is_ok();
        if rang {
            inbox.bell.rung.store(false, Ordering::SeqCst);
            inbox.bell.ring();
        }
        rang
    }

    #[tokio::test]
    async fn a_sender_waits_for_the_receiver_and_the_descriptor_tells() {
        let (outbox, mut inbox) = pair().unwrap();
        assert!(!rings(&inbox));
        outbox.send(&mut said(0)).await;
        assert!(!rings(&inbox), "nothing was said");
        let many = BATCH * BATCHES + 1;
        let mut burst = said(many);
        let sending = outbox.send(&mut burst);
        let full = tokio::time::timeout(Duration::from_millis(20), sending).await;
        assert!(full.is_err(), "it should wait");
        let mut heard = 0;
        assert!(rings(&inbox));
        inbox.receive(|said| heard += said.changes.len());
        assert_eq!(heard, BATCH * BATCHES);
        assert!(!rings(&inbox));
    }
}
