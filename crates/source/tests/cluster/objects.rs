//! Objects to be told of.

use fairlead_lab::api_server::ApiServer;
use serde_json::{Value, json};

use crate::ear::NODE;

pub(crate) fn service(name: &str, address: &str) -> Value {
    json!({
        "kind": "Service",
        "metadata": { "name": name, "namespace": "shop" },
        "spec": { "clusterIP": address, "clusterIPs": [address], "ipFamilies": ["IPv4"],
                  "ports": [{ "port": 80, "protocol": "TCP" }] },
    })
}

pub(crate) fn slice(name: &str, service: &str, addresses: &[&str]) -> Value {
    let endpoint =
        |address: &&str| json!({ "addresses": [address], "conditions": { "ready": true } });
    let endpoints: Vec<_> = addresses.iter().map(endpoint).collect();
    json!({
        "kind": "EndpointSlice",
        "metadata": { "name": name, "namespace": "shop", "labels": { "kubernetes.io/service-name": service } },
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": [{ "name": "", "port": 8080, "protocol": "TCP" }],
    })
}

pub(crate) fn node(name: &str, zone: &str) -> Value {
    json!({
        "kind": "Node",
        "metadata": { "name": name, "labels": { "topology.kubernetes.io/zone": zone } },
        "spec": { "podCIDRs": ["10.1.0.0/24"] },
        "status": { "addresses": [{ "type": "InternalIP", "address": "192.0.2.1" }] },
    })
}

pub(crate) fn cidr(name: &str, range: &str) -> Value {
    json!({ "kind": "ServiceCIDR", "metadata": { "name": name }, "spec": { "cidrs": [range] } })
}

/// Ten Services with a slice each, our node and a range.
pub(crate) fn furnish(server: &ApiServer) {
    for number in 0..10 {
        let name = format!("service-{number}");
        let address = format!("10.96.0.{}", number + 1);
        server.apply(&service(&name, &address)).unwrap();
        server
            .apply(&slice(&format!("{name}-x"), &name, &["10.1.0.7"]))
            .unwrap();
    }
    server.apply(&node(NODE, "west")).unwrap();
    server.apply(&cidr("kubernetes", "10.96.0.0/16")).unwrap();
}
