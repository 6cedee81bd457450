//! Whether the API server of tests is like the real one, and goes wrong as ordered.

mod access;
mod client;
mod faults;
mod lists;
mod watch_faults;
mod watches;
mod writes;

use fairlead_lab::api_server::ApiServer;
use serde_json::{Value, json};

/// A server with so many Services in the namespace `shop`: `s0`, `s1`, ...
fn with_services(server: ApiServer, services: usize) -> ApiServer {
    for service in 0..services {
        server
            .apply(&self::service(&format!("s{service}"), &json!({})))
            .expect("a Service");
    }
    server
}

fn service(name: &str, labels: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "shop", "labels": labels},
        "spec": {"clusterIP": "10.96.0.1", "ports": [{"port": 80}]},
    })
}
