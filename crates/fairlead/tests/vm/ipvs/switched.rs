//! Starting again, in the same mode and in others.

use fairlead_core::address::Protocol;
use fairlead_lab::iptables::Variant;
use fairlead_lab::{Client, Lab};
use libtest_mimic::Failed;
use nix::sys::signal::Signal;
use serde_json::json;

use super::held::{self, Held};
use super::node::{reals, start, web};
use crate::objects::{service, slice};
use crate::rig::{Folder, Mode, Proxy};
use crate::watch::{await_health, eventually, on_node};

const PODS: [&str; 2] = ["10.244.1.150", "10.244.1.151"];

const OTHERS: [(Client, &str); 2] = [
    (Client::Pod, "10.96.47.2:80"),
    (Client::Outside, "192.0.2.10:30470"),
];

/// In ipvs mode it connects from the Service's address, and is heard of no more when that goes.
const NODE: [(Client, &str); 1] = [(Client::Node, "10.96.47.2:80")];

pub(super) fn a_restart_changes_nothing() -> Result<(), Failed> {
    let lab = Lab::new()?;
    held::listen(&lab, &PODS)?;
    let mut folder = Folder::new(&objects())?;
    let proxy = start(&lab, &mut folder, &[])?;
    let mut open = Held::connect(&lab, "10.96.47.1:80")?;
    let before = lab.shown_by_ipvs()?;
    proxy.end(Signal::SIGTERM)?;
    open.says("while nobody is there")?;
    assert_eq!(lab.shown_by_ipvs()?, before);
    let flags = ["--cluster-cidr=10.244.0.0/16,fd00:10:244::/48".to_owned()];
    let proxy = Proxy::start_in(Mode::Ipvs, &lab, &folder, &flags)?;
    await_health(&lab, &proxy, "/readyz", 200)?;
    open.says("afterwards")?;
    if lab.shown_by_ipvs()? != before {
        return Err(proxy.failed("it is not as before"));
    }
    // A real server that is added anew knows no connections.
    let reals = reals(&lab, "-t 10.96.47.1:80")?.unwrap_or_default();
    if reals.values().map(|real| real.active).sum::<u32>() != 1 {
        return Err(proxy.failed(&format!("the connection is not known: {reals:?}")));
    }
    proxy.end(Signal::SIGTERM)
}

pub(super) fn modes_take_over_from_each_other() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let mut folder = Folder::new(&objects())?;
    for mode in [
        Mode::Nftables,
        Mode::Ipvs,
        Mode::Iptables(Variant::Nft),
        Mode::Ipvs,
        Mode::Nftables,
    ] {
        let flags = [mode.at_once(), "--cluster-cidr=10.244.0.0/16".to_owned()];
        let mut proxy = Proxy::start_in(mode, &lab, &folder, &flags)?;
        proxy.settle(&mut folder)?;
        are_served(&OTHERS, &lab, &proxy, mode)?;
        eventually(&format!("{mode} mode is all there is"), || {
            Ok(left(&lab)? == expected(mode))
        })
        .map_err(|_| proxy.failed(&format!("{mode} mode: there is {:?}", left(&lab))))?;
        are_served(&OTHERS, &lab, &proxy, mode)?;
        are_served(&NODE, &lab, &proxy, mode)?;
        proxy.end(Signal::SIGTERM)?;
    }
    Ok(())
}

/// Whether there are: virtual servers, the device, tables of Fairlead's own, chains of kube-proxy's but
/// for the one that the kubelet has too.
type Left = [bool; 4];

fn left(lab: &Lab) -> Result<Left, Failed> {
    let shown = lab.shown_by_ipvs()?;
    let tables = on_node(lab, "nft list tables")?;
    let rules = on_node(lab, "iptables-nft-save")?;
    let is_chain = |line: &str| line.starts_with(":KUBE-") && !line.starts_with(":KUBE-FIREWALL");
    Ok([
        !shown.servers.is_empty(),
        shown.addresses.is_some(),
        tables.contains(" fairlead"),
        rules.lines().any(is_chain),
    ])
}

fn expected(mode: Mode) -> Left {
    match mode {
        Mode::Nftables | Mode::Userspace(_) => [false, false, true, false],
        Mode::Iptables(_) => [false, false, false, true],
        Mode::Ipvs => [true, true, true, false],
    }
}

fn are_served(
    clients: &[(Client, &str)],
    lab: &Lab,
    proxy: &Proxy<'_>,
    mode: Mode,
) -> Result<(), Failed> {
    for &(client, to) in clients {
        let series = lab.ask(client, Protocol::Tcp, to.parse()?, 20)?;
        if series.by_endpoint.len() != 2 || !series.errors.is_empty() {
            return Err(proxy.failed(&format!("{mode} mode: {client} -> {to}: {series:?}")));
        }
    }
    Ok(())
}

fn objects() -> Vec<serde_json::Value> {
    let spec = json!({
        "type": "NodePort", "clusterIP": "10.96.47.2",
        "ports": [{"port": 80, "nodePort": 30470}],
    });
    let port = [
        service("port", &spec),
        slice("port", "TCP", 8080, &["10.244.2.5", "10.244.2.6"]),
    ];
    [web("held", "10.96.47.1", &PODS, held::PORT), port].concat()
}
