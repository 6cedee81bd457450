//! One set of the fake: which elements it takes, and which can be beside each other.

use std::collections::BTreeMap;

use super::super::counters::{CountedElement, Counts};
use super::super::handle::ObservedSet;
use super::super::ruleset::{Bytes, Data, DataType, Element, Family, Set, Verdict};
use super::super::schema::{kernel_len, padded_len};
use super::super::userdata::comment_text;

#[derive(Debug, Clone)]
pub(super) struct FilledSet {
    pub(super) set: Set,
    /// By their keys; of ranges, by their first keys, no two of which are the same.
    pub(super) elements: BTreeMap<Bytes, Element>,
    /// What elements have counted, if anything.
    counts: BTreeMap<Bytes, Counts>,
}

impl FilledSet {
    pub(super) fn new(set: Set) -> Self {
        let (elements, counts) = (BTreeMap::new(), BTreeMap::new());
        FilledSet {
            set,
            elements,
            counts,
        }
    }

    /// A set that is there may get another size and comment, but nothing else.
    pub(super) fn define_again(&mut self, new: &Set) -> Result<(), i32> {
        let data = |set: &Set| set.data.clone();
        let kind = |set: &Set| (set.key, data(set), set.interval, set.dynamic, set.counted);
        if kind(&self.set) != kind(new) {
            return Err(libc::EEXIST);
        }
        self.set.size = new.size.or(self.set.size);
        Ok(())
    }

    /// The chains that verdicts lead to, one for each element.
    pub(super) fn targets(&self) -> impl Iterator<Item = &str> {
        // A set holds one kind of data: there is no need to look at values.
        let verdicts = self.set.data == Some(DataType::Verdict);
        let elements = verdicts.then_some(&self.elements);
        elements
            .into_iter()
            .flat_map(BTreeMap::values)
            .filter_map(target)
    }

    /// Whether key and data are of the set's types.
    pub(super) fn check(&self, family: Family, element: &Element) -> Result<(), i32> {
        self.check_key(family, &element.key, element.key_end.as_deref())?;
        let fits = match (&self.set.data, &element.data) {
            (None, None) | (Some(DataType::Verdict), Some(Data::Verdict(_))) => true,
            (Some(DataType::Fields(types)), Some(Data::Value(value))) => {
                value.as_slice().len() == padded_len(types, family)
            }
            _ => false,
        };
        fits.then_some(()).ok_or(libc::EINVAL)
    }

    fn check_key(&self, family: Family, key: &Bytes, end: Option<&Bytes>) -> Result<(), i32> {
        let length = padded_len(self.set.key, family);
        let right_length = |key: &Bytes| key.as_slice().len() == length;
        let fits = right_length(key)
            && match end {
                None => !self.set.interval,
                Some(end) => {
                    self.set.interval
                        && right_length(end)
                        && key <= end
                        && self.leading(family, key) == self.leading(family, end)
                }
            };
        fits.then_some(()).ok_or(libc::EINVAL)
    }

