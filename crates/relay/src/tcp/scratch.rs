//! What all connections of a thread share, since only one is worked on at a time: a buffer, and
//! pipes.

use std::cell::RefCell;
use std::mem::MaybeUninit;

use fairlead_kernel::transparent::pipe::Pipe;
use tokio::io::ReadBuf;

/// How much is received at once by copying.
pub(super) const COPIED: usize = 32 * 1024;

/// How much is received at once into a pipe, and how much one holds.
pub(super) const PIPED: usize = 256 * 1024;

/// How many pipes a thread has at most. Connections that find none copy.
const PIPES: usize = 128;

thread_local! {
    static BUFFER: RefCell<Box<[MaybeUninit<u8>]>> =
        RefCell::new(Box::new_uninit_slice(COPIED));
    static POOL: RefCell<Pool> = const { RefCell::new(Pool { free: Vec::new(), lent: 0 }) };
}

/// The pipes of a thread.
#[derive(Debug)]
struct Pool {
    free: Vec<Pipe>,
    lent: usize,
}

/// Does something with the buffer, in which nothing is.
pub(super) fn with_buffer<T>(work: impl FnOnce(&mut ReadBuf<'_>) -> T) -> T {
    BUFFER.with_borrow_mut(|buffer| work(&mut ReadBuf::uninit(buffer)))
}

/// A pipe that was lent. One that is not given back is gone, with what is in it.
#[derive(Debug)]
pub(super) struct Lent {
    pub(super) pipe: Pipe,
    _counted: Counted,
}

/// Counts a pipe that is lent until this goes.
#[derive(Debug)]
struct Counted;

impl Lent {
    /// An empty pipe; `None` if there are too many, or no more descriptors.
    pub(super) fn new() -> Option<Lent> {
        POOL.with_borrow_mut(|pool| {
            let pipe = match pool.free.pop() {
                Some(pipe) => pipe,
                None if pool.lent < PIPES => Pipe::new(PIPED).ok()?,
                None => return None,
            };
            pool.lent += 1;
            Some(Lent {
                pipe,
                _counted: Counted,
            })
        })
    }

    /// For the next one. Nothing is in it any more.
    pub(super) fn give_back(self) {
        if self.pipe.held() == 0 {
            POOL.with_borrow_mut(|pool| pool.free.push(self.pipe));
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        // When the thread ends, its pool may be gone already.
        let _ = POOL.try_with(|pool| {
            let mut pool = pool.borrow_mut();
            pool.lent = pool.lent.saturating_sub(1);
        });
    }
}
