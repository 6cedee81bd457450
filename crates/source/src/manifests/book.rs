//! What the files describe: pure, with contents and time as arguments.
//!
//! Rules that keep a proxy from losing Services to an editor's mistake, besides those of
//! `objects`:
//!
//! * A document that cannot be read leaves its object as it was.
//! * When it is not clear what a file describes (a document of unknown identity, a broken last
//!   document, an empty or unreadable file, a writer still at work), everything that the file
//!   described before and does not describe now stays.
//! * Of several documents of a file that describe one object the last counts.
//!
//! Hashes stand for the objects, and for the text they were read from, so that the book stays
//! small and text that did not change is not parsed again. 64 bits are enough: a hash is compared
//! with the earlier ones of one object or one file, not with all there are.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::mem;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use fairlead_core::api::Change;

use super::batch::{BATCH, Prepared, hash, prepare};
use super::documents;
use super::objects::{Claim, Objects};
use super::parse::Broken;
use super::problem::{Identity, Problem};

/// The book kept about a folder.
#[derive(Debug, Default)]
pub(crate) struct Book {
    pub(crate) objects: Objects,
    files: BTreeMap<Arc<Path>, File>,
    news: Vec<Problem>,
}

#[derive(Debug, Default)]
struct File {
    /// The objects it describes, by the hash of the text that does.
    described: HashMap<u64, Identity>,
    problems: Vec<Problem>,
    ignored: usize,
}

impl Book {
    /// Takes note of a file's contents. `complete` is false while a writer has the file open: its
    /// last document may still grow and is passed over, and more may come.
    pub(crate) fn take(
        &mut self,
        file: &Arc<Path>,
        contents: &[u8],
        complete: bool,
        now: Instant,
        say: &mut dyn FnMut(Change),
    ) {
        let text = match std::str::from_utf8(contents) {
            Ok(text) => text,
            Err(error) => return self.keep(file, not_utf8(file, &contents[..error.valid_up_to()])),
        };
        let mut documents = documents::split(text);
        let known = self.files.entry(Arc::clone(file)).or_default();
        if documents.is_silent() && !known.described.is_empty() {
            let message = "has no Services or endpoints any more; what it described stays (delete the file to delete its objects)";
            return self.keep(file, Problem::with_file(file, message));
        }
        if !complete {
            documents.list.pop();
        }
        let mut reading = Reading::new(file, mem::take(&mut known.described), !complete);
        // From the end, so that the description that counts is met before those that do not.
        let mut last = true;
        for batch in documents.list.rchunks(BATCH) {
            for prepared in prepare(batch, &reading.before).into_iter().rev() {
                reading.document(&mut self.objects, prepared, last, say);
                last = false;
            }
        }
        known.ignored = documents.ignored;
        known.described = reading.close(&mut self.objects, now);
        self.set_problems(file, reading.problems);
    }

    /// Leaves everything a file described as it is, because of this problem with it.
    pub(crate) fn keep(&mut self, file: &Arc<Path>, problem: Problem) {
        self.set_problems(file, vec![problem]);
    }

    /// Takes note that a file is gone.
    pub(crate) fn gone(&mut self, file: &Arc<Path>, now: Instant) {
        let gone = self.files.remove(file).unwrap_or_default();
        for identity in gone.described.values() {
            self.objects.disclaim(identity, file, now);
        }
    }

    /// The files in the book.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Arc<Path>> {
        self.files.keys()
    }

    /// Problems that were not there before.
    pub(crate) fn take_news(&mut self) -> Vec<Problem> {
        mem::take(&mut self.news)
    }

    /// All problems that stand.
    pub(crate) fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.files.values().flat_map(|file| &file.problems)
    }

    /// How many objects of other kinds the files hold.
    pub(crate) fn ignored(&self) -> usize {
        self.files.values().map(|file| file.ignored).sum()
    }

    fn set_problems(&mut self, file: &Arc<Path>, problems: Vec<Problem>) {
        let file = self.files.entry(Arc::clone(file)).or_default();
        let known: HashSet<_> = file.problems.iter().map(Problem::gist).collect();
        let new = problems
            .iter()
            .filter(|problem| !known.contains(&problem.gist()));
        self.news.extend(new.cloned());
        file.problems = problems;
    }
}

