//! The names of the objects that were told and are not known to be gone: pure.
//!
//! It is all that a source needs to know of the past: after a list, who is on the roll and was not
//! in the list is gone.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use fairlead_core::api::ObjectName;

/// The roll of one kind.
#[derive(Debug, Default)]
pub(super) struct Roll {
    known: HashMap<ObjectName, Entry>,
    /// The list that was begun last.
    list: u32,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    /// The resource version that was told, hashed; `None` when what was told may be out of date.
    revision: Option<u64>,
    /// The list in which it was last seen.
    list: u32,
}

impl Roll {
    /// A list begins. What the one before it has seen does not count if it did not complete.
    pub(super) fn begin(&mut self) {
        self.list = self.list.wrapping_add(1);
    }

    /// The list is complete: takes off the roll and returns what is not in it.
    pub(super) fn complete(&mut self) -> Vec<ObjectName> {
        let list = self.list;
        let gone = self.known.extract_if(|_, entry| entry.list != list);
        gone.map(|(name, _)| name).collect()
    }

    /// Puts an object on the roll, and returns its name as it stands there, so that what is
    /// remembered of an object elsewhere shares it.
    pub(super) fn told(&mut self, name: ObjectName, revision: &str) -> ObjectName {
        let name = match self.known.get_key_value(&name) {
            Some((known, _)) => known.clone(),
            None => name,
        };
        self.enter(name.clone(), Some(hash(revision)));
        name
    }

    /// Takes note that an object exists that could not be told as it is. What was told of it
    /// before stays.
    pub(super) fn unread(&mut self, name: &ObjectName) {
        if let Some(entry) = self.known.get_mut(name) {
            entry.revision = None;
            entry.list = self.list;
        }
    }

    /// Whether this version of the object was told already; it is seen in the list if so.
    pub(super) fn is_told(&mut self, name: &ObjectName, revision: &str) -> bool {
        let list = self.list;
        let known = self.known.get_mut(name);
        let known = known.filter(|entry| entry.revision == Some(hash(revision)));
        known.map(|entry| entry.list = list).is_some() && !revision.is_empty()
    }

    /// Takes an object off the roll. True when it was on it.
    pub(super) fn gone(&mut self, name: &ObjectName) -> bool {
        self.known.remove(name).is_some()
    }

    /// Whether nothing was told so far.
    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    fn enter(&mut self, name: ObjectName, revision: Option<u64>) {
        let list = self.list;
        self.known.insert(name, Entry { revision, list });
    }
}

/// 64 bits are enough: a version is compared with the one before it of the same object.
fn hash(revision: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    revision.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> ObjectName {
        ObjectName::new("shop", name)
    }

    #[test]
    fn what_a_complete_list_lacks_is_gone() {
        let mut roll = Roll::default();
        roll.begin();
        roll.told(name("stays"), "1");
        roll.told(name("goes"), "2");
        assert_eq!(roll.complete(), []);
        roll.begin();
        assert!(roll.is_told(&name("stays"), "1"));
        assert_eq!(roll.complete(), [name("goes")]);
    }

    #[test]
    fn a_list_that_was_begun_anew_counts_from_its_new_beginning() {
        let mut roll = Roll::default();
        roll.told(name("goes"), "1");
        roll.begin();
        assert!(roll.is_told(&name("goes"), "1"));
        roll.begin();
        assert_eq!(roll.complete(), [name("goes")]);
    }

    #[test]
    fn another_version_is_not_told_and_one_that_could_not_be_read_stays() {
        let mut roll = Roll::default();
        roll.told(name("web"), "1");
        assert!(!roll.is_told(&name("web"), "2"));
        assert!(!roll.is_told(&name("db"), "1"));
        roll.begin();
        roll.unread(&name("web"));
        assert_eq!(roll.complete(), []);
        assert!(!roll.is_told(&name("web"), "1"));
        assert!(roll.gone(&name("web")) && !roll.gone(&name("web")));
    }

    #[test]
    fn objects_without_a_version_are_always_told_again() {
        let mut roll = Roll::default();
        roll.told(name("web"), "");
        assert!(!roll.is_told(&name("web"), ""));
    }
}
