//! The sessions of a listener, the one that is idle the longest first.

use std::collections::HashMap;
use std::time::Instant;

use super::session::Key;

/// Sessions by their client, by their slot, and by how long they are idle.
#[derive(Debug)]
pub(super) struct Sessions<S> {
    slots: Vec<Option<Entry<S>>>,
    free: Vec<usize>,
    by_key: HashMap<Key, usize>,
    longest_idle: Option<usize>,
    last_used: Option<usize>,
}

/// A session in the list by idleness.
#[derive(Debug)]
struct Entry<S> {
    key: Key,
    session: S,
    used: Instant,
    before: Option<usize>,
    after: Option<usize>,
}

impl<S> Default for Sessions<S> {
    fn default() -> Sessions<S> {
        Sessions {
            slots: Vec::new(),
            free: Vec::new(),
            by_key: HashMap::new(),
            longest_idle: None,
            last_used: None,
        }
    }
}

impl<S> Sessions<S> {
    pub(super) fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    pub(super) fn find(&self, key: &Key) -> Option<usize> {
        self.by_key.get(key).copied()
    }

    /// The session of a slot, unless it is gone.
    pub(super) fn get(&mut self, slot: usize) -> Option<(Key, &mut S)> {
        let entry = self.slots.get_mut(slot)?.as_mut()?;
        Some((entry.key, &mut entry.session))
    }

    /// The slot that the next session gets.
    pub(super) fn next_slot(&self) -> usize {
        self.free.last().copied().unwrap_or(self.slots.len())
    }

    /// Adds the session of a client that has none, at [`next_slot`](Sessions::next_slot).
    pub(super) fn insert(&mut self, key: Key, session: S, now: Instant) -> usize {
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
    pub(super) fn retain(&mut self, keep: impl Fn(&S) -> bool) {
        for slot in 0..self.slots.len() {
            if self
                .entry(Some(slot))
                .is_some_and(|entry| !keep(&entry.session))
            {
                self.remove(slot);
            }
        }
    }

    fn entry(&self, slot: Option<usize>) -> Option<&Entry<S>> {
        self.slots.get(slot?)?.as_ref()
    }

    fn entry_mut(&mut self, slot: Option<usize>) -> Option<&mut Entry<S>> {
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

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn key(client: u16) -> Key {
        let address = |port| SocketAddr::from(([10, 0, 0, 1], port));
        Key {
            client: address(client),
            to: address(53),
        }
    }

    #[derive(Debug, Clone)]
    enum Event {
        /// A client sends something: its session is opened or used.
        Datagram(u16),
        Remove(u16),
        RemoveLongestIdle,
        /// Those below are not for here any more.
        KeepFrom(u16),
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            8 => (0..12_u16).prop_map(Event::Datagram),
            2 => (0..12_u16).prop_map(Event::Remove),
            2 => Just(Event::RemoveLongestIdle),
            1 => (0..12_u16).prop_map(Event::KeepFrom),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_one_idle_the_longest_is_known_after_any_history(history in vec(event(), 0..200)) {
            let mut sessions = Sessions::default();
            // The clients, the one that is idle the longest first.
            let mut expected: Vec<(u16, Instant)> = Vec::new();
            let mut now = Instant::now();
            for event in history {
                now += Duration::from_millis(1);
                let slot = |sessions: &Sessions<u16>, client| sessions.find(&key(client));
                match event {
                    Event::Datagram(client) => {
                        expected.retain(|(other, _)| *other != client);
                        expected.push((client, now));
                        if let Some(slot) = slot(&sessions, client) {
                            sessions.touch(slot, now);
                        } else {
                            let next = sessions.next_slot();
                            prop_assert_eq!(sessions.insert(key(client), client, now), next);
                        }
                    }
                    Event::Remove(client) => {
                        expected.retain(|(other, _)| *other != client);
                        if let Some(slot) = slot(&sessions, client) {
                            sessions.remove(slot);
                        }
                    }
                    Event::RemoveLongestIdle => {
                        if let Some((slot, _)) = sessions.longest_idle() {
                            sessions.remove(slot);
                            expected.remove(0);
                        }
                    }
                    Event::KeepFrom(first) => {
                        sessions.retain(|client| *client >= first);
                        expected.retain(|(client, _)| *client >= first);
                    }
                }
                prop_assert_eq!(sessions.is_empty(), expected.is_empty());
                for (client, _) in &expected {
                    let slot = slot(&sessions, *client);
                    let found = slot.and_then(|slot| sessions.get(slot));
                    prop_assert_eq!(found.map(|(_, client)| *client), Some(*client));
                }
            }
            for (client, used) in expected {
                let (slot, longest) = sessions.longest_idle().expect("some are left");
                prop_assert_eq!(sessions.get(slot).map(|(_, client)| *client), Some(client));
                prop_assert_eq!(longest, used);
                sessions.remove(slot);
            }
            prop_assert!(sessions.is_empty() && sessions.slots.is_empty());
        }
    }
}
