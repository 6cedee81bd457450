//! What becomes of connections when their endpoint goes.

use std::net::UdpSocket;
use std::thread::sleep;
use std::time::Duration;

use fairlead_core::address::Protocol;
use fairlead_lab::{Client, Lab};
use libtest_mimic::Failed;
use nix::sys::signal::Signal;
use serde_json::json;

use super::held::{self, Held};
use super::node::{Real, dns, reals, start, web};
use crate::flows::{connected, heard, heard_soon};
use crate::objects::slice;
use crate::rig::{Folder, Proxy};
use crate::watch::{eventually, within};

const PODS: [&str; 2] = ["10.244.1.150", "10.244.1.151"];

const TO: &str = "10.96.43.1:80";

const SERVER: &str = "-t 10.96.43.1:80";

/// Connections that were reset are remembered for 10 seconds, and once a minute it is looked whether
/// any are left. The rest is for a slow machine.
const GONE: Duration = Duration::from_secs(10 + 60 + 20);

pub(super) fn an_open_connection_outlives_its_endpoint() -> Result<(), Failed> {
    let lab = Lab::new()?;
    held::listen(&lab, &PODS)?;
    let mut folder = Folder::new(&web("web", "10.96.43.1", &PODS, held::PORT))?;
    let mut proxy = start(&lab, &mut folder, &[])?;
    let mut all = Held::connect_all(&lab, TO, 2)?;
    let leaving = all.iter().position(|held| held.pod == PODS[1]);
    let mut open = all.swap_remove(leaving.ok_or("rr met one twice")?);

    folder.apply(&slice("web", "TCP", held::PORT, &PODS[..1]))?;
    proxy.settle(&mut folder)?;
    expect(&lab, &proxy, PODS[1], Some(0))?;
    open.says("still here")?;
    meet(&lab, &proxy, &PODS[..1])?;

    // It comes back, with its share, and goes again.
    folder.apply(&slice("web", "TCP", held::PORT, &PODS))?;
    proxy.settle(&mut folder)?;
    expect(&lab, &proxy, PODS[1], Some(1))?;
    open.says("still here, too")?;
    meet(&lab, &proxy, &PODS)?;
    folder.apply(&slice("web", "TCP", held::PORT, &PODS[..1]))?;
    proxy.settle(&mut folder)?;
    expect(&lab, &proxy, PODS[1], Some(0))?;

    // Longer than it takes to look whether its connections have ended.
    sleep(Duration::from_secs(3));
    open.says("and here")?;
    meet(&lab, &proxy, &PODS[..1])?;
    open.reset()?;
    let took = within(GONE, "the real server is gone", || {
        Ok(real(&lab, PODS[1])?.is_none())
    })
    .map_err(|error| proxy.failed(error.message().unwrap_or_default()))?;
    eprintln!("the real server was gone {took:?} after its last connection");
    proxy.end(Signal::SIGTERM)
}

pub(super) fn an_endpoint_without_connections_goes_soon() -> Result<(), Failed> {
    let lab = Lab::new()?;
    held::listen(&lab, &PODS)?;
    let mut folder = Folder::new(&web("web", "10.96.43.1", &PODS, held::PORT))?;
    let mut proxy = start(&lab, &mut folder, &[])?;
    folder.apply(&slice("web", "TCP", held::PORT, &PODS[..1]))?;
    proxy.settle(&mut folder)?;
    within(Duration::from_secs(5), "the real server is gone", || {
        Ok(real(&lab, PODS[1])?.is_none())
    })
    .map_err(|error| proxy.failed(error.message().unwrap_or_default()))?;
    proxy.end(Signal::SIGTERM)
}

pub(super) fn a_flow_of_datagrams_goes_elsewhere_at_once() -> Result<(), Failed> {
    let (lab, pods) = (Lab::new()?, ["10.244.2.5", "10.244.2.6"]);
    let mut folder = Folder::new(&dns("dns", "10.96.43.2", &pods))?;
    let mut proxy = start(&lab, &mut folder, &[])?;
    let place = lab.network().place_of(Client::Pod);
    let bind = || UdpSocket::bind("10.244.1.20:0");
    let client = connected(place.run(bind)??, "10.96.43.2:53")?;
    let first = heard(&client)?;
    let other = pods.iter().find(|pod| !first.starts_with(**pod));
    let other = other.ok_or("it met neither")?;
    folder.apply(&slice("dns", "UDP", 5353, &[other]))?;
    proxy.settle(&mut folder)?;
    let left = reals(&lab, "-u 10.96.43.2:53")?.unwrap_or_default();
    if left.len() != 1 {
        return Err(proxy.failed(&format!("it lingers: {left:?}")));
    }
    // The datagram that finds its endpoint gone is lost.
    eventually("it meets the other", || {
        Ok(heard_soon(&client).is_ok_and(|answer| answer.starts_with(other)))
    })
    .map_err(|error| proxy.failed(error.message().unwrap_or_default()))?;
    proxy.end(Signal::SIGTERM)
}

