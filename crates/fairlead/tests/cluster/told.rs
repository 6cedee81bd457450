//! What the cluster is told of this node: events, a taint that goes, health checks, metrics.

use std::net::TcpListener;
use std::time::Duration;

use fairlead_lab::api_server::{ApiServer, Fault, On, Resource};
use jiff::Timestamp;
use libtest_mimic::Failed;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::fixture::{Cluster, node_with};
use crate::objects::{service, slice};
use crate::rig::Proxy;
use crate::tests;
use crate::watch::{eventually, get, hear, within};

tests! {
    the_start_is_an_event_on_the_node,
    a_health_check_node_port_in_use_is_an_event_on_the_service,
    a_taint_goes_after_the_first_sync,
    a_taint_that_cannot_be_removed_is_said,
    load_balancers_ask_whether_pods_are_here,
    what_a_service_asks_for_in_vain_is_an_event_on_it,
    metrics_tell_how_long_changes_take,
}

fn event(cluster: &Cluster, proxy: &Proxy<'_>, reason: &str) -> Result<Value, Failed> {
    let mut found = Value::Null;
    eventually(&format!("there is an event {reason}"), || {
        let events = cluster.server.objects(Resource::Events);
        let event = events.into_iter().find(|event| event["reason"] == reason);
        found = event.unwrap_or_default();
        Ok(!found.is_null())
    })
    .map_err(|error| proxy.failed(error.message().unwrap_or_default()))?;
    Ok(found)
}

fn the_start_is_an_event_on_the_node() -> Result<(), Failed> {
    let cluster = Cluster::new()?;
    let proxy = cluster.proxy(&[])?;
    let event = event(&cluster, &proxy, "Starting")?;
    assert_eq!(event["type"], "Normal");
    assert_eq!(event["action"], "StartKubeProxy");
    assert_eq!(event["reportingController"], "kube-proxy");
    assert_eq!(event["reportingInstance"], "node1");
    assert_eq!(event["metadata"]["namespace"], "default");
    assert_eq!(event["regarding"]["kind"], "Node");
    assert_eq!(event["regarding"]["name"], "node1");
    cluster.settle(&proxy)?;
    let refused = cluster.server.requests();
    let refused = refused.iter().filter(|request| request.status >= Some(400));
    assert_eq!(refused.count(), 0, "{:#?}", cluster.server.requests());
    proxy.end(Signal::SIGTERM)
}

fn a_health_check_node_port_in_use_is_an_event_on_the_service() -> Result<(), Failed> {
    let cluster = Cluster::new()?;
    cluster.server.apply(&edge())?;
    let taken = cluster
        .lab
        .node()
        .run(|| TcpListener::bind(("0.0.0.0", PORT)))??;
    let proxy = cluster.proxy(&[])?;
    let event = event(&cluster, &proxy, "FailedToStartServiceHealthcheck")?;
    assert_eq!(event["type"], "Warning");
    assert_eq!(event["action"], "Listen");
    assert_eq!(event["metadata"]["namespace"], "default");
    assert_eq!(event["regarding"]["kind"], "Service");
    assert_eq!(event["regarding"]["name"], "edge");
    let note = event["note"].as_str().unwrap_or_default();
    assert!(note.contains("30998"), "{note}");
    drop(taken);
    answers(&cluster, &proxy, "503 Service Unavailable", 0)?;
    proxy.end(Signal::SIGTERM)
}

