//! What a running proxy says of the packets that Services were sent.

// Counts are whole numbers, which floats hold as they are.
#![allow(clippy::float_cmp)]

use fairlead_core::address::Protocol;
use fairlead_lab::{Client, Lab};
use libtest_mimic::Failed;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::metrics::value;
use crate::objects::{service, slice};
use crate::rig::{FAIRLEAD, Folder, Proxy};
use crate::tests;
use crate::watch::{eventually, get, on_node};

tests! {
    connections_packets_and_bytes_are_counted_once,
    what_is_refused_is_counted_by_its_reason,
    a_new_start_goes_on_and_a_deleted_service_goes,
}

/// Waits until a series says so; the kernel is read once a second at most.
fn says(lab: &Lab, proxy: &Proxy<'_>, series: &str, expected: f64) -> Result<(), Failed> {
    let mut last = f64::NAN;
    let told = eventually(series, || {
        // A Service that was not used yet has no series.
        last = value(lab, series).unwrap_or(f64::NAN);
        Ok(last == expected)
    });
    told.map(drop)
        .map_err(|_| proxy.failed(&format!("{series} is {last}, not {expected}")))
}

fn of_service(metric: &str, service: &str) -> String {
    format!("fairlead_service_{metric}_total{{namespace=\"default\",service=\"{service}\"}}")
}

fn directed(metric: &str, direction: &str, service: &str) -> String {
    format!(
        "fairlead_service_{metric}_total{{namespace=\"default\",service=\"{service}\",direction=\"{direction}\"}}"
    )
}

/// So many connections that must all be answered.
fn reach(
    lab: &Lab,
    client: Client,
    protocol: Protocol,
    to: &str,
    count: usize,
) -> Result<(), Failed> {
    let series = lab.ask(client, protocol, to.parse()?, count)?;
    match series.by_endpoint.values().sum::<usize>() {
        answers if answers == count => Ok(()),
        _ => Err(format!("{client} at {to}: {}", series.outcome()).into()),
    }
}

fn connections_packets_and_bytes_are_counted_once() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let endpoints = ["10.244.2.5", "10.244.2.6"];
    let web = json!({"clusterIP": "10.96.40.1", "type": "NodePort", "externalIPs": ["203.0.113.40"],
        "ports": [{"port": 80, "nodePort": 30400}]});
    let dns = json!({"clusterIP": "10.96.40.2", "ports": [{"protocol": "UDP", "port": 53}]});
    // Its endpoint is the node itself, so that packets of the node come by twice.
    let own = json!({"clusterIP": "10.96.40.3", "ports": [{"protocol": "UDP", "port": 53}]});
    let mut folder = Folder::new(&[
        service("web", &web),
        slice("web", "TCP", 8080, &endpoints),
        service("dns", &dns),
        slice("dns", "UDP", 5353, &endpoints),
        service("own", &own),
        slice("own", "UDP", 5353, &["192.0.2.10"]),
    ])?;
    let mut proxy = Proxy::start(&lab, &folder, &[])?;
    proxy.settle(&mut folder)?;

    reach(&lab, Client::Pod, Protocol::Udp, "10.96.40.2:53", 7)?;
    reach(&lab, Client::Node, Protocol::Udp, "10.96.40.2:53", 4)?;
    reach(&lab, Client::Pod, Protocol::Udp, "10.96.40.3:53", 3)?;
    reach(&lab, Client::Node, Protocol::Udp, "10.96.40.3:53", 2)?;
    reach(&lab, Client::Pod, Protocol::Tcp, "10.96.40.1:80", 5)?;
    reach(&lab, Client::Node, Protocol::Tcp, "203.0.113.40:80", 3)?;
    reach(&lab, Client::Outside, Protocol::Tcp, "192.0.2.10:30400", 6)?;
    for (name, connections) in [("dns", 11.0), ("own", 5.0), ("web", 14.0)] {
        says(&lab, &proxy, &of_service("connections", name), connections)?;
    }
    // A question of 12 bytes with its headers of 28, and an answer.
    for (name, packets) in [("dns", 11.0), ("own", 5.0)] {
        says(
            &lab,
            &proxy,
            &directed("packets", "original", name),
            packets,
        )?;
        says(&lab, &proxy, &directed("packets", "reply", name), packets)?;
        says(
            &lab,
            &proxy,
            &directed("bytes", "original", name),
            packets * 40.0,
        )?;
    }
    // SYN, acknowledgements and FIN one way, SYN, answer and FIN the other.
    for (direction, least) in [("original", 3.0), ("reply", 2.0)] {
        let packets = value(&lab, &directed("packets", direction, "web"))?;
        let bytes = value(&lab, &directed("bytes", direction, "web"))?;
        assert!(
            packets >= 14.0 * least && packets <= 14.0 * 8.0,
            "{direction} {packets}"
        );
        assert!(bytes >= packets * 40.0, "{direction} {bytes} of {packets}");
    }
    assert_eq!(value(&lab, &of_service("refused_packets", "web"))?, 0.0);
    // The one by which it is seen that the rules are in place is in another namespace.
    let others = "fairlead_service_connections_total{namespace=\"\",service=\"others\"}";
    assert_eq!(value(&lab, others)?, 0.0);
    proxy.end(Signal::SIGTERM)
}

