//! Clients that go on connecting while endpoints come and go.

use std::process::Command;
use std::thread;
use std::time::Duration;

use fairlead_core::address::Protocol;
use fairlead_lab::{Client, Lab};
use libtest_mimic::Failed;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::asking::while_asking;
use crate::objects::{service, slice};
use crate::rig::{Folder, Proxy};
use crate::tests;

tests! {
    no_connection_is_lost_while_endpoints_come_and_go,
    no_connection_is_lost_to_a_slot_that_went,
}

/// Where clients connect to, and which: with and without affinity, and where the endpoints of this
/// node alone are met.
const ASKED: [(Client, &str); 5] = [
    (Client::Pod, "10.96.26.1:80"),
    (Client::Node, "192.0.2.10:30261"),
    (Client::Pod, "10.96.26.2:80"),
    (Client::Outside, "192.0.2.10:30262"),
    (Client::Outside, "192.0.2.10:30263"),
];

/// So often the endpoints change.
const CHANGES: usize = 60;

fn no_connection_is_lost_while_endpoints_come_and_go() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let mut local = spec("10.96.26.3", 30263, "None");
    local["externalTrafficPolicy"] = json!("Local");
    let mut folder = Folder::new(&[
        service("local", &local),
        on_this_node(&["10.244.1.129"]),
        service("any", &spec("10.96.26.1", 30261, "None")),
        slice("any", "TCP", 8080, &["10.244.2.1"]),
        service("sticky", &spec("10.96.26.2", 30262, "ClientIP")),
        slice("sticky", "TCP", 8080, &["10.244.2.1"]),
    ])?;
    let flags = ["--min-sync-period=0s", "--cluster-cidr=10.244.0.0/16"].map(str::to_owned);
    let mut proxy = Proxy::start(&lab, &folder, &flags)?;
    proxy.settle(&mut folder)?;
    while_asking(&lab, &ASKED, || change(&mut folder))
        .map_err(|error| proxy.failed(error.message().unwrap_or_default()))?;
    proxy.settle(&mut folder)?;
    proxy.end(Signal::SIGTERM)
}

/// What packets meet that are on their way while an endpoint goes: they were sent to a chain for two
/// endpoints, and its second slot, or the endpoint behind its pin, is not there any more.
const GONE: [&str; 7] = [
    "endpoints { 10.96.26.1 . tcp . 80 . 1 }",
    "nodeport-endpoints { tcp . 30261 . 1 }",
    "sticky-endpoints { 10.244.2.2 . 10.96.26.2 . tcp . 80 }",
    "sticky-nodeport-endpoints { 10.244.2.2 . tcp . 30262 }",
    "sticky-choices { 10.96.26.2 . tcp . 80 . 1 }",
    "sticky-nodeport-choices { tcp . 30262 . 1 }",
    "nodeport-endpoints { tcp . 30263 . 1 }",
];

/// So often one of two slots is not drawn by chance once in a million times.
const TRIES: usize = 20;

fn no_connection_is_lost_to_a_slot_that_went() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let mut local = spec("10.96.26.3", 30263, "None");
    local["externalTrafficPolicy"] = json!("Local");
    let elsewhere = ["10.244.2.1", "10.244.2.2"];
    let mut folder = Folder::new(&[
        service("local", &local),
        on_this_node(&["10.244.1.129", "10.244.1.130"]),
        service("any", &spec("10.96.26.1", 30261, "None")),
        slice("any", "TCP", 8080, &elsewhere),
        service("sticky", &spec("10.96.26.2", 30262, "ClientIP")),
        slice("sticky", "TCP", 8080, &elsewhere),
    ])?;
    let flags = ["--cluster-cidr=10.244.0.0/16".to_owned()];
    let mut proxy = Proxy::start(&lab, &folder, &flags)?;
    proxy.settle(&mut folder)?;
    // It would mend what is taken away.
    proxy.end(Signal::SIGTERM)?;
    for element in GONE {
        nft(&lab, &format!("delete element ip fairlead {element}"))?;
        for _ in 0..TRIES {
            nft(&lab, "flush map ip fairlead affinity")?;
            ASKED.iter().try_for_each(|asked| meets_one(&lab, *asked))?;
        }
    }
    Ok(())
}

/// Connects twice. A client that is remembered is remembered at the endpoint that it met.
fn meets_one(lab: &Lab, (client, to): (Client, &str)) -> Result<(), Failed> {
    let met = lab.ask(client, Protocol::Tcp, to.parse()?, 2)?;
    let sticky = to.starts_with("10.96.26.2:") || to.ends_with(":30262");
    match met.errors.is_empty() && (!sticky || met.by_endpoint.len() == 1) {
        true => Ok(()),
        false => Err(format!("{client} -> {to}: {met:?}").into()),
    }
}

fn nft(lab: &Lab, command: &str) -> Result<(), Failed> {
    lab.run_on_node(Command::new("nft").arg(command))?;
    Ok(())
}

/// Gives the Services other endpoints again and again, from one to ten of them.
fn change(folder: &mut Folder) -> Result<(), Failed> {
    for n in 0..CHANGES {
        // A walk through all counts that never comes to rest: 7 has no divisor in common with 10.
        let (first, count) = (n % 13, 1 + (n * 7) % 10);
        let [here, elsewhere] = [("10.244.1", 129), ("10.244.2", 1)].map(|(network, lowest)| {
            let hosts = first + lowest..first + lowest + count;
            let addresses = hosts.map(|host| format!("{network}.{host}"));
            addresses.collect::<Vec<_>>()
        });
        for name in ["any", "sticky"] {
            folder.apply(&slice(name, "TCP", 8080, &texts(&elsewhere)))?;
        }
        folder.apply(&on_this_node(&texts(&here)))?;
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn texts(addresses: &[String]) -> Vec<&str> {
    addresses.iter().map(String::as_str).collect()
}

/// The slice of the Service `local`.
fn on_this_node(addresses: &[&str]) -> Value {
    let mut slice = slice("local", "TCP", 8080, addresses);
    for endpoint in slice["endpoints"].as_array_mut().into_iter().flatten() {
        endpoint["nodeName"] = json!("node1");
    }
    slice
}

fn spec(cluster_ip: &str, node_port: u16, affinity: &str) -> Value {
    json!({
        "type": "NodePort", "clusterIP": cluster_ip, "sessionAffinity": affinity,
        "ports": [{"port": 80, "nodePort": node_port}],
    })
}
