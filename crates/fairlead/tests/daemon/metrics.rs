//! What a running proxy says at /metrics: that it has them all, and that they tell what happens.

// Counts are whole numbers, which floats hold as they are.
#![allow(clippy::float_cmp)]

use std::collections::BTreeMap;

use fairlead_core::address::Protocol;
use fairlead_lab::{Client, Lab};
use jiff::Timestamp;
use libtest_mimic::Failed;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::objects::{service, slice};
use crate::rig::{Folder, Proxy};
use crate::tests;
use crate::watch::{await_health, eventually, get, on_node};

tests! {
    a_proxy_has_the_metrics_of_kube_proxy,
    in_iptables_mode_it_has_those_of_that_mode,
    in_userspace_mode_it_has_those_of_that_mode,
    rules_are_counted_as_kube_proxy_counts_them,
    values_follow_what_happens,
    deleted_connections_are_counted,
}

/// What there is to be, by name and type.
const DOCUMENT: &str = include_str!("../../../../docs/COMPATIBILITY.md");

/// The metrics of who talks to an API server; this proxy reads files.
const OF_A_CLUSTER: [&str; 4] = [
    "rest_client_requests_total",
    "rest_client_request_duration_seconds",
    "fairlead_watch_last_heard_seconds",
    "fairlead_watch_connected",
];

/// What not every kernel counts (nfacct).
const COUNTED: &str = "kubeproxy_iptables_";

fn a_proxy_has_the_metrics_of_kube_proxy() -> Result<(), Failed> {
    has_the_metrics_of("nftables")
}

fn in_iptables_mode_it_has_those_of_that_mode() -> Result<(), Failed> {
    has_the_metrics_of("iptables")
}

fn in_userspace_mode_it_has_those_of_that_mode() -> Result<(), Failed> {
    has_the_metrics_of("userspace")
}

fn has_the_metrics_of(mode: &str) -> Result<(), Failed> {
    let (lab, mut folder) = (Lab::new()?, Folder::new(&[])?);
    let mut proxy = Proxy::start(&lab, &folder, &[format!("--proxy-mode={mode}")])?;
    proxy.settle(&mut folder)?;
    // Some are there from the first sync on, of which this is told last.
    await_health(&lab, &proxy, "/readyz", 200)?;
    let told = get(&lab, "127.0.0.1:10249", "/proxyMode");
    assert!(told.ends_with(mode), "{told}");
    let page = get(&lab, "127.0.0.1:10249", "/metrics");
    let types: BTreeMap<&str, &str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .collect();
    let mut compared = 0;
    for row in DOCUMENT.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = row
            .split('|')
            .map(|cell| cell.trim().replace('`', ""))
            .collect();
        let [_, name, kind, _, _, modes, verdict, ..] = &cells[..] else {
            continue;
        };
        let is_metric = ["counter", "gauge", "histogram"].contains(&&**kind);
        let is_named = modes.split(", ").any(|word| ["all", mode].contains(&word));
        // kube-proxy has no userspace mode any more. What all of its modes have is there too.
        let in_mode = is_named || mode == "userspace" && modes == "iptables, ipvs, nftables";
        if !is_metric || verdict == "absent" || name.starts_with(COUNTED) {
            continue;
        }
        if !in_mode {
            assert!(!types.contains_key(&**name), "{name} in {mode} mode");
            continue;
        }
        compared += 1;
        // A proxy that reads files has no use for these.
        if !OF_A_CLUSTER.contains(&&**name) && types.get(&**name) != Some(&&**kind) {
            let found = types.get(&**name);
            return Err(proxy.failed(&format!("{name} is {found:?}, not {kind}")));
        }
    }
    assert!(compared > 35, "the document has {compared} metrics");
    assert!(page.contains("text/plain; version=0.0.4"), "{page}");
    proxy.end(Signal::SIGTERM)
}