fn what_is_refused_is_counted_by_its_reason() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let port = json!([{"port": 80}]);
    let local = json!({"clusterIP": "10.96.41.2", "ports": port, "internalTrafficPolicy": "Local"});
    let edge = json!({"clusterIP": "10.96.41.3", "type": "LoadBalancer", "ports": port,
        "loadBalancerSourceRanges": ["203.0.113.0/24"]});
    let mut edge = service("edge", &edge);
    edge["status"] = json!({"loadBalancer": {"ingress": [{"ip": "203.0.113.41"}]}});
    let mut folder = Folder::new(&[
        service("idle", &json!({"clusterIP": "10.96.41.1", "ports": port})),
        service("local", &local),
        slice("local", "TCP", 8080, &["10.244.2.5"]),
        edge,
        slice("edge", "TCP", 8080, &["10.244.2.5"]),
        service_cidr(),
    ])?;
    let mut proxy = Proxy::start(&lab, &folder, &[])?;
    proxy.settle(&mut folder)?;
    let dropped = |reason| format!("fairlead_dropped_packets_total{{reason=\"{reason}\"}}");
    for reason in [
        "no-local-endpoint",
        "source-not-allowed",
        "no-such-port",
        "no-such-cluster-ip",
    ] {
        assert_eq!(value(&lab, &dropped(reason))?, 0.0, "{reason}");
    }
    let ask = |client, to: &str| {
        lab.ask(client, Protocol::Tcp, to.parse()?, 1)
            .map_err(Failed::from)
    };
    let before = value(&lab, &dropped("no-endpoint"))?;
    // A refusal ends an attempt; what is dropped is sent again.
    for _ in 0..3 {
        assert_eq!(ask(Client::Pod, "10.96.41.1:80")?.errors.len(), 1);
    }
    says(&lab, &proxy, &dropped("no-endpoint"), before + 3.0)?;
    says(&lab, &proxy, &of_service("refused_packets", "idle"), 3.0)?;
    for _ in 0..2 {
        assert_eq!(ask(Client::Node, "10.96.41.3:81")?.errors.len(), 1);
    }
    says(&lab, &proxy, &dropped("no-such-port"), 2.0)?;
    for (client, to, reason) in [
        (Client::Pod, "10.96.41.2:80", "no-local-endpoint"),
        (Client::Outside, "203.0.113.41:80", "source-not-allowed"),
        (Client::Pod, "10.96.41.99:80", "no-such-cluster-ip"),
    ] {
        assert_eq!(ask(client, to)?.errors.len(), 1, "{to}");
        let series = dropped(reason);
        let counted = || Ok(value(&lab, &series)? >= 1.0);
        eventually(&series, counted).map_err(|_| proxy.failed(&series))?;
    }
    assert!(value(&lab, &of_service("refused_packets", "local"))? >= 1.0);
    // Who is allowed is counted as a connection, and nobody else.
    reach(
        &lab,
        Client::OutsideAllowed,
        Protocol::Tcp,
        "203.0.113.41:80",
        2,
    )?;
    says(&lab, &proxy, &of_service("connections", "edge"), 2.0)?;
    proxy.end(Signal::SIGTERM)
}

fn a_new_start_goes_on_and_a_deleted_service_goes() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let mut folder = Folder::new(&[])?;
    for (name, ip) in [("web", "10.96.42.1"), ("api", "10.96.42.2")] {
        folder.apply(&service(
            name,
            &json!({"clusterIP": ip, "ports": [{"port": 80}]}),
        ))?;
        folder.apply(&slice(name, "TCP", 8080, &["10.244.2.5"]))?;
    }
    let mut proxy = Proxy::start(&lab, &folder, &[])?;
    proxy.settle(&mut folder)?;
    let ask = |to: &str, count| reach(&lab, Client::Pod, Protocol::Tcp, to, count);
    ask("10.96.42.1:80", 3)?;
    ask("10.96.42.2:80", 1)?;
    says(&lab, &proxy, &of_service("connections", "web"), 3.0)?;
    proxy.end(Signal::SIGTERM)?;
    // Counted while nobody is there.
    ask("10.96.42.1:80", 2)?;
    let mut proxy = Proxy::start(&lab, &folder, &[])?;
    proxy.settle(&mut folder)?;
    says(&lab, &proxy, &of_service("connections", "web"), 5.0)?;
    // Other endpoints, and rules that somebody took away.
    folder.apply(&slice("web", "TCP", 8080, &["10.244.2.7", "10.244.2.8"]))?;
    proxy.settle(&mut folder)?;
    on_node(&lab, "nft delete table ip fairlead")?;
    proxy.settle(&mut folder)?;
    says(&lab, &proxy, &of_service("connections", "web"), 5.0)?;
    ask("10.96.42.1:80", 1)?;
    says(&lab, &proxy, &of_service("connections", "web"), 6.0)?;

    folder.delete("Service web")?;
    proxy.settle(&mut folder)?;
    let gone = || Ok(!get(&lab, "127.0.0.1:10249", "/metrics").contains("service=\"web\""));
    eventually("nothing is told of a deleted Service", gone)
        .map_err(|_| proxy.failed("a deleted Service is told of"))?;
    assert_eq!(value(&lab, &of_service("connections", "api"))?, 1.0);
    proxy.end(Signal::SIGTERM)?;
    on_node(&lab, &format!("{FAIRLEAD} cleanup"))?;
    assert_eq!(on_node(&lab, "nft list ruleset")?, "");
    Ok(())
}

/// Where the cluster IPs of these Services come from.
fn service_cidr() -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR",
        "metadata": {"name": "tests"}, "spec": {"cidrs": ["10.96.41.0/24"]},
    })
}
