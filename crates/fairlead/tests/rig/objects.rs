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
