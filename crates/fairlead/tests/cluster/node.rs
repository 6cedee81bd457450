//! Our Node object: what it says of addresses, pods, zone, and whether it is to stay.

use std::time::Duration;

use fairlead_lab::Client;
use fairlead_lab::api_server::{ApiServer, Resource};
use libtest_mimic::Failed;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::fixture::{Cluster, WEB, ended, node, node_with};
use crate::objects::{service, slice};
use crate::tests;
use crate::watch::{await_health, eventually, hear, listing, on_node, within};

tests! {
    a_node_that_never_comes_is_not_waited_for_for_ever,
    without_the_pods_networks_that_are_asked_for_it_waits,
    networks_of_the_wrong_family_are_the_end,
    other_addresses_of_the_node_count_at_once,
    other_networks_of_its_pods_count_at_once,
    another_zone_counts_at_once,
    the_bind_address_stands_for_the_nodes,
    load_balancers_are_told_that_the_node_goes,
}

/// A node port, and the address that the node gets besides its own.
const NODE_PORT: &str = "30501";
const OTHER: &str = "192.0.2.12";

fn with_node_port() -> Result<Cluster, Failed> {
    let cluster = Cluster::new()?;
    let spec = json!({"clusterIP": "10.96.50.1", "type": "NodePort",
                      "ports": [{"port": 80, "nodePort": 30_501}]});
    cluster.server.apply(&service("web", &spec))?;
    on_node(&cluster.lab, &format!("ip address add {OTHER}/24 dev eth0"))?;
    Ok(cluster)
}

fn addresses(all: &[&str]) -> Value {
    node_with(|node| {
        let address = |ip: &&str| json!({"type": "InternalIP", "address": ip});
        node["status"]["addresses"] = all.iter().map(address).collect();
    })
}

