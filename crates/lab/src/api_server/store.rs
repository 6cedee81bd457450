//! Objects, their versions and what happened to them: a small etcd. Time is an argument.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::Value;

use super::managed::managed_fields;
use super::object::{Object, key, metadata};
use super::resource::Resource;
use super::snapshot::Snapshot;
use super::status::Status;

/// Something that happened to an object: made if there was none before, deleted if there is none
/// after.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) version: u64,
    pub(super) resource: Resource,
    pub(super) before: Option<Arc<Object>>,
    pub(super) after: Option<Arc<Object>>,
}

/// All objects of a resource by key.
pub(super) type Objects = BTreeMap<String, Arc<Object>>;

/// Objects and their history.
#[derive(Debug)]
pub(super) struct Store {
    objects: BTreeMap<Resource, Objects>,
    history: VecDeque<Arc<Event>>,
    /// How many events are remembered.
    limit: usize,
    /// The version of the last write.
    version: u64,
    /// All that happened after this version is remembered.
    oldest: u64,
    /// Whether objects get the fields that say who manages what, which make up much of their size.
    manage: bool,
}

/// Versions of a cluster do not begin at 1 either.
const FIRST_VERSION: u64 = 1000;

impl Store {
    pub(super) fn new(limit: usize, manage: bool) -> Store {
        let objects = Resource::ALL.map(|resource| (resource, Objects::new()));
        Store {
            objects: objects.into(),
            history: VecDeque::new(),
            limit,
            version: FIRST_VERSION,
            oldest: FIRST_VERSION,
            manage,
        }
    }

    /// The version of the last write.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// What happened after this version is remembered.
    pub(super) fn oldest(&self) -> u64 {
        self.oldest
    }

    pub(super) fn of(&self, resource: Resource) -> &Objects {
        // All have their place from the beginning.
        &self.objects[&resource]
    }

    pub(super) fn get(&self, resource: Resource, key: &str) -> Option<&Arc<Object>> {
        self.of(resource).get(key)
    }

    /// Writes an object, whether there was one or not. It has to have a name.
    pub(super) fn put(&mut self, resource: Resource, mut value: Value, now: &str) -> Arc<Event> {
        let version = self.version + 1;
        let key = self.complete(resource, &mut value, version, now);
        let object = Object::new(resource, value, version);
        self.write(resource, key, Some(Arc::new(object)))
    }

    /// Puts objects in that are complete but for their place.
    pub(super) fn write(
        &mut self,
        resource: Resource,
        key: String,
        after: Option<Arc<Object>>,
    ) -> Arc<Event> {
        self.version += 1;
        let objects = self.objects.entry(resource).or_default();
        let before = match &after {
            Some(object) => objects.insert(key, object.clone()),
            None => objects.remove(&key),
        };
        let event = Arc::new(Event {
            version: self.version,
            resource,
            before,
            after,
        });
        self.history.push_back(event.clone());
        if self.history.len() > self.limit
            && let Some(forgotten) = self.history.pop_front()
        {
            self.oldest = forgotten.version;
        }
        event
    }

    /// Writes an object over the one that is there. One of another version is a conflict; one with
    /// nothing new is no event.
    pub(super) fn update(
        &mut self,
        resource: Resource,
        value: Value,
        now: &str,
    ) -> Result<Option<Arc<Event>>, Status> {
        let name = text(&value, "/metadata/name").unwrap_or_default();
        let key = key(text(&value, "/metadata/namespace"), name);
        let Some(there) = self.get(resource, &key) else {
            return Err(Status::not_found(resource, name));
        };
        let version = text(&value, "/metadata/resourceVersion").unwrap_or_default();
        if !version.is_empty() && version != there.version.to_string() {
            return Err(Status::conflict(resource, name));
        }
        let mut same = there.value();
        if version.is_empty() {
            metadata(&mut same).remove("resourceVersion");
        }
        if same == value {
            return Ok(None);
        }
        Ok(Some(self.put(resource, value, now)))
    }

    /// Deletes an object. `None` if it is not there.
    pub(super) fn delete(&mut self, resource: Resource, key: &str) -> Option<Arc<Event>> {
        self.get(resource, key)?;
        Some(self.write(resource, key.to_owned(), None))
    }

    /// What happened after this version. `None` if not all of it is remembered.
    pub(super) fn since(
        &self,
        version: u64,
    ) -> Option<impl DoubleEndedIterator<Item = &Arc<Event>>> {
        let first = self
            .history
            .partition_point(|event| event.version <= version);
        (version >= self.oldest).then(|| self.history.range(first..))
    }