pub(super) fn a_remembered_client_meets_another_endpoint() -> Result<(), Failed> {
    let (lab, pods) = (Lab::new()?, ["10.244.2.5", "10.244.2.6"]);
    let [mut service, endpoints] = web("web", "10.96.43.1", &pods, 8080);
    service["spec"]["sessionAffinity"] = json!("ClientIP");
    let mut folder = Folder::new(&[service, endpoints])?;
    let mut proxy = start(&lab, &mut folder, &[])?;
    let ask = || {
        lab.ask(Client::Pod, Protocol::Tcp, TO.parse()?, 10)
            .map_err(Failed::from)
    };
    let first = ask()?;
    let met = first.by_endpoint.keys().next().ok_or("nobody answers")?;
    let other = pods.iter().find(|pod| met.ip().to_string() != **pod);
    let other = other.ok_or("it met neither")?;
    folder.apply(&slice("web", "TCP", 8080, &[other]))?;
    proxy.settle(&mut folder)?;
    let later = ask()?;
    let all_meet_it = later
        .by_endpoint
        .keys()
        .all(|met| met.ip().to_string() == **other);
    match first.by_endpoint.len() == 1 && all_meet_it && later.errors.is_empty() {
        true => proxy.end(Signal::SIGTERM),
        false => Err(proxy.failed(&format!("first {first:?}, then {later:?}"))),
    }
}

/// Of datagrams: IPVS does not forget a client as long as it remembers one of its flows.
pub(super) fn a_client_is_forgotten_in_time() -> Result<(), Failed> {
    const TIMEOUT: Duration = Duration::from_secs(2);
    let (lab, pods) = (Lab::new()?, ["10.244.2.5", "10.244.2.6"]);
    let [mut service, endpoints] = dns("dns", "10.96.43.2", &pods);
    service["spec"]["sessionAffinity"] = json!("ClientIP");
    service["spec"]["sessionAffinityConfig"] =
        json!({"clientIP": {"timeoutSeconds": TIMEOUT.as_secs()}});
    let mut folder = Folder::new(&[service, endpoints])?;
    let proxy = start(&lab, &mut folder, &["--ipvs-udp-timeout=1s"])?;
    let ask = || -> Result<_, Failed> {
        let series = lab.ask(Client::Pod, Protocol::Udp, "10.96.43.2:53".parse()?, 5)?;
        Ok(series.by_endpoint.into_keys().collect::<Vec<_>>())
    };
    let first = ask()?;
    if first.len() != 1 || ask()? != first {
        return Err(proxy.failed("it is not remembered"));
    }
    // rr gives whoever is new the other one; each flow that is left puts it off once more.
    sleep(3 * TIMEOUT);
    let later = ask()?;
    match later.len() == 1 && later != first {
        true => proxy.end(Signal::SIGTERM),
        false => Err(proxy.failed(&format!("first {first:?}, then {later:?}"))),
    }
}

fn real(lab: &Lab, pod: &str) -> Result<Option<Real>, Failed> {
    let all = reals(lab, SERVER)?.ok_or("no virtual server")?;
    Ok(all.get(&format!("{pod}:{}", held::PORT)).copied())
}

fn expect(lab: &Lab, proxy: &Proxy<'_>, pod: &str, weight: Option<u32>) -> Result<(), Failed> {
    let found = real(lab, pod)?.map(|real| real.weight);
    match found == weight {
        true => Ok(()),
        false => Err(proxy.failed(&format!("weight of {pod}: {found:?}, not {weight:?}"))),
    }
}

/// New connections meet these and no others.
fn meet(lab: &Lab, proxy: &Proxy<'_>, pods: &[&str]) -> Result<(), Failed> {
    let mut met = Vec::new();
    for held in Held::connect_all(lab, TO, 10)? {
        met.push(held.pod.clone());
        held.reset()?;
    }
    met.sort();
    met.dedup();
    match met == pods {
        true => Ok(()),
        false => Err(proxy.failed(&format!("new connections meet {met:?}, not {pods:?}"))),
    }
}