fn a_node_that_never_comes_is_not_waited_for_for_ever() -> Result<(), Failed> {
    let cluster = Cluster::new()?;
    cluster.server.delete(Resource::Nodes, "", "node1");
    let proxy = cluster.proxy(&[])?;
    hear(
        &proxy,
        "waiting for the Node object and its status.addresses",
    )?;
    assert!(!cluster.is_programmed()?, "{}", proxy.log());
    within(Duration::from_mins(1), "it begins", || {
        cluster.is_programmed()
    })?;
    hear(
        &proxy,
        "the Node object node1 does not exist, or cannot be read; going on with 127.0.0.1 and ::1",
    )?;
    cluster.serves(&proxy, &["10.244.2.5"])?;
    await_health(&cluster.lab, &proxy, "/readyz", 200)?;
    // Nobody has said that the node may have traffic, as with kube-proxy.
    await_health(&cluster.lab, &proxy, "/healthz", 503)?;
    cluster.health_says(&proxy, "/healthz", r#""nodeEligible":false,"healthy":true"#)?;
    cluster.server.apply(&node())?;
    await_health(&cluster.lab, &proxy, "/healthz", 200)?;
    proxy.end(Signal::SIGTERM)
}

fn without_the_pods_networks_that_are_asked_for_it_waits() -> Result<(), Failed> {
    let cluster = Cluster::new()?;
    let bare = node_with(|node| node["spec"] = json!({}));
    cluster.server.apply(&bare)?;
    let proxy = cluster.proxy(&["--detect-local-mode=NodeCIDR"])?;
    hear(&proxy, "waiting for the Node object's spec.podCIDRs")?;
    assert!(!cluster.is_programmed()?, "{}", proxy.log());
    cluster.server.apply(&node())?;
    cluster.serves(&proxy, &["10.244.2.5"])?;
    proxy.end(Signal::SIGTERM)
}

fn networks_of_the_wrong_family_are_the_end() -> Result<(), Failed> {
    let cluster = Cluster::new()?;
    let wrong = node_with(|node| node["spec"]["podCIDRs"] = json!(["fd00:10:244:1::/64"]));
    cluster.server.apply(&wrong)?;
    let mut proxy = cluster.proxy(&["--detect-local-mode=NodeCIDR"])?;
    hear(
        &proxy,
        "fairlead: the node is IPv4-primary but the Node's spec.podCIDRs has only IPv6 addresses, \
         and detectLocalMode NodeCIDR needs the other family",
    )?;
    ended(&mut proxy)?;
    assert!(!cluster.is_programmed()?);
    Ok(())
}

fn other_addresses_of_the_node_count_at_once() -> Result<(), Failed> {
    let cluster = with_node_port()?;
    let proxy = cluster.proxy(&["--nodeport-addresses=primary"])?;
    let (own, other) = (
        format!("192.0.2.10:{NODE_PORT}"),
        format!("{OTHER}:{NODE_PORT}"),
    );
    let pods = ["10.244.2.5"];
    cluster.meets(&proxy, Client::Outside, &own, &pods)?;
    cluster.meets(&proxy, Client::Outside, &other, &[])?;
    cluster
        .server
        .apply(&addresses(&[OTHER, "2001:db8:2::10"]))?;
    cluster.meets(&proxy, Client::Outside, &other, &pods)?;
    cluster.meets(&proxy, Client::Outside, &own, &[])?;
    proxy.end(Signal::SIGTERM)
}

fn the_bind_address_stands_for_the_nodes() -> Result<(), Failed> {
    let cluster = with_node_port()?;
    let bind = format!("--bind-address={OTHER}");
    let proxy = cluster.proxy(&["--nodeport-addresses=primary", &bind])?;
    let (own, other) = (
        format!("192.0.2.10:{NODE_PORT}"),
        format!("{OTHER}:{NODE_PORT}"),
    );
    cluster.meets(&proxy, Client::Outside, &other, &["10.244.2.5"])?;
    cluster.meets(&proxy, Client::Outside, &own, &[])?;
    proxy.end(Signal::SIGTERM)
}

fn other_networks_of_its_pods_count_at_once() -> Result<(), Failed> {
    let cluster = Cluster::new()?;
    let proxy = cluster.proxy(&["--detect-local-mode=NodeCIDR"])?;
    let pods = ["10.244.2.5"];
    let met = cluster.meets(&proxy, Client::Pod, WEB, &pods)?;
    assert_eq!(met.masqueraded, 0, "a local pod keeps its address");
    let moved = node_with(|node| node["spec"]["podCIDRs"] = json!(["10.244.9.0/24"]));
    cluster.server.apply(&moved)?;
    eventually("the pod is a stranger", || {
        let met = cluster.meets(&proxy, Client::Pod, WEB, &pods)?;
        Ok(met.kept == 0)
    })?;
    proxy.end(Signal::SIGTERM)
}

fn another_zone_counts_at_once() -> Result<(), Failed> {
    let cluster = Cluster::new()?;
    let mut hinted = slice("web", "TCP", 8080, &["10.244.2.5", "10.244.2.6"]);
    for (endpoint, zone) in [(0, "z1"), (1, "z2")] {
        hinted["endpoints"][endpoint]["hints"] = json!({"forZones": [{"name": zone}]});
    }
    cluster.server.apply(&hinted)?;
    let proxy = cluster.proxy(&[])?;
    cluster.serves(&proxy, &["10.244.2.5"])?;
    let labels = |labels: Value| node_with(|node| node["metadata"]["labels"] = labels);
    let zone = "topology.kubernetes.io/zone";
    cluster.server.apply(&labels(json!({zone: "z2"})))?;
    cluster.serves(&proxy, &["10.244.2.6"])?;
    cluster.server.apply(&labels(json!({})))?;
    cluster.serves(&proxy, &["10.244.2.5", "10.244.2.6"])?;
    proxy.end(Signal::SIGTERM)
}

fn load_balancers_are_told_that_the_node_goes() -> Result<(), Failed> {
    let cluster = Cluster::of(ApiServer::builder())?;
    let proxy = cluster.proxy(&[])?;
    cluster.serves(&proxy, &["10.244.2.5"])?;
    await_health(&cluster.lab, &proxy, "/healthz", 200)?;
    let taint = |key: &str| {
        node_with(|node| node["spec"]["taints"] = json!([{"key": key, "effect": "NoSchedule"}]))
    };
    let deleted = node_with(|node| {
        node["metadata"]["deletionTimestamp"] = json!("2026-01-02T03:04:05Z");
    });
    for goes in [taint("ToBeDeletedByClusterAutoscaler"), deleted] {
        cluster.server.apply(&goes)?;
        await_health(&cluster.lab, &proxy, "/healthz", 503)?;
        cluster.health_says(&proxy, "/healthz", r#""nodeEligible":false,"healthy":true"#)?;
        await_health(&cluster.lab, &proxy, "/livez", 200)?;
        cluster.server.apply(&taint("something-else"))?;
        await_health(&cluster.lab, &proxy, "/healthz", 200)?;
    }
    // What was known last counts: an object that is gone says nothing of the node.
    let programmed = listing(&cluster.lab)?;
    assert!(cluster.server.delete(Resource::Nodes, "", "node1"));
    cluster.settle(&proxy)?;
    await_health(&cluster.lab, &proxy, "/healthz", 200)?;
    let mut left = listing(&cluster.lab)?;
    left.retain(|part| !programmed.contains(part));
    let others = left
        .iter()
        .find(|part| !part.contains("marker") && !part.contains("10.96.255.254"));
    match others {
        None => proxy.end(Signal::SIGTERM),
        Some(part) => Err(proxy.failed(&format!("without the Node there is {part}"))),
    }
}
