//! Objects as they were: those of now, but for what has changed since.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use super::object::Object;
use super::store::Objects;

/// Objects as they were at a version.
pub(super) struct Snapshot<'a> {
    pub(super) objects: &'a Objects,
    /// What has changed since, as it was.
    pub(super) since: BTreeMap<String, Option<Arc<Object>>>,
}

impl<'a> Snapshot<'a> {
    /// All objects whose key comes after this one, in order.
    pub(super) fn after(&'a self, key: &str) -> Box<dyn Iterator<Item = &'a Arc<Object>> + 'a> {
        let range = (Bound::Excluded(key), Bound::Unbounded);
        let now = self.objects.range::<str, _>(range);
        if self.since.is_empty() {
            return Box::new(now.map(|(_, object)| object));
        }
        let unchanged = now.filter(|(key, _)| !self.since.contains_key(*key));
        let changed = self.since.range::<str, _>(range);
        let changed = changed.filter_map(|(key, object)| Some((key, object.as_ref()?)));
        let then: BTreeMap<&String, &Arc<Object>> = unchanged.chain(changed).collect();
        Box::new(then.into_values())
    }
}
