//! Other modes, and the same again.

use fairlead_lab::iptables::Variant;
use fairlead_lab::{Client, Lab};
use libtest_mimic::Failed;
use nix::sys::signal::Signal;
use serde_json::json;

use crate::asking::while_asking;
use crate::echo::Echo;
use crate::objects::{service, slice};
use crate::rig::{Folder, Mode, Proxy};
use crate::rules::{FIREWALL_JUMPS, Rules};
use crate::tests;
use crate::watch::{await_health, eventually, on_node};

tests! {
    a_restart_disturbs_nothing,
    modes_take_over_from_each_other,
    variants_take_over_from_each_other,
}

/// Where clients connect all the time.
const ASKED: [(Client, &str); 3] = [
    (Client::Pod, "10.96.32.1:80"),
    (Client::Node, "10.96.32.1:80"),
    (Client::Outside, "192.0.2.10:30320"),
];

fn a_restart_disturbs_nothing(variant: Variant) -> Result<(), Failed> {
    let lab = Lab::new()?;
    let mut folder = web()?;
    let mode = Mode::Iptables(variant);
    let mut proxy = Proxy::start_in(mode, &lab, &folder, &[])?;
    proxy.settle(&mut folder)?;
    let mut echo = Echo::connect(&lab, "192.0.2.10:30321")?;
    echo.says("before")?;
    let before = Rules::of(&lab, variant)?;
    while_asking(&lab, &ASKED, || {
        proxy.end(Signal::SIGTERM)?;
        let proxy = Proxy::start_in(mode, &lab, &folder, &[])?;
        await_health(&lab, &proxy, "/readyz", 200)?;
        echo.says("after")?;
        match Rules::of(&lab, variant)?.differences(&before) {
            same if same.is_empty() => proxy.end(Signal::SIGTERM),
            differences => Err(proxy.failed(&differences)),
        }
    })
}

fn modes_take_over_from_each_other(variant: Variant) -> Result<(), Failed> {
    let lab = Lab::new()?;
    let mut folder = web()?;
    let iptables = Mode::Iptables(variant);
    let mut proxy = Proxy::start_in(iptables, &lab, &folder, &[])?;
    proxy.settle(&mut folder)?;
    while_asking(&lab, &ASKED, || {
        proxy.end(Signal::SIGTERM)?;
        let mut proxy = Proxy::start_in(Mode::Nftables, &lab, &folder, &[])?;
        proxy.settle(&mut folder)?;
        eventually("the rules of iptables mode are gone", || {
            only_firewall_is_left(&lab, variant)
        })
        .map_err(|error| proxy.failed(error.message().unwrap_or_default()))?;
        proxy.end(Signal::SIGTERM)?;
        let mut proxy = Proxy::start_in(iptables, &lab, &folder, &[])?;
        proxy.settle(&mut folder)?;
        eventually("the tables of nftables mode are gone", || {
            Ok(!on_node(&lab, "nft list tables")?.contains("fairlead"))
        })
        .map_err(|error| proxy.failed(error.message().unwrap_or_default()))?;
        is_as_fresh(&lab, variant, &folder, proxy)
    })
}

/// Of which a host has one: rules in both would be asked twice.
fn variants_take_over_from_each_other(variant: Variant) -> Result<(), Failed> {
    let other = match variant {
        Variant::Nft => Variant::Legacy,
        Variant::Legacy => Variant::Nft,
    };
    let lab = Lab::new()?;
    let mut folder = web()?;
    let mut proxy = Proxy::start_in(Mode::Iptables(other), &lab, &folder, &[])?;
    proxy.settle(&mut folder)?;
    proxy.end(Signal::SIGTERM)?;
    let mut proxy = Proxy::start_in(Mode::Iptables(variant), &lab, &folder, &[])?;
    proxy.settle(&mut folder)?;
    eventually("the rules of the other variant are gone", || {
        only_firewall_is_left(&lab, other)
    })
    .map_err(|error| proxy.failed(error.message().unwrap_or_default()))?;
    match Rules::of(&lab, variant)?.differences(&Rules::fresh(variant, &folder, "")?) {
        same if same.is_empty() => proxy.end(Signal::SIGTERM),
        differences => Err(proxy.failed(&differences)),
    }
}

/// The jumps to KUBE-FIREWALL stayed all the time.
fn is_as_fresh(
    lab: &Lab,
    variant: Variant,
    folder: &Folder,
    proxy: Proxy<'_>,
) -> Result<(), Failed> {
    let fresh = Rules::fresh(variant, folder, FIREWALL_JUMPS)?;
    match Rules::of(lab, variant)?.differences(&fresh) {
        same if same.is_empty() => proxy.end(Signal::SIGTERM),
        differences => Err(proxy.failed(&differences)),
    }
}

/// Whether all chains of kube-proxy's are gone but for the one that the kubelet has, too.
fn only_firewall_is_left(lab: &Lab, variant: Variant) -> Result<bool, Failed> {
    let rules = Rules::of(lab, variant)?;
    let chains = rules.chains().into_iter();
    Ok(chains
        .filter(|name| name.starts_with("KUBE-"))
        .eq(["KUBE-FIREWALL"]))
}

fn web() -> Result<Folder, Failed> {
    let spec = |cluster_ip, port, node_port| {
        json!({
            "type": "NodePort", "clusterIP": cluster_ip,
            "ports": [{"port": port, "nodePort": node_port}],
        })
    };
    let (pod, port) = Echo::ENDPOINT;
    Folder::new(&[
        service("web", &spec("10.96.32.1", 80, 30320)),
        slice("web", "TCP", 8080, &["10.244.2.5", "10.244.2.6"]),
        service("echo", &spec("10.96.32.2", 7, 30321)),
        slice("echo", "TCP", port, &[pod]),
    ])
}
