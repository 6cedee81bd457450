//! Documents parsed on all processors.
//!
//! The YAML parser takes most of the time of a first read, and documents do not depend on each
//! other. A batch at a time, so that never more than that is held parsed.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::{panic, thread};

use fairlead_core::api::Change;

use super::documents::Document;
use super::parse::{Broken, parse};
use super::problem::Identity;

/// How many documents are worth a thread.
const SHARE: usize = 64;

/// How many documents make a batch.
pub(crate) const BATCH: usize = 1024;

/// A document with the hash of its text.
pub(crate) struct Prepared<'a> {
    pub(crate) document: &'a Document<'a>,
    pub(crate) text: u64,
    parsed: Option<Result<(Identity, Change), Broken>>,
}

impl Prepared<'_> {
    /// What the document describes.
    pub(crate) fn parse(self) -> Result<(Identity, Change), Broken> {
        self.parsed.unwrap_or_else(|| parse(self.document))
    }
}

/// Prepares documents, in their order. Those whose text is known are not parsed: it will hardly
/// be needed.
pub(crate) fn prepare<'a>(
    batch: &'a [Document<'a>],
    known: &HashMap<u64, Identity>,
) -> Vec<Prepared<'a>> {
    let prepare = |document: &'a Document<'a>| {
        let text = hash(&*document.piece.raw);
        let parsed = (!known.contains_key(&text)).then(|| parse(document));
        Prepared {
            document,
            text,
            parsed,
        }
    };
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let share = batch.len().div_ceil(processors).max(SHARE);
    if share >= batch.len() {
        return batch.iter().map(prepare).collect();
    }
    thread::scope(|scope| {
        let work =
            |part: &'a [Document<'a>]| scope.spawn(move || part.iter().map(prepare).collect());
        let workers: Vec<_> = batch.chunks(share).map(work).collect();
        let joined = workers.into_iter().map(thread::ScopedJoinHandle::join);
        joined
            .flat_map(|result: thread::Result<Vec<_>>| {
                result.unwrap_or_else(|cause| panic::resume_unwind(cause))
            })
            .collect()
    })
}

/// 64 bits that stand for a value.
pub(crate) fn hash<T: Hash + ?Sized>(value: &T) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