    /// The objects as they were at a version. `None` if that is not remembered.
    pub(super) fn at(&self, resource: Resource, version: u64) -> Option<Snapshot<'_>> {
        let mut since = BTreeMap::new();
        // Of several changes the first counts, which comes last here.
        for event in self
            .since(version)?
            .rev()
            .filter(|event| event.resource == resource)
        {
            let either = event.before.as_ref().or(event.after.as_ref());
            if let Some(object) = either {
                since.insert(object.key(), event.before.clone());
            }
        }
        Some(Snapshot {
            objects: self.of(resource),
            since,
        })
    }

    /// Forgets all that happened.
    pub(super) fn compact(&mut self) {
        self.history.clear();
        self.oldest = self.version;
    }

    /// Fills metadata in as the real server does, and returns the key.
    fn complete(&self, resource: Resource, value: &mut Value, version: u64, now: &str) -> String {
        let managed = self.manage.then(|| managed_fields(resource, value, now));
        let metadata = metadata(value);
        if resource.is_namespaced() && !metadata.contains_key("namespace") {
            metadata.insert("namespace".into(), "default".into());
        }
        let word = |name: &str| metadata.get(name).and_then(Value::as_str);
        let key = key(
            word("namespace").filter(|_| resource.is_namespaced()),
            word("name").unwrap_or_default(),
        );
        let there = self.get(resource, &key).map(|there| there.value());
        let keep = |field: &str, new: &str| match &there {
            Some(there) => there["metadata"][field].clone(),
            None => new.into(),
        };
        let uid = keep("uid", &uid(version));
        let created = keep("creationTimestamp", now);
        metadata.insert("uid".into(), uid);
        metadata.insert("creationTimestamp".into(), created);
        metadata.insert("resourceVersion".into(), version.to_string().into());
        if let Some(managed) = managed {
            metadata.entry("managedFields").or_insert(managed);
        }
        key
    }
}

/// Different for every object, and the same in every run.
pub(super) fn uid(version: u64) -> String {
    format!(
        "{:08x}-5e1f-4c00-8000-{version:012x}",
        version.wrapping_mul(0x9e37_79b9) as u32
    )
}

/// The text at a pointer.
pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: &str = "2026-01-02T03:04:05Z";
    const KIND: Resource = Resource::Services;

    fn service(name: &str, port: u16) -> Value {
        json!({"metadata": {"name": name, "namespace": "a"}, "spec": {"port": port}})
    }

    fn ports(snapshot: &Snapshot<'_>, after: &str) -> Vec<(String, u64)> {
        let port = |object: &Arc<Object>| object.value()["spec"]["port"].as_u64().unwrap();
        let objects = snapshot.after(after);
        objects.map(|object| (object.key(), port(object))).collect()
    }

    #[test]
    fn metadata_are_filled_in_and_kept() {
        let mut store = Store::new(10, false);
        let first = store.put(KIND, service("x", 1), NOW).after.clone().unwrap();
        let second = store
            .put(KIND, service("x", 2), "later")
            .after
            .clone()
            .unwrap();
        let (first, second) = (first.value(), second.value());
        assert_eq!(first["metadata"]["creationTimestamp"], NOW);
        assert_eq!(first["metadata"]["uid"], second["metadata"]["uid"]);
        assert_eq!(second["metadata"]["creationTimestamp"], NOW);
        assert_eq!(second["metadata"]["resourceVersion"], "1002");
    }

    #[test]
    fn the_past_can_be_listed() {
        let mut store = Store::new(10, false);
        store.put(KIND, service("b", 1), NOW);
        store.put(KIND, service("d", 1), NOW);
        let then = store.version();
        store.put(KIND, service("a", 1), NOW);
        store.put(KIND, service("b", 2), NOW);
        store.put(KIND, service("b", 3), NOW);
        store.delete(KIND, "a/d");
        let expected = [("a/b".to_owned(), 1), ("a/d".to_owned(), 1)];
        assert_eq!(ports(&store.at(KIND, then).unwrap(), ""), expected);
        assert_eq!(ports(&store.at(KIND, then).unwrap(), "a/b"), expected[1..]);
        let now = [("a/a".to_owned(), 1), ("a/b".to_owned(), 3)];
        assert_eq!(ports(&store.at(KIND, store.version()).unwrap(), ""), now);
    }

    #[test]
    fn what_is_forgotten_is_said_to_be() {
        let mut store = Store::new(2, false);
        for port in 1..=3 {
            store.put(KIND, service("b", port), NOW);
        }
        assert_eq!(store.oldest(), 1001);
        assert!(store.since(1000).is_none() && store.at(KIND, 1000).is_none());
        assert_eq!(store.since(1001).unwrap().count(), 2);
        store.compact();
        assert!(store.since(1002).is_none());
        assert_eq!(store.since(1003).unwrap().count(), 0);
    }

    #[test]
    fn an_update_of_another_version_is_a_conflict() {
        let mut store = Store::new(10, false);
        let missing = store.update(KIND, service("x", 1), NOW).unwrap_err();
        assert_eq!(missing.reason, "NotFound");
        store.put(KIND, service("x", 1), NOW);
        let mut mine = store.get(KIND, "a/x").unwrap().value();
        store.put(KIND, service("x", 2), NOW);
        mine["spec"]["port"] = 3.into();
        let refused = store.update(KIND, mine.clone(), NOW).unwrap_err();
        assert_eq!((refused.code, refused.reason), (409, "Conflict"));
        mine["metadata"]["resourceVersion"] = "".into();
        assert!(store.update(KIND, mine, NOW).unwrap().is_some());
        let same = store.get(KIND, "a/x").unwrap().value();
        assert!(store.update(KIND, same, NOW).unwrap().is_none());
    }
}
