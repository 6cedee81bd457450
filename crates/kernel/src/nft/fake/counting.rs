//! Counters of the fake: what packets would count, and how it is read.

use super::super::counters::{CountedElement, Counts, ReadCounters};
use super::super::handle::CallError;
use super::super::ruleset::{Bytes, SetName, TableId};
use super::FakeNft;
use super::set::FilledSet;

impl FakeNft {
    /// What a packet does whose lookup finds an element that counts. The errno when it cannot:
    /// `EOPNOTSUPP` for a set whose elements do not count.
    pub fn count_element(
        &mut self,
        table: TableId,
        set: &str,
        key: &Bytes,
        bytes: u64,
    ) -> Result<(), i32> {
        let table = self.tables.get_mut(&table).ok_or(libc::ENOENT)?;
        table.count_element(set, key, bytes)
    }

    /// What a packet does that comes to a rule with a named counter.
    pub fn count(&mut self, table: TableId, counter: &str, bytes: u64) -> Result<(), i32> {
        let table = self.tables.get_mut(&table).ok_or(libc::ENOENT)?;
        table.count(counter, bytes)
    }
}

impl ReadCounters for FakeNft {
    fn elements(
        &mut self,
        table: TableId,
        set: SetName,
        take: &mut dyn FnMut(&CountedElement<'_>),
    ) -> Result<(), CallError> {
        let set = self
            .tables
            .get(&table)
            .and_then(|table| table.sets.get(set));
        let elements = set.into_iter().flat_map(FilledSet::counted);
        elements.for_each(|element| take(&element));
        Ok(())
    }

    fn counters(
        &mut self,
        table: TableId,
        take: &mut dyn FnMut(&str, Counts),
    ) -> Result<(), CallError> {
        let counters = self.tables.get(&table).map(|table| &table.counters);
        for (name, counter) in counters.into_iter().flatten() {
            take(name, counter.counts);
        }
        Ok(())
    }
}
