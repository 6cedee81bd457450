//! Which files describe which object, and what was last said of it.
//!
//! Of several descriptions the one in the last file, in the order of names, counts. An object is
//! deleted when no file has described it for [`SETTLE`] and the file that did is at rest.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fairlead_core::api::Change;

use super::problem::Identity;

/// How long an object must be missing before it counts as gone, and a file that is written to
/// must rest before it is read. Editors and `git checkout` put a file back within a few
/// milliseconds.
pub(crate) const SETTLE: Duration = Duration::from_millis(100);

/// The objects of all files.
#[derive(Debug, Default)]
pub(crate) struct Objects {
    entries: HashMap<Identity, Entry>,
    missing: HashMap<Identity, Missing>,
    /// Files to be read once more, because another file's claim on an object came or went.
    again: BTreeSet<Arc<Path>>,
}

#[derive(Debug, Default)]
struct Entry {
    /// The hash of the object as it was last said.
    said: Option<u64>,
    /// Who describes it, in the order of files.
    claims: Vec<Claim>,
}

/// A file's description of an object.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) file: Arc<Path>,
    pub(crate) line: usize,
    /// The hash of the object as described here.
    pub(crate) object: u64,
}

/// Of an object that no file describes.
#[derive(Debug)]
struct Missing {
    since: Instant,
    /// The file that described it last.
    file: Arc<Path>,
}

impl Objects {
    /// Enters a file's description of an object, and says it if it counts and is new.
    pub(crate) fn claim(
        &mut self,
        identity: &Identity,
        claim: Claim,
        change: Change,
        say: &mut dyn FnMut(Change),
    ) {
        self.missing.remove(identity);
        let entry = self.entries.entry(identity.clone()).or_default();
        let object = claim.object;
        let index = match entry
            .claims
            .binary_search_by(|other| other.file.cmp(&claim.file))
        {
            Ok(index) => {
                entry.claims[index] = claim;
                index
            }
            Err(index) => {
                self.again
                    .extend(entry.claims.iter().map(|other| Arc::clone(&other.file)));
                // Nearly always the only one.
                entry.claims.reserve_exact(1);
                entry.claims.insert(index, claim);
                index
            }
        };
        if index + 1 == entry.claims.len() && entry.said != Some(object) {
            entry.said = Some(object);
            say(change);
        }
    }

    /// Confirms a description whose text is the same as before, now at this line. False if the
    /// object has to be looked at nevertheless.
    pub(crate) fn confirm(&mut self, identity: &Identity, file: &Path, line: usize) -> bool {
        let Some(entry) = self.entries.get_mut(identity) else {
            return false;
        };
        let said = entry.said;
        let mut later = false;
        for claim in entry.claims.iter_mut().rev() {
            if &*claim.file == file {
                claim.line = line;
                return later || said == Some(claim.object);
            }
            later = true;
        }
        false
    }

    /// Takes a file's description back.
    pub(crate) fn disclaim(&mut self, identity: &Identity, file: &Arc<Path>, now: Instant) {
        let Some(entry) = self.entries.get_mut(identity) else {
            return;
        };
        entry.claims.retain(|claim| &claim.file != file);
        self.again
            .extend(entry.claims.iter().map(|other| Arc::clone(&other.file)));
        if entry.claims.is_empty() {
            let missing = Missing {
                since: now,
                file: Arc::clone(file),
            };
            self.missing.entry(identity.clone()).or_insert(missing);
        }
    }

    /// Whether this file describes the object.
    pub(crate) fn is_claimed(&self, identity: &Identity, file: &Path) -> bool {
        self.entries
            .get(identity)
            .is_some_and(|entry| entry.claims.iter().any(|claim| &*claim.file == file))
    }

    /// The description that counts, if it is not this file's.
    pub(crate) fn overridden(&self, identity: &Identity, file: &Path) -> Option<&Claim> {
        self.entries
            .get(identity)?
            .claims
            .last()
            .filter(|counts| &*counts.file != file)
    }

    /// Says what is gone for good. `restless` tells of files that are being written.
    pub(crate) fn settle(
        &mut self,
        now: Instant,
        restless: impl Fn(&Path) -> bool,
        say: &mut dyn FnMut(Change),
    ) {
        let ripe = |missing: &Missing| now >= missing.since + SETTLE && !restless(&missing.file);
        let gone = self.missing.extract_if(|_, missing| ripe(missing));
        let mut gone: Vec<Identity> = gone.map(|(identity, _)| identity).collect();
        gone.sort();
        for identity in gone {
            self.entries.remove(&identity);
            say(Change::Deleted(identity.0, identity.1));
        }
    }

    /// When [`Objects::settle`] has something to say.
    pub(crate) fn due(&self, restless: impl Fn(&Path) -> bool) -> Option<Instant> {
        let missing = self
            .missing
            .values()
            .filter(|missing| !restless(&missing.file));
        missing.map(|missing| missing.since + SETTLE).min()
    }

    /// Lets the time that missing objects have to return start anew.
    pub(crate) fn postpone(&mut self, now: Instant) {
        self.missing
            .values_mut()
            .for_each(|missing| missing.since = now);
    }

    /// The next file that has to be read once more.
    pub(crate) fn next_again(&mut self) -> Option<Arc<Path>> {
        self.again.pop_last()
    }
}
