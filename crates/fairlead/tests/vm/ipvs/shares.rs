//! Who gets how much.

use fairlead_core::address::Protocol;
use fairlead_lab::{Client, Lab};
use libtest_mimic::Failed;
use serde_json::json;

use super::node::{dns, start, web, weigh};
use crate::objects::{service, slice};
use crate::rig::Folder;

/// One on the node and two elsewhere.
const PODS: [&str; 3] = ["10.244.1.130", "10.244.2.5", "10.244.2.6"];

const EACH: usize = 10;

pub(super) fn rr_gives_equal_shares() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let spec = json!({
        "type": "NodePort", "clusterIP": "10.96.40.2",
        "ports": [{"port": 80, "nodePort": 30402}],
    });
    let objects = [
        &web("web", "10.96.40.1", &PODS, 8080)[..],
        &dns("dns", "10.96.40.3", &PODS)[..],
        &[service("port", &spec), slice("port", "TCP", 8080, &PODS)],
    ];
    let mut folder = Folder::new(&objects.concat())?;
    let proxy = start(&lab, &mut folder, &[])?;
    for (client, protocol, to) in [
        (Client::Pod, Protocol::Tcp, "10.96.40.1:80"),
        (Client::Node, Protocol::Tcp, "10.96.40.1:80"),
        (Client::Outside, Protocol::Tcp, "192.0.2.10:30402"),
        (Client::Pod, Protocol::Udp, "10.96.40.3:53"),
    ] {
        let series = lab.ask(client, protocol, to.parse()?, EACH * PODS.len())?;
        let shares: Vec<usize> = series.by_endpoint.values().copied().collect();
        if shares != [EACH; PODS.len()] {
            return Err(proxy.failed(&format!("{client} -> {to}: {series:?}")));
        }
    }
    Ok(())
}

/// The daemon knows no weights but 0 and 1. Whoever sets others gets what they promise, until the
/// daemon looks at real servers again.
pub(super) fn wrr_gives_shares_by_weight() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let [web, endpoints] = web("web", "10.96.40.1", &PODS[1..], 8080);
    let mut folder = Folder::new(&[super::node::scheduled(web, "wrr"), endpoints])?;
    let proxy = start(&lab, &mut folder, &[])?;
    weigh(&lab, "-t 10.96.40.1:80", "10.244.2.5:8080", 3)?;
    let series = lab.ask(Client::Pod, Protocol::Tcp, "10.96.40.1:80".parse()?, 40)?;
    let shares: Vec<usize> = series.by_endpoint.values().copied().collect();
    match shares == [30, 10] {
        true => Ok(()),
        false => Err(proxy.failed(&format!("{series:?}"))),
    }
}
