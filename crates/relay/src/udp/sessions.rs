//! The sessions of a listener, the one that is idle the longest first.

use std::collections::HashMap;
use std::time::Instant;

use super::session::{Key, Session};

/// Sessions by their client, by their slot, and by how long they are idle.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    slots: Vec<Option<Entry>>,
    free: Vec<usize>,
    by_key: HashMap<Key, usize>,
    longest_idle: Option<usize>,
    last_used: Option<usize>,
}

/// A session in the list by idleness.
#[derive(Debug)]
struct Entry {
    key: Key,
    session: Session,
    used: Instant,
    before: Option<usize>,
    after: Option<usize>,
}

impl Sessions {
    pub(super) fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    pub(super) fn find(&self, key: &Key) -> Option<usize> {
        self.by_key.get(key).copied()
    }

    /// The session of a slot, unless it is gone.
    pub(super) fn get(&mut self, slot: usize) -> Option<(Key, &mut Session)> {
        let entry = self.slots.get_mut(slot)?.as_mut()?;
        Some((entry.key, &mut entry.session))
    }

    /// The slot that the next session gets.
    pub(super) fn next_slot(&self) -> usize {
        self.free.last().copied().unwrap_or(self.slots.len())
    }

    /// Adds the session of a client that has none, at [`next_slot`](Sessions::next_slot).
    pub(super) fn insert(&mut self, key: Key, session: Session, now: Instant) -> usize {
        let entry = Entry {
            key,
            session,
            used: now,
            before: None,
            after: None,
        };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot] = Some(entry);
                slot
            }
            None => {
                self.slots.push(Some(entry));
                self.slots.len() - 1
            }
        };
        self.by_key.insert(key, slot);
        self.append(slot);
        slot
    }

    /// A session is used: it is the last to go now.
    pub(super) fn touch(&mut self, slot: usize, now: Instant) {
        if let Some(Some(entry)) = self.slots.get_mut(slot) {
            entry.used = now;
            self.unlink(slot);
            self.append(slot);
        }
    }

    /// Ends a session.
    pub(super) fn remove(&mut self, slot: usize) {
        self.unlink(slot);
        if let Some(entry) = self.slots.get_mut(slot).and_then(Option::take) {
            self.by_key.remove(&entry.key);
            self.free.push(slot);
        }
        if self.is_empty() {
            // What a flood has taken is given back.
            *self = Sessions::default();
        }
    }

    /// The session that is idle the longest, and when it was used.
    pub(super) fn longest_idle(&self) -> Option<(usize, Instant)> {
        let slot = self.longest_idle?;
        Some((slot, self.entry(Some(slot))?.used))
    }

    /// Keeps those that `keep` says.
    pub(super) fn retain(&mut self, keep: impl Fn(&Session) -> bool) {
        for slot in 0..self.slots.len() {
            if self
                .entry(Some(slot))
                .is_some_and(|entry| !keep(&entry.session))
            {
                self.remove(slot);
            }
        }
    }

    fn entry(&self, slot: Option<usize>) -> Option<&Entry> {
        self.slots.get(slot?)?.as_ref()
    }

    fn entry_mut(&mut self, slot: Option<usize>) -> Option<&mut Entry> {
        self.slots.get_mut(slot?)?.as_mut()
    }

    fn append(&mut self, slot: usize) {
        let before = self.last_used.replace(slot);
        if let Some(entry) = self.entry_mut(Some(slot)) {
            (entry.before, entry.after) = (before, None);
        }
        match self.entry_mut(before) {
            Some(entry) => entry.after = Some(slot),
            None => self.longest_idle = Some(slot),
        }
    }

    fn unlink(&mut self, slot: usize) {
        let Some(entry) = self.entry(Some(slot)) else {
            return;
        };
        let (before, after) = (entry.before, entry.after);
        match self.entry_mut(before) {
            Some(entry) => entry.after = after,
            None => self.longest_idle = after,
        }
        match self.entry_mut(after) {
            Some(entry) => entry.before = before,
            None => self.last_used = before,
        }
    }
}
