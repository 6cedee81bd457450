//! What becomes of connections when the process is told to stop.

use std::time::Duration;

use fairlead_core::address::Protocol;
use fairlead_lab::{Client, Failure, Lab};
use libtest_mimic::Failed;
use nix::sys::signal::Signal;
use serde_json::json;

use super::{routing, signal, start, visit};
use crate::echo::Echo;
use crate::objects::{service, slice};
use crate::rig::{Folder, Proxy};
use crate::tests;
use crate::watch::{Running, eventually, hear};

tests! {
    open_connections_may_end_and_new_ones_are_refused,
    a_second_signal_cuts_connections_off,
    connections_that_do_not_end_are_cut_off_after_a_time,
}

/// The echo, for a client outside.
const OUTSIDE: &str = "203.0.113.52:7";
const WEB: &str = "10.96.52.2:80";

fn open_connections_may_end_and_new_ones_are_refused() -> Result<(), Failed> {
    let (lab, mut folder) = (Lab::new()?, folder()?);
    let proxy = start(&lab, &mut folder, &["--userspace-drain-timeout=10m"])?;
    let mut echo = Echo::connect(&lab, OUTSIDE)?;
    echo.says("before")?;
    let there = routing(&lab)?;
    signal(&proxy, Signal::SIGTERM)?;
    hear(&proxy, "told to stop")?;
    is_refused(&lab, &proxy)?;
    echo.says("meanwhile")?;
    drop(echo);
    ends(proxy)?;
    // As in other modes the rules stay for the next one.
    assert_eq!(routing(&lab)?, there);
    let proxy = start(&lab, &mut folder, &[])?;
    for client in [Client::Pod, Client::Node] {
        visit(&lab, client, WEB)
            .map_err(|error| proxy.failed(error.message().unwrap_or_default()))?;
    }
    proxy.end(Signal::SIGTERM)
}

fn a_second_signal_cuts_connections_off() -> Result<(), Failed> {
    let (lab, mut folder) = (Lab::new()?, folder()?);
    let proxy = start(&lab, &mut folder, &["--userspace-drain-timeout=10m"])?;
    let mut echo = Echo::connect(&lab, OUTSIDE)?;
    echo.says("before")?;
    signal(&proxy, Signal::SIGTERM)?;
    hear(&proxy, "told to stop")?;
    echo.says("meanwhile")?;
    signal(&proxy, Signal::SIGTERM)?;
    hear(&proxy, "told to stop again")?;
    ends(proxy)?;
    assert!(echo.says("after").is_err());
    Ok(())
}

fn connections_that_do_not_end_are_cut_off_after_a_time() -> Result<(), Failed> {
    let (lab, mut folder) = (Lab::new()?, folder()?);
    let proxy = start(&lab, &mut folder, &["--userspace-drain-timeout=4s"])?;
    let mut echo = Echo::connect(&lab, OUTSIDE)?;
    echo.says("before")?;
    let told = Running::start();
    signal(&proxy, Signal::SIGTERM)?;
    hear(&proxy, "told to stop")?;
    echo.says("meanwhile")?;
    ends(proxy)?;
    let took = told.elapsed() + told.stood();
    assert!(took >= Duration::from_secs(4), "{took:?}");
    // Without the flag it takes 20 s.
    assert!(told.elapsed() < Duration::from_secs(15), "{took:?}");
    assert!(echo.says("after").is_err());
    Ok(())
}

/// An echo, where it is asked from outside as well, and pods that say who they are.
fn folder() -> Result<Folder, Failed> {
    let echo = json!({
        "clusterIP": "10.96.52.1", "externalIPs": ["203.0.113.52"], "ports": [{"port": 7}],
    });
    let web = json!({"clusterIP": "10.96.52.2", "ports": [{"port": 80}]});
    let (pod, port) = Echo::ENDPOINT;
    Folder::new(&[
        service("echo", &echo),
        slice("echo", "TCP", port, &[pod]),
        service("web", &web),
        slice("web", "TCP", 8080, &["10.244.2.5"]),
    ])
}

/// Nobody is left to wait for an answer that cannot come.
fn is_refused(lab: &Lab, proxy: &Proxy<'_>) -> Result<(), Failed> {
    for client in [Client::Pod, Client::Node, Client::Outside] {
        let to = match client {
            Client::Outside => OUTSIDE,
            _ => WEB,
        };
        eventually("new connections are refused", || {
            let series = lab.ask(client, Protocol::Tcp, to.parse()?, 1)?;
            Ok(series.errors.contains_key(&Failure::Refused))
        })
        .map_err(|error| proxy.failed(error.message().unwrap_or_default()))?;
    }
    Ok(())
}

/// It ends well, and soon.
fn ends(mut proxy: Proxy<'_>) -> Result<(), Failed> {
    let mut status = None;
    eventually("it ends", || {
        status = proxy.child.try_wait()?;
        Ok(status.is_some())
    })
    .map_err(|error| proxy.failed(error.message().unwrap_or_default()))?;
    match status.is_some_and(|status| status.success()) {
        true => Ok(()),
        false => Err(proxy.failed(&format!("it ended: {status:?}"))),
    }
}
