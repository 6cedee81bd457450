//! Which fields of a group and which items of a list are read: those that are known, say something
//! and did not fail to fit before. The others are noted.

use serde::de::{DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess};

use super::super::tree::{Key, Node, Value};
use super::{Flaw, Place, Unfit};

impl Place<'_> {
    /// Notes fields that are not known, or there twice.
    pub(super) fn note_fields(&self, entries: &[(Key, Node)], known: &'static [&'static str]) {
        let mut found = self.notes.found.borrow_mut();
        for (index, (key, _)) in entries.iter().enumerate() {
            let path = join(&self.path, &key.name);
            let flaw = |message: String| Flaw {
                line: key.line,
                path: path.clone(),
                message,
            };
            let earlier = entries[..index]
                .iter()
                .find(|(other, _)| other.name == key.name);
            if let Some((first, _)) = earlier {
                let message = format!("is given twice, first on line {}", first.line);
                found.flaws.push(flaw(message));
            } else if !known.contains(&&*key.name) {
                found.unknown.push((flaw(String::new()), known));
            }
            found.lines.entry(path).or_insert(key.line);
        }
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

/// The fields of a group.
pub(super) struct Entries<'a, 'p> {
    place: &'p Place<'a>,
    fields: &'a [(Key, Node)],
    /// The names that may be used; any if that is not said.
    known: Option<&'static [&'static str]>,
    at: usize,
}

impl<'a, 'p> Entries<'a, 'p> {
    /// Of any names.
    pub(super) fn of(place: &'p Place<'a>, fields: &'a [(Key, Node)]) -> Entries<'a, 'p> {
        Entries {
            place,
            fields,
            known: None,
            at: 0,
        }
    }

    /// Of these names alone.
    pub(super) fn known(
        place: &'p Place<'a>,
        fields: &'a [(Key, Node)],
        names: &'static [&'static str],
    ) -> Entries<'a, 'p> {
        Entries {
            known: Some(names),
            ..Entries::of(place, fields)
        }
    }

    /// Whether it is to be read: it says something, is known, fits, and is the first of its name.
    fn counts(&self, at: usize) -> bool {
        let (key, node) = &self.fields[at];
        let unfit = self.place.notes.unfit;
        !matches!(node.value, Value::Null)
            && self.known.is_none_or(|known| known.contains(&&*key.name))
            && !unfit.contains(&join(&self.place.path, &key.name))
            && !self.fields[..at]
                .iter()
                .any(|(other, _)| other.name == key.name)
    }
}

impl<'de> MapAccess<'de> for Entries<'_, '_> {
    type Error = Unfit;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Unfit> {
        while self.at < self.fields.len() && !self.counts(self.at) {
            self.at += 1;
        }
        let Some((key, _)) = self.fields.get(self.at) else {
            return Ok(None);
        };
        seed.deserialize(key.name.as_str().into_deserializer())
            .map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Unfit> {
        let (key, node) = &self.fields[self.at];
        self.at += 1;
        seed.deserialize(Place {
            node,
            path: join(&self.place.path, &key.name),
            notes: self.place.notes,
        })
    }
}

/// The items of a list.
pub(super) struct Items<'a, 'p> {
    place: &'p Place<'a>,
    nodes: std::iter::Enumerate<std::slice::Iter<'a, Node>>,
}

impl<'a, 'p> Items<'a, 'p> {
    pub(super) fn of(place: &'p Place<'a>, nodes: &'a [Node]) -> Items<'a, 'p> {
        Items {
            place,
            nodes: nodes.iter().enumerate(),
        }
    }
}

impl<'de> SeqAccess<'de> for Items<'_, '_> {
    type Error = Unfit;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Unfit> {
        for (index, node) in self.nodes.by_ref() {
            let path = format!("{}[{index}]", self.place.path);
            if !self.place.notes.unfit.contains(&path) {
                let place = Place {
                    node,
                    path,
                    notes: self.place.notes,
                };
                return seed.deserialize(place).map(Some);
            }
        }
        Ok(None)
    }
}
