//! `metadata.managedFields`: who set which field. No client here reads it, but it is a large part
//! of what real objects weigh.

use serde_json::{Map, Value, json};

use super::resource::Resource;

/// What an object would have if one controller had set all of it.
pub(super) fn managed_fields(resource: Resource, value: &Value, now: &str) -> Value {
    let mut set = Map::new();
    for (field, content) in value.as_object().into_iter().flatten() {
        match field.as_str() {
            "kind" | "apiVersion" => {}
            "metadata" => {
                let kept = ["labels", "annotations", "generateName", "ownerReferences"];
                let kept = |(field, _): &(&String, &Value)| kept.contains(&field.as_str());
                let metadata = content.as_object().into_iter().flatten().filter(kept);
                set.insert("f:metadata".into(), owned(metadata));
            }
            _ => {
                set.insert(format!("f:{field}"), fields(content));
            }
        }
    }
    json!([{
        "manager": "kube-controller-manager",
        "operation": "Update",
        "apiVersion": resource.api_version(),
        "time": now,
        "fieldsType": "FieldsV1",
        "fieldsV1": set,
    }])
}

fn owned<'a>(fields_of: impl Iterator<Item = (&'a String, &'a Value)>) -> Value {
    let each = fields_of.map(|(field, content)| (format!("f:{field}"), fields(content)));
    // The map itself is a field too, written as a dot.
    let all: Map<String, Value> = [(".".to_owned(), json!({}))]
        .into_iter()
        .chain(each)
        .collect();
    Value::Object(all)
}

/// Lists count as one field.
fn fields(content: &Value) -> Value {
    match content {
        Value::Object(map) => owned(map.iter()),
        _ => json!({}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_somebodys() {
        let service = json!({
            "kind": "Service",
            "metadata": {"name": "a", "labels": {"app": "web"}},
            "spec": {"clusterIP": "10.96.0.1", "ports": [{"port": 80}]},
        });
        let managed = managed_fields(Resource::Services, &service, "now");
        assert_eq!(
            managed[0]["fieldsV1"],
            json!({
                "f:metadata": {".": {}, "f:labels": {".": {}, "f:app": {}}},
                "f:spec": {".": {}, "f:clusterIP": {}, "f:ports": {}},
            })
        );
    }
}
