//! Where node ports answer in iptables mode, as the configuration says and as it changes.

use std::fs;

use fairlead_core::address::Protocol;
use fairlead_lab::{Client, Lab};
use libtest_mimic::Failed;
use nix::sys::signal::Signal;
use serde_json::json;
use tempfile::TempDir;

use crate::objects::{service, slice};
use crate::rig::{Folder, Proxy};
use crate::tests;
use crate::watch::{eventually, on_node};

tests! {
    node_ports_answer_where_iptables_mode_has_them,
    health_checks_listen_where_node_ports_answer,
}

/// Who asks, and where.
const ASKED: [(Client, &str); 4] = [
    (Client::Node, "127.0.0.1:30260"),
    (Client::Node, "192.0.2.10:30260"),
    (Client::Outside, "192.0.2.10:30260"),
    (Client::Outside, "[2001:db8:2::10]:30260"),
];

/// What the file says, who of [`ASKED`] is answered, and what loopback addresses need.
const ROWS: [(&str, [bool; 4], &str); 6] = [
    ("", [true, true, true, true], "1"),
    (
        "iptables: {localhostNodePorts: false}",
        [false, true, true, true],
        "0",
    ),
    (
        "nodePortAddresses: [127.0.0.0/8]",
        [true, false, false, true],
        "1",
    ),
    (
        "nodePortAddresses: [192.0.2.0/24, 'fd99::/64']",
        [false, true, true, false],
        "0",
    ),
    (
        "nodePortAddresses: [primary]",
        [false, true, true, true],
        "0",
    ),
    ("nodePortAddresses: [all]", [true, true, true, true], "1"),
];

fn node_ports_answer_where_iptables_mode_has_them() -> Result<(), Failed> {
    let (lab, etc) = (Lab::new()?, TempDir::new()?);
    let mut folder = node_port()?;
    let config = etc.path().join("config.conf");
    let write = |fields| {
        let head = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n";
        fs::write(
            &config,
            format!("{head}mode: iptables\nclusterCIDR: 10.244.0.0/16\n{fields}\n"),
        )
    };
    write(ROWS[0].0)?;
    let flags = [format!("--config={}", config.display())];
    let mut proxy = Proxy::start(&lab, &folder, &flags)?;
    proxy.settle(&mut folder)?;
    for (fields, expected, routed) in ROWS {
        write(fields)?;
        let mut found = Vec::new();
        eventually(fields, || {
            found = ASKED
                .iter()
                .map(|(client, to)| {
                    let series = lab.ask(*client, Protocol::Tcp, to.parse()?, 1)?;
                    Ok(!series.by_endpoint.is_empty())
                })
                .collect::<Result<_, Failed>>()?;
            Ok(found == expected)
        })
        .map_err(|_| proxy.failed(&format!("{fields}: {found:?}, not {expected:?}")))?;
        let set = on_node(&lab, "sysctl -n net.ipv4.conf.all.route_localnet")?;
        assert_eq!(set.trim(), routed, "{fields}");
    }
    proxy.end(Signal::SIGTERM)
}

fn health_checks_listen_where_node_ports_answer() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let mut spec = node_port_spec("10.96.26.9", 30269);
    spec["type"] = json!("LoadBalancer");
    spec["externalTrafficPolicy"] = json!("Local");
    spec["healthCheckNodePort"] = json!(32069);
    let objects = [
        service("web", &spec),
        slice("web", "TCP", 8080, &["10.244.2.5"]),
    ];
    for (flag, expected) in [
        ("--nodeport-addresses=", "0.0.0.0:32069"),
        ("--nodeport-addresses=127.0.0.0/8", "127.0.0.1:32069"),
        ("--nodeport-addresses=primary", "192.0.2.10:32069"),
    ] {
        let mut folder = Folder::new(&objects)?;
        let flags = ["--proxy-mode=iptables", flag].map(str::to_owned);
        let mut proxy = Proxy::start(&lab, &folder, &flags)?;
        proxy.settle(&mut folder)?;
        let listens = || {
            let all = on_node(&lab, "ss -Hltn4 sport = :32069")?;
            Ok::<_, Failed>(all.split_whitespace().any(|word| word == expected))
        };
        eventually(flag, listens)
            .map_err(|_| proxy.failed(&format!("{flag}: nobody listens at {expected}")))?;
        proxy.end(Signal::SIGTERM)?;
    }
    Ok(())
}

fn node_port_spec(cluster_ip: &str, node_port: u16) -> serde_json::Value {
    json!({
        "type": "NodePort", "clusterIP": cluster_ip,
        "ports": [{"port": 80, "nodePort": node_port}],
    })
}

/// A Service with node ports in both families.
fn node_port() -> Result<Folder, Failed> {
    let four = node_port_spec("10.96.26.8", 30260);
    let mut six = node_port_spec("fd00:10:96::268", 30260);
    six["ipFamilies"] = json!(["IPv6"]);
    six["clusterIPs"] = json!(["fd00:10:96::268"]);
    let mut endpoints = slice("six", "TCP", 8080, &["fd00:10:244:2::5"]);
    endpoints["addressType"] = json!("IPv6");
    Folder::new(&[
        service("four", &four),
        slice("four", "TCP", 8080, &["10.244.2.5"]),
        service("six", &six),
        endpoints,
    ])
}
