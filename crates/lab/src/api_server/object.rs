//! One version of an object: its JSON, written once, and what selectors ask of it.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Map, Value};

use super::resource::Resource;

/// One version of an object. Never changes.
#[derive(Debug)]
pub(super) struct Object {
    resource: Resource,
    pub(super) version: u64,
    labels: BTreeMap<String, String>,
    fields: Vec<(&'static str, String)>,
    /// Its JSON without the brace in front and without kind and API version, which it has in a
    /// watch but not in a list.
    rest: Bytes,
}

impl Object {
    /// Of a value with its metadata complete. The version is said again, for it is a number here.
    pub(super) fn new(resource: Resource, mut value: Value, version: u64) -> Object {
        if let Some(content) = value.as_object_mut() {
            content.remove("kind");
            content.remove("apiVersion");
        }
        let labels = value.pointer("/metadata/labels").and_then(Value::as_object);
        let fields = selectable(resource).iter().filter_map(|field| {
            let pointer = format!("/{}", field.replace('.', "/"));
            Some((*field, as_text(value.pointer(&pointer)?)?))
        });
        Object {
            resource,
            version,
            labels: labels.map(texts).unwrap_or_default(),
            fields: fields.collect(),
            rest: value.to_string().split_off(1).into(),
        }
    }

    /// Of JSON that is there already, without the brace in front, kind and API version.
    pub(super) fn written(
        resource: Resource,
        version: u64,
        labels: BTreeMap<String, String>,
        fields: Vec<(&'static str, String)>,
        rest: String,
    ) -> Object {
        Object {
            resource,
            version,
            labels,
            fields,
            rest: rest.into(),
        }
    }

    pub(super) fn namespace(&self) -> Option<&str> {
        self.field("metadata.namespace")
    }

    pub(super) fn name(&self) -> &str {
        self.field("metadata.name").unwrap_or_default()
    }

    pub(super) fn label(&self, key: &str) -> Option<&str> {
        self.labels.get(key).map(String::as_str)
    }

    /// A field that selectors may name.
    pub(super) fn field(&self, key: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(name, _)| *name == key);
        found.map(|(_, value)| value.as_str())
    }

    /// Its key among the objects of its resource, in the order of the real store.
    pub(super) fn key(&self) -> String {
        key(self.namespace(), self.name())
    }

    /// As it is in a list.
    pub(super) fn write_item(&self, to: &mut Vec<u8>) {
        to.push(b'{');
        to.extend_from_slice(&self.rest);
    }

    /// As it is on its own.
    pub(super) fn write(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(head(self.resource).as_bytes());
        to.push(b',');
        to.extend_from_slice(&self.rest);
    }

    /// As it is on its own.
    pub(super) fn json(&self) -> Vec<u8> {
        let mut json = Vec::with_capacity(self.rest.len() + 64);
        self.write(&mut json);
        json
    }

    /// To be looked into.
    pub(super) fn value(&self) -> Value {
        serde_json::from_slice(&self.json()).unwrap_or_default()
    }

    /// The same with another version: what a deleted object has in a watch.
    pub(super) fn with_version(&self, version: u64) -> Object {
        let mut value = self.value();
        metadata(&mut value).insert("resourceVersion".into(), version.to_string().into());
        Object::new(self.resource, value, version)
    }
}

/// Where an object is among those of its resource. As in etcd, a namespace counts as one text
/// with the name: `a-b/x` is in front of `a/x`.
pub(super) fn key(namespace: Option<&str>, name: &str) -> String {
    match namespace {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name.to_owned(),
    }
}

/// The beginning of an object: kind and API version.
pub(super) fn head(resource: Resource) -> String {
    let (kind, version) = (resource.kind(), resource.api_version());
    format!(r#"{{"kind":"{kind}","apiVersion":"{version}""#)
}

/// The fields that a selector may name.
pub(super) fn selectable(resource: Resource) -> &'static [&'static str] {
    match resource {
        Resource::Services => &[
            "metadata.name",
            "metadata.namespace",
            "spec.clusterIP",
            "spec.type",
        ],
        Resource::Nodes => &["metadata.name", "spec.unschedulable"],
        Resource::ServiceCidrs => &["metadata.name"],
        Resource::EndpointSlices => &["metadata.name", "metadata.namespace"],
        Resource::Events => &["metadata.name", "metadata.namespace", "reason", "type"],
    }
}

/// The metadata of an object, which is made if there is none.
pub(super) fn metadata(value: &mut Value) -> &mut Map<String, Value> {
    as_map(as_map(value).entry("metadata").or_insert(Value::Null))
}

/// What is no object becomes one.
fn as_map(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("it was made one"),
    }
}

fn texts(map: &Map<String, Value>) -> BTreeMap<String, String> {
    map.iter()
        .filter_map(|(key, value)| Some((key.clone(), as_text(value)?)))
        .collect()
}

fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn kind_and_version_are_on_objects_and_not_on_items() {
        let value = json!({"kind": "Node", "apiVersion": "v1", "metadata": {"name": "n"}});
        let node = Object::new(Resource::Nodes, value.clone(), 7);
        assert_eq!(node.value(), value);
        let mut item = Vec::new();
        node.write_item(&mut item);
        assert_eq!(item, br#"{"metadata":{"name":"n"}}"#);
    }

    #[test]
    fn a_version_can_be_put_in() {
        let node = Object::new(Resource::Nodes, json!({"metadata": {"name": "n"}}), 7);
        let gone = node.with_version(9);
        assert_eq!(gone.value()["metadata"]["resourceVersion"], "9");
        assert_eq!((gone.version, gone.name()), (9, "n"));
    }
}
