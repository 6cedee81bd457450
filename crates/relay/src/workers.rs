//! The threads that carry: each has a runtime of its own, so what belongs to a connection stays on
//! one CPU and nothing is locked.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread::{self, JoinHandle};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{mpsc, oneshot};

/// The workers, as those see them who have work for them.
#[derive(Debug)]
pub(crate) struct Workers(Box<[Worker]>);

/// A thread.
#[derive(Debug)]
pub(crate) struct Worker {
    /// Where to spawn what it is to do for long.
    pub(crate) runtime: Handle,
    inbox: mpsc::UnboundedSender<Work>,
    load: Arc<AtomicUsize>,
}

/// What a worker is given to do.
type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What somebody who has work for a worker adds to its load, until this goes.
#[derive(Debug)]
pub(crate) struct Load(Arc<AtomicUsize>);

impl Workers {
    /// The one with the least to do; of several the first from `own` on, so that what comes up on a
    /// thread rather stays there.
    pub(crate) fn least_loaded(&self, own: usize) -> &Worker {
        let own = own % self.0.len();
        let (others, from_own) = self.0.split_at(own);
        let mut least = &from_own[0];
        for worker in from_own.iter().chain(others) {
            if worker.load.load(Relaxed) < least.load.load(Relaxed) {
                least = worker;
            }
        }
        least
    }

    /// The one of this number, of as many as there are.
    pub(crate) fn numbered(&self, number: usize) -> &Worker {
        &self.0[number % self.0.len()]
    }
}

impl Worker {
    /// Gives it something to do. A runtime is woken by a system call for each task that another thread
    /// spawns on it; for what comes while it has not looked at the last yet, this does not wake it
    /// again.
    pub(crate) fn take_on(&self, work: impl Future<Output = ()> + Send + 'static) {
        // It can only be refused when all is over.
        let _ = self.inbox.send(Box::pin(work));
    }

    /// It has one thing more to do.
    pub(crate) fn load(&self) -> Load {
        self.load.fetch_add(1, Relaxed);
        Load(Arc::clone(&self.load))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// The threads, which end when this goes, with all that they have to do.
#[derive(Debug)]
pub(crate) struct Threads(Vec<(oneshot::Sender<()>, JoinHandle<()>)>);

/// Starts as many threads as wanted, at least one.
pub(crate) fn start(count: usize) -> io::Result<(Workers, Threads)> {
    let (mut workers, mut threads) = (Vec::new(), Threads(Vec::new()));
    for number in 0..count.max(1) {
        let runtime = Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()?;
        let (inbox, given) = mpsc::unbounded_channel();
        runtime.spawn(take_up(given));
        workers.push(Worker {
            inbox,
            runtime: runtime.handle().clone(),
            load: Arc::default(),
        });
        threads.add(number, runtime)?;
    }
    Ok((Workers(workers.into()), threads))
}

async fn take_up(mut given: mpsc::UnboundedReceiver<Work>) {
    while let Some(work) = given.recv().await {
        tokio::spawn(work);
    }
}

impl Threads {
    fn add(&mut self, number: usize, runtime: Runtime) -> io::Result<()> {
        let (end, ended) = oneshot::channel();
        let thread = thread::Builder::new()
            .name(format!("relay-{number}"))
            .spawn(move || {
                // It ends when the sender goes, too.
                let _ = runtime.block_on(ended);
            })?;
        self.0.push((end, thread));
        Ok(())
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        let (ends, threads): (Vec<_>, Vec<_>) = self.0.drain(..).unzip();
        drop(ends);
        for thread in threads {
            // One that has panicked has said so itself.
            let _ = thread.join();
        }
    }
}
