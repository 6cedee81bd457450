//! What the process tells of itself, and what it says that it cannot do.

// Counts are whole numbers, which floats hold as they are.
#![allow(clippy::float_cmp)]

use std::process::Command;

use fairlead_core::address::Protocol;
use fairlead_lab::{Client, Lab};
use libtest_mimic::Failed;
use nix::sys::signal::Signal;
use serde_json::json;

use super::{run_in, start, visit, web};
use crate::metrics::value;
use crate::objects::{service, slice};
use crate::rig::{FAIRLEAD, Folder};
use crate::tests;
use crate::watch::{await_health, eventually, get, hear};

tests! {
    what_it_carries_is_counted,
    it_cannot_be_run_once,
    a_port_of_sctp_is_told_and_all_else_is_served,
    a_parameter_that_does_not_fit_is_told,
    without_ipv6_on_the_loopback_device_ipv4_is_served,
}

fn what_it_carries_is_counted() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let dns = json!({"clusterIP": "10.96.56.2", "ports": [{"protocol": "UDP", "port": 53}]});
    let mut folder = Folder::new(&web("web", "10.96.56.1", 8080, &["10.244.2.5"]))?;
    folder.apply(&service("dns", &dns))?;
    folder.apply(&slice("dns", "UDP", 5353, &["10.244.2.5"]))?;
    let proxy = start(&lab, &mut folder, &[])?;
    let mode = get(&lab, "127.0.0.1:10249", "/proxyMode");
    assert!(mode.ends_with("\r\n\r\nuserspace"), "{mode}");
    for _ in 0..7 {
        visit(&lab, Client::Pod, "10.96.56.1:80")?;
    }
    let carried = 7 * u32::try_from("10.244.2.5 8080 192.0.2.10".len())?;
    let series = lab.ask(Client::Pod, Protocol::Udp, "10.96.56.2:53".parse()?, 5)?;
    assert_eq!(series.errors.len(), 0, "{series:?}");
    for (metric, service, rest, expected) in [
        ("connections_total", "web", "", 7),
        ("connections", "web", "", 0),
        ("bytes_total", "web", ",direction=\"reply\"", carried),
        ("bytes_total", "web", ",direction=\"original\"", 0),
        ("dial_failures_total", "web", "", 0),
        ("refused_total", "web", ",reason=\"no-answer\"", 0),
        ("udp_sessions_total", "dns", "", 5),
        ("udp_sessions", "dns", "", 5),
        ("bytes_total", "dns", ",direction=\"original\"", 5 * 12),
    ] {
        let labels = format!("namespace=\"default\",service=\"{service}\"{rest}");
        let series = format!("fairlead_userspace_{metric}{{{labels}}}");
        eventually(&format!("{series} is {expected}"), || {
            Ok(value(&lab, &series)? == f64::from(expected))
        })
        .map_err(|error| proxy.failed(error.message().unwrap_or_default()))?;
    }
    assert!(value(&lab, "fairlead_userspace_max_connections")? > 100.0);
    proxy.end(Signal::SIGTERM)
}

fn it_cannot_be_run_once() -> Result<(), Failed> {
    let (lab, folder) = (Lab::new()?, Folder::new(&[])?);
    let mut command = Command::new(FAIRLEAD);
    command.args(["run", "--once", "--proxy-mode=userspace", "--manifests"]);
    command.arg(folder.path());
    let said = match lab.run_on_node(&mut command) {
        Ok(output) => return Err(format!("it ended well: {output:?}").into()),
        Err(error) => error.to_string(),
    };
    assert!(
        said.contains("--once") && said.contains("userspace"),
        "{said}"
    );
    assert_eq!(run_in(lab.node(), "nft", &["list", "ruleset"])?, "");
    Ok(())
}

fn a_port_of_sctp_is_told_and_all_else_is_served() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let mut folder = Folder::new(&web("web", "10.96.56.1", 8080, &["10.244.2.5"]))?;
    let hss = json!({"clusterIP": "10.96.56.3", "ports": [
        {"name": "sctp", "protocol": "SCTP", "port": 3868},
        {"name": "tcp", "port": 80},
    ]});
    let mut endpoints = slice("hss", "TCP", 8080, &["10.244.2.5"]);
    endpoints["ports"] = json!([
        {"name": "sctp", "protocol": "SCTP", "port": 3868},
        {"name": "tcp", "protocol": "TCP", "port": 8080},
    ]);
    folder.apply(&service("hss", &hss))?;
    folder.apply(&endpoints)?;
    let proxy = start(&lab, &mut folder, &[])?;
    hear(&proxy, "SCTP")?;
    hear(&proxy, "default/hss")?;
    for to in ["10.96.56.1:80", "10.96.56.3:80"] {
        visit(&lab, Client::Pod, to)
            .map_err(|error| proxy.failed(error.message().unwrap_or_default()))?;
    }
    proxy.end(Signal::SIGTERM)
}

fn a_parameter_that_does_not_fit_is_told() -> Result<(), Failed> {
    const PARAMETER: &str = "net.ipv4.tcp_fwmark_accept";
    let lab = Lab::new()?;
    run_in(lab.node(), "sysctl", &["-qw", &format!("{PARAMETER}=1")])?;
    let mut folder = Folder::new(&web("web", "10.96.56.1", 8080, &["10.244.2.5"]))?;
    let proxy = super::Proxy::start_in(super::USERSPACE, &lab, &folder, &[])?;
    hear(&proxy, &format!("{PARAMETER} is on"))?;
    // It is told before signals are taken.
    await_health(&lab, &proxy, "/livez", 200)?;
    run_in(lab.node(), "sysctl", &["-qw", &format!("{PARAMETER}=0")])?;
    proxy.end(Signal::SIGTERM)?;
    let proxy = start(&lab, &mut folder, &[])?;
    assert!(!proxy.log().contains(PARAMETER), "{}", proxy.log());
    proxy.end(Signal::SIGTERM)
}

fn without_ipv6_on_the_loopback_device_ipv4_is_served() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let off = "net.ipv6.conf.lo.disable_ipv6=1";
    run_in(lab.node(), "sysctl", &["-qw", off])?;
    let spec = json!({
        "clusterIP": "10.96.56.4", "clusterIPs": ["10.96.56.4", "fd00:10:96::56"],
        "ipFamilies": ["IPv4", "IPv6"], "ports": [{"port": 80}],
    });
    let mut folder = Folder::new(&[
        service("web", &spec),
        slice("web", "TCP", 8080, &["10.244.2.5"]),
    ])?;
    let proxy = start(&lab, &mut folder, &[])?;
    hear(&proxy, "IPv6 is not served")?;
    visit(&lab, Client::Pod, "10.96.56.4:80")
        .map_err(|error| proxy.failed(error.message().unwrap_or_default()))?;
    proxy.end(Signal::SIGTERM)
}
