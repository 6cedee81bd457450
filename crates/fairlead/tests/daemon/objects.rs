//! Kubernetes objects, as short as they can be said.

use serde_json::{Value, json};

/// A Service of this name.
pub(crate) fn service(name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec})
}

/// The only slice of a Service, with these endpoints on other nodes.
pub(crate) fn slice(service: &str, protocol: &str, port: u16, addresses: &[&str]) -> Value {
    let endpoints: Vec<Value> = addresses
        .iter()
        .map(|address| json!({"addresses": [address], "nodeName": "node2"}))
        .collect();
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": service, "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4",
        "ports": [{"name": "", "protocol": protocol, "port": port}],
        "endpoints": endpoints,
    })
}

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