fn rules_are_counted_as_kube_proxy_counts_them() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let spec = |ip| json!({"clusterIP": ip, "ports": [{"port": 80}]});
    let endpoints = ["10.244.2.5", "10.244.2.6", "10.244.2.7"];
    let mut folder = Folder::new(&[
        service("one", &spec("10.96.30.1")),
        slice("one", "TCP", 8080, &endpoints),
        service("two", &spec("10.96.30.2")),
        slice("two", "TCP", 8080, &endpoints),
    ])?;
    let flags = ["--proxy-mode=iptables", "--cluster-cidr=10.244.0.0/16"].map(str::to_owned);
    let mut proxy = Proxy::start(&lab, &folder, &flags)?;
    proxy.settle(&mut folder)?;
    let rules = |family: &str, table: &str| {
        let labels = format!("{{ip_family=\"{family}\",table=\"{table}\"}}");
        value(
            &lab,
            &format!("kubeproxy_sync_proxy_rules_iptables_total{labels}"),
        )
    };
    // 5 in any case, 2 for each Service (of which there is one more, of one endpoint, to see what
    // is programmed by), and 3 for each endpoint.
    let nat = f64::from(5 + 2 * 3 + 3 * (3 + 3 + 1));
    // What is in the kernel is told a moment later.
    let all = || -> Result<Vec<f64>, Failed> {
        let tables = [
            ("IPv4", "nat"),
            ("IPv4", "filter"),
            ("IPv6", "nat"),
            ("IPv6", "filter"),
        ];
        tables
            .into_iter()
            .map(|(family, table)| rules(family, table))
            .collect()
    };
    // Nothing is to be kept from the IPv6 loopback address.
    eventually("all rules are counted", || {
        Ok(all()? == [nat, 4.0, 5.0, 3.0])
    })
    .map_err(|_| proxy.failed(&format!("{:?} rules are counted", all())))?;
    proxy.end(Signal::SIGTERM)
}

fn values_follow_what_happens() -> Result<(), Failed> {
    let local = json!({"clusterIP": "10.96.30.1", "type": "NodePort", "ports": [{"port": 80}],
        "internalTrafficPolicy": "Local", "externalTrafficPolicy": "Local"});
    let lab = Lab::new()?;
    let mut folder = Folder::new(&[
        service("local", &local),
        slice("local", "TCP", 8080, &["10.244.2.5"]),
    ])?;
    let mut proxy = Proxy::start(&lab, &folder, &[])?;
    proxy.settle(&mut folder)?;
    await_health(&lab, &proxy, "/livez", 200)?;
    let value = |series: &str| value(&lab, series);
    let pending = || -> Result<[f64; 2], Failed> {
        let of = |what| {
            value(&format!(
                "kubeproxy_sync_proxy_rules_{what}_changes_pending"
            ))
        };
        Ok([of("service")?, of("endpoint")?])
    };
    let unserved = |policy: &str| {
        value(&format!(
            "kubeproxy_sync_proxy_rules_no_local_endpoints_total{{ip_family=\"IPv4\",traffic_policy=\"{policy}\"}}"
        ))
    };
    // What is in the kernel is told a moment later.
    eventually("all is counted", || {
        Ok(
            [unserved("internal")?, unserved("external")?] == [1.0, 1.0]
                && pending()? == [0.0, 0.0],
        )
    })
    .map_err(|error| proxy.failed(error.message().unwrap_or_default()))?;
    assert_eq!(value("fairlead_services")?, 2.0);
    assert_eq!(value("fairlead_endpoints{ip_family=\"IPv4\"}")?, 2.0);
    assert!(value("kubeproxy_proxy_livez_total{code=\"200\"}")? >= 1.0);
    assert_eq!(value("kubeproxy_proxy_healthz_total{code=\"200\"}")?, 0.0);
    let slices = value("kubeproxy_sync_proxy_rules_endpoint_changes_total")?;
    let last = value("kubeproxy_sync_proxy_rules_last_timestamp_seconds{ip_family=\"IPv4\"}")?;

    folder.apply(&triggered_now(
        slice("local", "TCP", 8080, &["10.244.1.5"]),
        "node1",
    ))?;
    proxy.settle(&mut folder)?;
    let programming = "kubeproxy_network_programming_duration_seconds";
    let programmed = format!("{programming}_count{{ip_family=\"IPv4\"}}");
    let synced = "kubeproxy_sync_proxy_rules_last_timestamp_seconds{ip_family=\"IPv6\"}";
    let queued = "kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds{ip_family=\"IPv6\"}";
    eventually("the change is counted", || {
        let queued = value(queued)?;
        Ok(value(&programmed)? == 1.0 && queued > last && value(synced)? >= queued)
    })
    .map_err(|error| proxy.failed(error.message().unwrap_or_default()))?;
    assert_eq!([unserved("internal")?, unserved("external")?], [0.0, 0.0]);
    assert_eq!(
        value("kubeproxy_sync_proxy_rules_endpoint_changes_total")?,
        slices + 1.0
    );
    assert_eq!(
        value(&format!("{programming}_count{{ip_family=\"IPv6\"}}"))?,
        0.0
    );
    let sum = value(&format!("{programming}_sum{{ip_family=\"IPv4\"}}"))?;
    assert!(sum > 0.0 && sum < 60.0, "{sum}");
    proxy.end(Signal::SIGTERM)
}

