//! Others who use IPVS on the same node.

use std::time::Duration;

use fairlead_core::address::Protocol;
use fairlead_lab::{Client, Lab};
use libtest_mimic::Failed;
use nix::sys::signal::Signal;

use super::node::{start, web};
use crate::rig::{Folder, Proxy};
use crate::watch::{on_node, within};

const PODS: [&str; 2] = ["10.244.2.5", "10.244.2.6"];

const TO: &str = "10.96.46.1:80";

/// What the kernel tells of: mended at once.
const TOLD: [&str; 4] = [
    "ip address delete 10.96.46.1/32 dev kube-ipvs0",
    "ip link delete kube-ipvs0",
    "nft delete table ip fairlead",
    "nft flush chain ip fairlead services",
];

/// Less than the time between two looks, or the telling would not be seen.
const TOLD_WITHIN: Duration = Duration::from_secs(20);

/// What it does not tell of: Fairlead looks every 30 seconds.
const UNTOLD: [&str; 4] = [
    "ipvsadm -D -t 10.96.46.1:80",
    "ipvsadm -d -t 10.96.46.1:80 -r 10.244.2.5:8080",
    "ipvsadm -a -t 10.96.46.1:80 -r 10.244.2.99:8080 -m",
    "ipvsadm -C",
];

const LOOK: Duration = Duration::from_secs(30 + 20);

pub(super) fn what_others_take_away_comes_back() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let mut folder = Folder::new(&web("web", "10.96.46.1", &PODS, 8080))?;
    let mut proxy = start(&lab, &mut folder, &[])?;
    let before = state(&lab)?;
    for command in TOLD {
        on_node(&lab, command)?;
        within(TOLD_WITHIN, command, || Ok(state(&lab)? == before))
            .map_err(|error| proxy.failed(error.message().unwrap_or_default()))?;
        is_served(&lab, &proxy, command)?;
    }
    for command in UNTOLD {
        on_node(&lab, command)?;
        within(LOOK, command, || Ok(state(&lab)? == before))
            .map_err(|error| proxy.failed(error.message().unwrap_or_default()))?;
        is_served(&lab, &proxy, command)?;
    }
    proxy.settle(&mut folder)?;
    proxy.end(Signal::SIGTERM)
}

/// What IPVS has, and how many lines the companion table.
fn state(lab: &Lab) -> Result<(fairlead_lab::ipvs::Shown, usize), Failed> {
    let rules = on_node(lab, "nft --stateless list ruleset")?;
    Ok((lab.shown_by_ipvs()?, rules.lines().count()))
}

fn is_served(lab: &Lab, proxy: &Proxy<'_>, after: &str) -> Result<(), Failed> {
    for client in [Client::Pod, Client::Outside] {
        let series = lab.ask(client, Protocol::Tcp, TO.parse()?, 8)?;
        if series.by_endpoint.len() != PODS.len() || !series.errors.is_empty() {
            return Err(proxy.failed(&format!("after {after}: {client} {series:?}")));
        }
    }
    Ok(())
}

/// As kube-proxy does: those that no Service has go, but for excluded networks and packet marks.
pub(super) fn virtual_servers_of_others_stay_where_they_are_excluded() -> Result<(), Failed> {
    const OTHERS: [(&str, bool); 4] = [
        ("-t 10.97.0.1:80", true),
        ("-t [fd00:97::1]:80", true),
        ("-t 10.98.0.1:80", false),
        ("-f 7", true),
    ];
    let lab = Lab::new()?;
    for (server, _) in OTHERS {
        on_node(&lab, &format!("ipvsadm -A {server} -s rr"))?;
    }
    let mut folder = Folder::new(&web("web", "10.96.46.1", &PODS, 8080))?;
    let flags = ["--ipvs-exclude-cidrs=10.97.0.0/16,fd00:97::/64"];
    let proxy = start(&lab, &mut folder, &flags)?;
    is_served(&lab, &proxy, "the start")?;
    let found = lab.shown_by_ipvs()?;
    for (server, stays) in OTHERS {
        if found.servers.contains_key(server) != stays {
            return Err(proxy.failed(&format!("{server} should stay: {stays}")));
        }
    }
    proxy.end(Signal::SIGTERM)
}
