//! Clients that go on connecting while everything changes.

use std::thread;
use std::time::Duration;

use fairlead_lab::{Client, Lab};
use libtest_mimic::Failed;
use nix::sys::signal::Signal;
use serde_json::json;

use super::node::{start, web};
use crate::asking::while_asking;
use crate::objects::{service, slice};
use crate::rig::Folder;

/// Where clients connect to, always with an endpoint.
const ASKED: [(Client, &str); 3] = [
    (Client::Pod, "10.96.44.1:80"),
    (Client::Outside, "192.0.2.10:30441"),
    (Client::Node, "10.96.44.2:80"),
];

const CHANGES: usize = 1000;

pub(super) fn no_connection_is_lost_in_a_thousand_changes() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let spec = json!({
        "type": "NodePort", "clusterIP": "10.96.44.1",
        "ports": [{"port": 80, "nodePort": 30441}],
    });
    let sticky = json!({
        "clusterIP": "10.96.44.2", "sessionAffinity": "ClientIP", "ports": [{"port": 80}],
    });
    let mut folder = Folder::new(&[
        service("any", &spec),
        slice("any", "TCP", 8080, &["10.244.2.1"]),
        service("sticky", &sticky),
        slice("sticky", "TCP", 8080, &["10.244.2.1"]),
    ])?;
    let mut proxy = start(&lab, &mut folder, &[])?;
    while_asking(&lab, &ASKED, || {
        (0..CHANGES).try_for_each(|n| {
            change(&mut folder, n)?;
            thread::sleep(Duration::from_millis(10));
            Ok(())
        })
    })
    .map_err(|error| proxy.failed(error.message().unwrap_or_default()))?;
    proxy.settle(&mut folder)?;
    proxy.end(Signal::SIGTERM)
}

/// Endpoints are replaced, and Services come and go.
fn change(folder: &mut Folder, n: usize) -> Result<(), Failed> {
    // A walk through all counts that never comes to rest: 7 has no divisor in common with 10.
    let (first, count) = (1 + n % 13, 1 + (n * 7) % 10);
    let addresses: Vec<String> = (first..first + count)
        .map(|host| format!("10.244.2.{host}"))
        .collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let passing = format!("passing-{}", n / 4 % 7);
    match n % 4 {
        0 => folder.apply(&slice("any", "TCP", 8080, &addresses)),
        1 => folder.apply(&slice("sticky", "TCP", 8080, &addresses)),
        2 => {
            let cluster_ip = format!("10.96.44.{}", 10 + n / 4 % 7);
            web(&passing, &cluster_ip, &addresses, 8080)
                .iter()
                .try_for_each(|object| folder.apply(object))
        }
        _ => folder.delete(&format!("Service {passing}")),
    }
}
