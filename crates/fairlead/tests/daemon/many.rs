//! More Services than fit on a page.

use serde_json::{Value, json};

use crate::objects::{service, slice};

/// A list of so many Services with two endpoints each.
pub(crate) fn many(services: u16) -> Value {
    let mut items = Vec::new();
    for n in 0..services {
        let (name, [high, low]) = (format!("many-{n}"), n.to_be_bytes());
        items.push(service(
            &name,
            &json!({
                "clusterIP": format!("10.97.{high}.{low}"),
                "type": "NodePort", "ports": [{"port": 80, "nodePort": 20_000 + n}],
            }),
        ));
        items.push(slice(&name, "TCP", 8080, &["10.244.2.5", "10.244.2.6"]));
    }
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}
