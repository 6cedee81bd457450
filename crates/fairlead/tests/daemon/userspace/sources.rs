//! Nodes that ask where packets come from, and mean the mark when they do.

use fairlead_core::address::Protocol;
use fairlead_lab::{Client, Lab, NODE_V4, Source};
use libtest_mimic::Failed;
use nix::sys::signal::Signal;
use serde_json::json;

use super::run_in;
use crate::objects::{service, slice};
use crate::rig::{Folder, Mode, Proxy};
use crate::tests;

tests! {
    clients_are_served_where_sources_are_looked_for_by_mark,
}

/// As wg-quick(8) has it. The higher one of an interface's and of all counts.
const BY_MARK: &str = "sysctl -qw net.ipv4.conf.all.src_valid_mark=1
    for rp_filter in /proc/sys/net/ipv4/conf/*/rp_filter; do echo";

/// Off, strict, loose (ip-sysctl.rst).
const CHECKS: [u8; 3] = [0, 1, 2];

fn clients_are_served_where_sources_are_looked_for_by_mark() -> Result<(), Failed> {
    for source in [Source::Masqueraded, Source::Kept] {
        let lab = Lab::new()?;
        let mut folder = folder()?;
        let mut proxy = Proxy::start_in(Mode::Userspace(source), &lab, &folder, &[])?;
        proxy.settle(&mut folder)?;
        for check in CHECKS {
            let checked = format!("{BY_MARK} {check} > $rp_filter; done");
            run_in(lab.node(), "sh", &["-c", &checked])?;
            are_served(&lab, source).map_err(|error| {
                let error = error.message().unwrap_or_default();
                proxy.failed(&format!("rp_filter {check}: {error}"))
            })?;
        }
        proxy.end(Signal::SIGTERM)?;
    }
    Ok(())
}

/// Local pods alone serve, so that their clients are theirs to see.
fn folder() -> Result<Folder, Failed> {
    let spec = |ip: [&str; 2], ports: serde_json::Value| {
        json!({
            "type": "NodePort", "clusterIP": ip[0], "clusterIPs": ip,
            "ipFamilies": ["IPv4", "IPv6"], "externalTrafficPolicy": "Local", "ports": [ports],
        })
    };
    let web = json!({"port": 80, "nodePort": 30958});
    let dns = json!({"port": 53, "protocol": "UDP", "nodePort": 30959});
    let mut objects = vec![
        service("web", &spec(["10.96.58.1", "fd00:10:96::581"], web)),
        service("dns", &spec(["10.96.58.2", "fd00:10:96::582"], dns)),
    ];
    for (name, protocol, port) in [("web", "TCP", 8080), ("dns", "UDP", 5353)] {
        for (family, pod) in [("IPv4", "10.244.1.130"), ("IPv6", "fd00:10:244:1:8000::1")] {
            let mut slice = slice(name, protocol, port, &[pod]);
            slice["metadata"]["name"] = json!(format!("{name}-{}", family.to_lowercase()));
            slice["addressType"] = json!(family);
            slice["endpoints"][0]["nodeName"] = json!("node1");
            objects.push(slice);
        }
    }
    Folder::new(&objects)
}

fn are_served(lab: &Lab, source: Source) -> Result<(), Failed> {
    for (protocol, service, node_port) in [
        (Protocol::Tcp, "10.96.58.1:80", 30958),
        (Protocol::Tcp, "[fd00:10:96::581]:80", 30958),
        (Protocol::Udp, "10.96.58.2:53", 30959),
        (Protocol::Udp, "[fd00:10:96::582]:53", 30959),
    ] {
        let node_port = format!("{NODE_V4}:{node_port}");
        for (client, to, is_seen) in [
            (Client::Pod, service, true),
            (Client::Node, service, false),
            (Client::Outside, &node_port, true),
            (Client::Node, &node_port, false),
        ] {
            let series = lab.ask(client, protocol, to.parse()?, 3)?;
            let kept = usize::from(is_seen && source == Source::Kept) * 3;
            let is_served =
                series.errors.is_empty() && series.by_endpoint.values().sum::<usize>() == 3;
            if !is_served || (is_seen && series.kept != kept) {
                return Err(format!("{client} at {to}: {series:?}").into());
            }
        }
    }
    Ok(())
}