    /// The bytes of all fields but the last, which alone may be a range.
    fn leading<'a>(&self, family: Family, key: &'a Bytes) -> &'a [u8] {
        let leading = self.set.key.split_last().map_or(&[][..], |(_, rest)| rest);
        &key.as_slice()[..padded_len(leading, family)]
    }

    /// Adds an element that fits. One that is there may be added again.
    pub(super) fn add(&mut self, family: Family, element: Element) -> Result<(), i32> {
        if let Some(old) = self.clashing(family, &element) {
            let same = old.key == element.key
                && old.key_end == element.key_end
                && old.data == element.data;
            return same.then_some(()).ok_or(libc::EEXIST);
        }
        if self.is_full() {
            return Err(libc::ENFILE);
        }
        self.elements.insert(element.key, element);
        Ok(())
    }

    fn is_full(&self) -> bool {
        let size = self.set.size;
        size.is_some_and(|size| self.elements.len() >= size as usize)
    }

    /// The element that a new one cannot be beside of. Ranges of a single field may not overlap
    /// at all. In a concatenation neither end may be in another range, but a range may be put
    /// around those that are there already (`nft_pipapo_insert`).
    fn clashing(&self, family: Family, new: &Element) -> Option<&Element> {
        if let Some(same_key) = self.elements.get(&new.key) {
            return Some(same_key);
        }
        let end = **new.key_end.as_ref()?;
        let has = |old: &Element, key| old.key <= key && old.key_end.as_deref() >= Some(&key);
        let mut before = self.elements.range(..=end).rev().map(|(_, old)| old);
        if let [_] = self.set.key {
            return before
                .next()
                .filter(|old| old.key_end.as_deref() >= Some(&new.key));
        }
        let leading = self.leading(family, &end);
        before
            .take_while(|old| self.leading(family, &old.key) == leading)
            .find(|old| has(old, new.key) || has(old, end))
    }

    /// Adds what a packet brings, unless it is known.
    pub(super) fn learn(&mut self, family: Family, element: Element) -> Result<(), i32> {
        self.check(family, &element)?;
        if !self.set.dynamic {
            return Err(libc::EOPNOTSUPP);
        }
        if self.elements.contains_key(&element.key) {
            return Ok(());
        }
        self.add(family, element)
    }

    /// Removes the element with this one's key.
    pub(super) fn delete(&mut self, family: Family, one: &Element) -> Result<(), i32> {
        self.check_key(family, &one.key, one.key_end.as_deref())?;
        let found = self.elements.get(&one.key);
        if found.is_none_or(|old| old.key_end != one.key_end) {
            return Err(libc::ENOENT);
        }
        self.elements.remove(&one.key);
        self.counts.remove(&one.key);
        Ok(())
    }

    pub(super) fn flush(&mut self) {
        self.elements.clear();
        self.counts.clear();
    }

    /// A packet's lookup found the element.
    pub(super) fn count(&mut self, key: &Bytes, bytes: u64) -> Result<(), i32> {
        if !self.set.counted {
            return Err(libc::EOPNOTSUPP);
        }
        self.elements.get(key).ok_or(libc::ENOENT)?;
        let counts = self.counts.entry(*key).or_default();
        counts.packets += 1;
        counts.bytes += bytes;
        Ok(())
    }

    /// The elements with what they counted; none where they do not.
    pub(super) fn counted(&self) -> impl Iterator<Item = CountedElement<'_>> {
        let elements = self.set.counted.then_some(&self.elements);
        let elements = elements.into_iter().flat_map(BTreeMap::values);
        elements.map(|element| CountedElement {
            key: element.key,
            comment: element.comment.as_deref().map(comment_text),
            counts: self.counts.get(&element.key).copied().unwrap_or_default(),
        })
    }

    pub(super) fn observed(&self, family: Family) -> ObservedSet {
        let set = &self.set;
        let data_len = match &set.data {
            Some(DataType::Fields(types)) => Some(kernel_len(types, family) as u32),
            _ => None,
        };
        let elements = if set.dynamic {
            Vec::new()
        } else {
            self.elements.values().map(observed_element).collect()
        };
        ObservedSet {
            name: set.name.to_owned(),
            key_len: kernel_len(set.key, family) as u32,
            data_len,
            verdict_map: set.data == Some(DataType::Verdict),
            interval: set.interval,
            dynamic: set.dynamic,
            counted: set.counted,
            size: set.size,
            elements,
        }
    }
}

/// The chain that an element's verdict leads to.
pub(super) fn target(element: &Element) -> Option<&str> {
    match &element.data {
        Some(Data::Verdict(Verdict::Goto(chain) | Verdict::Jump(chain))) => Some(chain),
        _ => None,
    }
}

/// As it was given, but for the end of a comment that is too long.
fn observed_element(element: &Element) -> Element {
    let comment = element.comment.as_deref().map(comment_text);
    Element {
        comment: comment.map(Into::into),
        ..element.clone()
    }
}
