//! Schedulers that look at addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::UdpSocket;

use fairlead_lab::{Client, Lab};
use libtest_mimic::Failed;
use nix::sys::signal::Signal;

use super::node::{dns, scheduled, start};
use crate::flows::{connected, heard};
use crate::rig::{Folder, Proxy};

const PODS: [&str; 5] = [
    "10.244.2.5",
    "10.244.2.6",
    "10.244.2.7",
    "10.244.2.8",
    "10.244.2.9",
];

/// All of them twice, and all but the last.
const ALL: &str = "10.96.42.1";
const AGAIN: &str = "10.96.42.2";
const WITHOUT_LAST: &str = "10.96.42.3";

/// So many clients: pods on the node, and ports of one of them.
const CLIENTS: u8 = 40;

/// `sh`: a client's address alone decides.
pub(super) fn sh_sends_a_client_to_one_endpoint() -> Result<(), Failed> {
    with("sh", |lab, proxy| {
        let mut met = BTreeSet::new();
        for n in 0..CLIENTS {
            let own: Vec<String> = [(ALL, 4000), (ALL, 4001), (AGAIN, 4002)]
                .into_iter()
                .map(|(to, port)| meet(lab, (n, port), to))
                .collect::<Result<_, _>>()?;
            if own.iter().collect::<BTreeSet<_>>().len() != 1 {
                return Err(proxy.failed(&format!("client {n} meets {own:?}")));
            }
            met.extend(own);
        }
        spread(proxy, &met)
    })
}

/// `sh-port`: so does the port.
pub(super) fn sh_looks_at_ports_if_told_to() -> Result<(), Failed> {
    with("sh,sh-port", |lab, proxy| {
        let first = by_port(lab, ALL)?;
        if first != by_port(lab, AGAIN)? {
            return Err(proxy.failed("the same ports meet others"));
        }
        spread(proxy, &first.into_values().collect())
    })
}

/// `mh`: the address and port decide, and when an endpoint goes few others are sent elsewhere.
pub(super) fn mh_keeps_most_where_they_are() -> Result<(), Failed> {
    with("mh", |lab, proxy| {
        let first = by_port(lab, ALL)?;
        if first != by_port(lab, AGAIN)? {
            return Err(proxy.failed("the same ports meet others"));
        }
        spread(proxy, &first.values().cloned().collect())?;
        let later = by_port(lab, WITHOUT_LAST)?;
        let gone = format!("{} 5353", PODS[4]);
        let stayed = first.iter().filter(|(_, met)| **met != gone);
        let moved = stayed.filter(|(port, met)| later[port] != **met).count();
        // By chance three of four would move.
        match moved * 5 <= first.len() {
            true => Ok(()),
            false => Err(proxy.failed(&format!("{moved} of {} moved", first.len()))),
        }
    })
}

fn with(
    scheduler: &str,
    see: impl Fn(&Lab, &Proxy<'_>) -> Result<(), Failed>,
) -> Result<(), Failed> {
    let lab = Lab::new()?;
    let mut objects = Vec::new();
    for (name, address, pods) in [
        ("all", ALL, &PODS[..]),
        ("again", AGAIN, &PODS),
        ("without-last", WITHOUT_LAST, &PODS[..4]),
    ] {
        let [service, endpoints] = dns(name, address, pods);
        objects.extend([scheduled(service, scheduler), endpoints]);
    }
    let mut folder = Folder::new(&objects)?;
    let proxy = start(&lab, &mut folder, &[])?;
    see(&lab, &proxy)?;
    proxy.end(Signal::SIGTERM)
}

/// Whom the ports of one client meet.
fn by_port(lab: &Lab, to: &str) -> Result<BTreeMap<u16, String>, Failed> {
    let ports = 5000..5000 + u16::from(CLIENTS);
    ports
        .map(|port| Ok((port, meet(lab, (0, port), to)?)))
        .collect()
}

/// Whom a pod on the node meets from a port of its own: its address and port.
fn meet(lab: &Lab, (pod, port): (u8, u16), to: &str) -> Result<String, Failed> {
    let own = format!("10.244.1.{}:{port}", 150 + pod);
    let place = lab
        .network()
        .place_of(Client::Hairpin([10, 244, 1, 150].into()));
    let socket = place.run(|| UdpSocket::bind(own))??;
    let answer = heard(&connected(socket, &format!("{to}:53"))?)?;
    let endpoint: Vec<&str> = answer.split(' ').take(2).collect();
    Ok(endpoint.join(" "))
}

fn spread(proxy: &Proxy<'_>, met: &BTreeSet<String>) -> Result<(), Failed> {
    match met.len() >= 3 {
        true => Ok(()),
        false => Err(proxy.failed(&format!("all clients meet {met:?}"))),
    }
}