fn what_a_service_asks_for_in_vain_is_an_event_on_it() -> Result<(), Failed> {
    let cluster = Cluster::new()?;
    let port = |protocol| json!([{"port": 80, "protocol": protocol}]);
    let spec = json!({"clusterIP": "10.96.50.2", "ports": port("TCP")});
    let mut shop = service("shop", &spec);
    shop["metadata"]["annotations"] = json!({"fairlead.dev/scheduler": "sed"});
    let spec = json!({"clusterIP": "10.96.50.3", "ports": port("SCTP")});
    for object in [shop, service("calls", &spec)] {
        cluster.server.apply(&object)?;
    }
    let proxy = cluster.proxy(&["--proxy-mode=userspace"])?;
    for (reason, action, name, said) in [
        ("SchedulerNotUsed", "UseDefaultScheduler", "shop", "sed"),
        ("PortNotServed", "RefuseConnections", "calls", "SCTP"),
    ] {
        let event = event(&cluster, &proxy, reason)?;
        assert_eq!(event["type"], "Warning");
        assert_eq!(event["action"], action);
        assert_eq!(event["regarding"]["kind"], "Service");
        assert_eq!(event["regarding"]["name"], name);
        let note = event["note"].as_str().unwrap_or_default();
        assert!(
            note.starts_with("node node1: ") && note.contains(said),
            "{note}"
        );
    }
    cluster.settle(&proxy)?;
    proxy.end(Signal::SIGTERM)
}

const TAINT: &str = "fairlead.example/not-ready";

/// Our Node with two taints.
fn tainted() -> Value {
    node_with(|node| {
        node["spec"]["taints"] = json!([
            {"key": TAINT, "effect": "NoSchedule"}, {"key": "gpu", "effect": "NoSchedule"},
        ]);
    })
}

/// The keys of its taints.
fn taints(cluster: &Cluster) -> Vec<String> {
    let node = cluster.server.object(Resource::Nodes, "", "node1");
    let taints = node.unwrap_or_default()["spec"]["taints"].take();
    let keys = taints.as_array().into_iter().flatten();
    keys.map(|taint| taint["key"].as_str().unwrap_or_default().to_owned())
        .collect()
}

fn a_taint_goes_after_the_first_sync() -> Result<(), Failed> {
    let cluster = Cluster::new()?;
    cluster.server.apply(&tainted())?;
    cluster
        .server
        .fail(On::resource(Resource::EndpointSlices), Fault::Hang);
    let flag = format!("--startup-taint={TAINT}");
    let proxy = cluster.proxy(&[&flag])?;
    hear(&proxy, "waiting for all Services and EndpointSlices")?;
    assert_eq!(taints(&cluster), [TAINT, "gpu"], "too early");
    cluster.server.heal()?;
    let without = || Ok(taints(&cluster) == ["gpu"]);
    eventually("the taint is gone", without)
        .map_err(|error| proxy.failed(error.message().unwrap_or_default()))?;
    cluster.still_serves(&proxy, "10.244.2.5")?;
    hear(
        &proxy,
        &format!("the taint {TAINT} is removed from node node1"),
    )?;
    proxy.end(Signal::SIGTERM)
}

fn a_taint_that_cannot_be_removed_is_said() -> Result<(), Failed> {
    let cluster = Cluster::of(ApiServer::builder().authenticate())?;
    cluster.server.apply(&tainted())?;
    let patch = On::verb(fairlead_lab::api_server::Verb::Patch).of(Resource::Nodes);
    cluster.server.fail(patch, Fault::Forbidden);
    let flag = format!("--startup-taint={TAINT}");
    let proxy = cluster.proxy(&[&flag])?;
    hear(
        &proxy,
        &format!("the taint {TAINT} stays on node node1: may not patch nodes: "),
    )?;
    cluster.serves(&proxy, &["10.244.2.5"])?;
    assert_eq!(taints(&cluster), [TAINT, "gpu"]);
    proxy.end(Signal::SIGTERM)
}

const PORT: u16 = 30_998;

/// A load balancer's Service.
fn edge() -> Value {
    let spec = json!({"type": "LoadBalancer", "clusterIP": "10.96.50.9", "externalTrafficPolicy": "Local",
                      "ports": [{"port": 80, "nodePort": 30_503}], "healthCheckNodePort": PORT});
    service("edge", &spec)
}

/// Its pods, all of them here.
fn here(pods: &[&str]) -> Value {
    let mut slice = slice("edge", "TCP", 8080, pods);
    for endpoint in slice["endpoints"].as_array_mut().into_iter().flatten() {
        endpoint["nodeName"] = json!("node1");
    }
    slice
}