/// A file's contents while they are gone through.
struct Reading<'a> {
    file: &'a Arc<Path>,
    /// What the file described before, by the hash of the text.
    before: HashMap<u64, Identity>,
    described: HashMap<u64, Identity>,
    seen: HashSet<Identity>,
    problems: Vec<Problem>,
    /// Whether what is missing stays.
    hold: bool,
}

impl<'a> Reading<'a> {
    fn new(file: &'a Arc<Path>, before: HashMap<u64, Identity>, hold: bool) -> Reading<'a> {
        Reading {
            file,
            before,
            described: HashMap::new(),
            seen: HashSet::new(),
            problems: Vec::new(),
            hold,
        }
    }

    fn document(
        &mut self,
        objects: &mut Objects,
        prepared: Prepared<'_>,
        last: bool,
        say: &mut dyn FnMut(Change),
    ) {
        let (text, line) = (prepared.text, prepared.document.piece.line);
        let known = self.before.get(&text).cloned();
        if let Some(identity) = known
            && !self.seen.contains(&identity)
            && objects.confirm(&identity, self.file, line)
        {
            return self.describes(objects, text, identity, line);
        }
        match prepared.parse() {
            Ok((identity, _)) if self.seen.contains(&identity) => {
                self.double(identity, line, "a later document of this file");
            }
            Ok((identity, change)) => {
                let object = hash(&change);
                let claim = Claim {
                    file: Arc::clone(self.file),
                    line,
                    object,
                };
                objects.claim(&identity, claim, change, say);
                self.describes(objects, text, identity, line);
            }
            Err(broken) => self.broken(objects, broken, last),
        }
    }

    fn describes(&mut self, objects: &Objects, text: u64, identity: Identity, line: usize) {
        if let Some(counts) = objects.overridden(&identity, self.file) {
            let place = format!("{}:{}", counts.file.display(), counts.line);
            self.double(identity.clone(), line, &place);
        }
        self.seen.insert(identity.clone());
        self.described.insert(text, identity);
    }

    /// A document that cannot be read: its object stays, and so do others if it could be theirs.
    fn broken(&mut self, objects: &Objects, broken: Broken, last: bool) {
        let Broken { identity, flaw } = broken;
        let known = identity
            .as_ref()
            .is_some_and(|identity| objects.is_claimed(identity, self.file));
        let fate = match identity {
            Some(_) if known => "it stays as it was",
            None if !self.before.is_empty() => "what this file described before stays",
            _ => "it is left out",
        };
        self.hold |= last || identity.is_none();
        let message = format!("{}; {fate}", flaw.message);
        if let Some(identity) = identity.as_ref().filter(|_| known) {
            self.stays(identity);
        }
        self.problems.push(Problem {
            file: Arc::clone(self.file),
            line: Some(flaw.line),
            object: identity,
            message,
        });
    }

    fn stays(&mut self, identity: &Identity) {
        if self.seen.insert(identity.clone()) {
            let texts = self.before.iter().filter(|(_, other)| *other == identity);
            self.described
                .extend(texts.map(|(text, identity)| (*text, identity.clone())));
        }
    }

    /// Ends the reading: what the file no longer describes is given up, or held. Returns what it
    /// describes.
    fn close(&mut self, objects: &mut Objects, now: Instant) -> HashMap<u64, Identity> {
        for (text, identity) in mem::take(&mut self.before) {
            if self.seen.contains(&identity) {
                continue;
            }
            if self.hold {
                self.described.insert(text, identity);
            } else {
                objects.disclaim(&identity, self.file, now);
            }
        }
        self.problems.sort_by_key(|problem| problem.line);
        mem::take(&mut self.described)
    }

    fn double(&mut self, identity: Identity, line: usize, place: &str) {
        self.problems.push(Problem {
            file: Arc::clone(self.file),
            line: Some(line),
            object: Some(identity),
            message: format!("is described in {place} too, which counts; remove one of them"),
        });
    }
}

fn not_utf8(file: &Arc<Path>, valid: &[u8]) -> Problem {
    let line = valid.split(|byte| *byte == b'\n').count();
    let message = "is not UTF-8 text; what it described stays (save the file as UTF-8)";
    Problem {
        line: Some(line),
        ..Problem::with_file(file, message)
    }
}