fn deleted_connections_are_counted() -> Result<(), Failed> {
    let spec = json!({"clusterIP": "10.96.30.2", "ports": [{"protocol": "UDP", "port": 53}]});
    let lab = Lab::new()?;
    let mut folder = Folder::new(&[
        service("dns", &spec),
        slice("dns", "UDP", 5353, &["10.244.2.5"]),
    ])?;
    let mut proxy = Proxy::start(&lab, &folder, &[])?;
    proxy.settle(&mut folder)?;
    let deleted = "kubeproxy_conntrack_reconciler_deleted_entries_total{ip_family=\"IPv4\"}";
    assert_eq!(value(&lab, deleted)?, 0.0);
    lab.ask(Client::Pod, Protocol::Udp, "10.96.30.2:53".parse()?, 5)?;
    let listed = on_node(&lab, "conntrack -L -p udp --dst 10.96.30.2")?;
    let flows = u32::try_from(listed.lines().count())?;
    assert!(flows > 0);
    folder.apply(&slice("dns", "UDP", 5353, &["10.244.2.6"]))?;
    proxy.settle(&mut folder)?;
    let counted = || Ok(value(&lab, deleted)? == f64::from(flows));
    eventually("deleted flows are counted", counted)
        .map_err(|_| proxy.failed("deleted flows are not counted"))?;
    let took = "kubeproxy_conntrack_reconciler_sync_duration_seconds";
    assert!(value(&lab, &format!("{took}_count{{ip_family=\"IPv4\"}}"))? >= 1.0);
    assert_eq!(
        value(&lab, &format!("{took}_count{{ip_family=\"IPv6\"}}"))?,
        0.0
    );
    proxy.end(Signal::SIGTERM)
}

/// The slice as if it had just changed, with its endpoints on this node.
fn triggered_now(mut slice: Value, node: &str) -> Value {
    slice["metadata"]["annotations"] = json!({
        "endpoints.kubernetes.io/last-change-trigger-time": Timestamp::now().to_string(),
    });
    for endpoint in slice["endpoints"].as_array_mut().into_iter().flatten() {
        endpoint["nodeName"] = json!(node);
    }
    slice
}

/// The value of a series that is written as the page has it.
pub(crate) fn value(lab: &Lab, series: &str) -> Result<f64, Failed> {
    let mut page = String::new();
    eventually("/metrics answers", || {
        page = get(lab, "127.0.0.1:10249", "/metrics");
        Ok(!page.is_empty())
    })?;
    let line = page.lines().find_map(|line| {
        let value = line.strip_prefix(series)?.strip_prefix(' ')?;
        Some(value.parse::<f64>())
    });
    Ok(line.ok_or_else(|| format!("/metrics has no {series}:\n{page}"))??)
}