/// Waits until the health check node port answers so.
fn answers(cluster: &Cluster, proxy: &Proxy<'_>, status: &str, weight: u8) -> Result<(), Failed> {
    let (first, weight) = (
        format!("HTTP/1.1 {status}"),
        format!("X-Load-Balancing-Endpoint-Weight: {weight}\r\n"),
    );
    let mut last = String::new();
    eventually(&format!("{first}, {weight:?}"), || {
        last = get(&cluster.lab, "192.0.2.10:30998", "/");
        Ok(last.starts_with(&first) && last.contains(&weight))
    })
    .map(drop)
    .map_err(|error| {
        let what = error.message().unwrap_or_default();
        proxy.failed(&format!("{what}; at last it answered {last:?}"))
    })
}

fn load_balancers_ask_whether_pods_are_here() -> Result<(), Failed> {
    let cluster = Cluster::new()?;
    cluster.server.apply(&edge())?;
    cluster
        .server
        .apply(&here(&["10.244.1.130", "10.244.1.131"]))?;
    let proxy = cluster.proxy(&[])?;
    answers(&cluster, &proxy, "200 OK", 2)?;
    cluster
        .server
        .apply(&slice("edge", "TCP", 8080, &["10.244.2.5"]))?;
    answers(&cluster, &proxy, "503 Service Unavailable", 0)?;
    cluster.server.apply(&here(&["10.244.1.130"]))?;
    answers(&cluster, &proxy, "200 OK", 1)?;
    // While the API is away what is known last is answered.
    cluster.server.go_down()?;
    answers(&cluster, &proxy, "200 OK", 1)?;
    cluster.server.go_on()?;
    cluster.server.delete(Resource::Services, "default", "edge");
    within(Duration::from_secs(40), "nobody answers", || {
        Ok(get(&cluster.lab, "192.0.2.10:30998", "/").is_empty())
    })
    .map_err(|error| proxy.failed(error.message().unwrap_or_default()))?;
    proxy.end(Signal::SIGTERM)
}

fn metrics_tell_how_long_changes_take() -> Result<(), Failed> {
    let cluster = Cluster::new()?;
    let proxy = cluster.proxy(&[])?;
    cluster.serves(&proxy, &["10.244.2.5"])?;
    let programming = r#"kubeproxy_network_programming_duration_seconds_count{ip_family="IPv4"}"#;
    cluster.metrics_say(&proxy, "/metrics", &format!("{programming} 0\n"))?;
    let mut changed = slice("web", "TCP", 8080, &["10.244.2.6"]);
    changed["metadata"]["annotations"] =
        json!({"endpoints.kubernetes.io/last-change-trigger-time": Timestamp::now().to_string()});
    cluster.server.apply(&changed)?;
    cluster.serves(&proxy, &["10.244.2.6"])?;
    cluster.metrics_say(&proxy, "/metrics", &format!("{programming} 1\n"))?;
    let url = cluster.server.address();
    for line in [
        r#"kubeproxy_sync_full_proxy_rules_duration_seconds_count{ip_family="IPv4"} 1"#.to_owned(),
        r#"kubeproxy_network_programming_duration_seconds_bucket{ip_family="IPv4",le="60"} 1"#
            .to_owned(),
        format!(r#"rest_client_requests_total{{code="200",host="{url}",method="GET"}} "#),
        format!(r#"rest_client_requests_total{{code="201",host="{url}",method="POST"}} 1"#),
        r#"kubernetes_feature_enabled{name="NFTablesProxyMode",stage=""} 1"#.to_owned(),
        r#"kubernetes_feature_enabled{name="NativeHistograms",stage="ALPHA"} 0"#.to_owned(),
        r#"fairlead_watch_connected{resource="nodes"} 1"#.to_owned(),
        r#"fairlead_watch_last_heard_seconds{resource="services"} "#.to_owned(),
        "fairlead_services 1\n".to_owned(),
    ] {
        cluster.metrics_say(&proxy, "/metrics", &line)?;
    }
    proxy.end(Signal::SIGTERM)
}
