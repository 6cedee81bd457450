//! Clients that go on using a socket whatever becomes of the Service that they ask.

use std::io::ErrorKind;

use fairlead_lab::Lab;
use libtest_mimic::Failed;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::start;
use crate::flows::{Clients, client, heard, heard_soon};
use crate::objects::{service, slice};
use crate::rig::{Folder, Proxy};
use crate::tests;

tests! {
    clients_of_datagrams_are_served_through_all_changes,
    clients_that_asked_before_there_was_a_service_are_served,
}

/// Where DNS is asked for.
const ASKED: [&str; 3] = ["10.96.58.1:53", "192.0.2.10:30580", "203.0.113.58:53"];

fn dns() -> Value {
    let spec = json!({
        "type": "NodePort", "clusterIP": "10.96.58.1", "externalIPs": ["203.0.113.58"],
        "ports": [{"protocol": "UDP", "port": 53, "nodePort": 30580}],
    });
    service("dns", &spec)
}

/// The endpoints of the Service, at this port.
fn at(port: u16, addresses: &[&str]) -> Value {
    slice("dns", "UDP", port, addresses)
}

fn clients_of_datagrams_are_served_through_all_changes() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let mut folder = Folder::new(&[dns(), at(5353, &["10.244.2.5"])])?;
    let mut proxy = start(&lab, &mut folder, &[])?;
    let clients = Clients::ask(&lab, &ASKED, 3)?;
    // Another pod takes the place of the first, at another port.
    folder.apply(&at(9376, &["10.244.2.6"]))?;
    proxy.settle(&mut folder)?;
    clients.all_meet("10.244.2.6 9376")?;
    // All go, and one comes.
    folder.apply(&at(9376, &[]))?;
    proxy.settle(&mut folder)?;
    all_are_refused(&clients, &proxy)?;
    folder.apply(&at(5353, &["10.244.2.7"]))?;
    proxy.settle(&mut folder)?;
    clients.all_meet("10.244.2.7 5353")?;
    // The Service itself goes, and is made anew.
    folder.delete("Service dns")?;
    proxy.settle(&mut folder)?;
    for (socket, asked) in &clients.0 {
        assert!(heard_soon(socket).is_err(), "{asked} is served");
    }
    folder.apply(&dns())?;
    proxy.settle(&mut folder)?;
    clients.eventually_meet("10.244.2.7 5353", &proxy)?;
    // So is the process.
    proxy.end(Signal::SIGTERM)?;
    let proxy = start(&lab, &mut folder, &[])?;
    clients.eventually_meet("10.244.2.7 5353", &proxy)?;
    proxy.end(Signal::SIGTERM)
}

fn clients_that_asked_before_there_was_a_service_are_served() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let mut folder = Folder::new(&[])?;
    let mut proxy = start(&lab, &mut folder, &[])?;
    let ask = |asked: &&str| Ok((client(&lab, asked)?, (*asked).to_owned()));
    let clients = Clients(ASKED.iter().map(ask).collect::<Result<_, Failed>>()?);
    for (socket, asked) in &clients.0 {
        assert!(heard_soon(socket).is_err(), "{asked} is served");
    }
    // At first it has no endpoint.
    folder.apply(&dns())?;
    proxy.settle(&mut folder)?;
    all_are_refused(&clients, &proxy)?;
    folder.apply(&at(5353, &["10.244.2.5"]))?;
    proxy.settle(&mut folder)?;
    clients.eventually_meet("10.244.2.5 5353", &proxy)?;
    proxy.end(Signal::SIGTERM)
}

fn all_are_refused(clients: &Clients, proxy: &Proxy<'_>) -> Result<(), Failed> {
    for (socket, asked) in &clients.0 {
        let heard = heard(socket);
        if !matches!(&heard, Err(error) if error.kind() == ErrorKind::ConnectionRefused) {
            return Err(proxy.failed(&format!("{asked}: {heard:?}")));
        }
    }
    Ok(())
}
