//! What becomes of open connections when the configuration changes.

use std::fs;
use std::path::Path;

use fairlead_lab::{Client, Lab};
use libtest_mimic::Failed;
use nix::sys::signal::Signal;
use serde_json::json;
use tempfile::TempDir;

use super::{USERSPACE, visit};
use crate::echo::Echo;
use crate::objects::{service, slice};
use crate::rig::{Folder, Proxy};
use crate::tests;
use crate::watch::{eventually, hear, on_node};

tests! {
    listeners_move_into_another_range_of_ports_and_open_connections_go_on,
    the_bit_of_masquerading_waits_for_a_restart_and_open_connections_go_on,
}

/// The echo, for a client outside.
const OUTSIDE: &str = "203.0.113.57:7";
const WEB: &str = "10.96.57.2:80";

fn listeners_move_into_another_range_of_ports_and_open_connections_go_on() -> Result<(), Failed> {
    let (lab, place) = (Lab::new()?, TempDir::new()?);
    let config = place.path().join("config.conf");
    write(&config, "portRange: 21000-21009\n")?;
    let folder = folder()?;
    let proxy = Proxy::start_in(USERSPACE, &lab, &folder, &flags(&config))?;
    let failed = |error: Failed| proxy.failed(error.message().unwrap_or_default());
    let listens = |ports: &str| Ok(on_node(&lab, "ss -ltn")?.contains(ports));
    eventually("it listens", || listens("127.0.0.1:2100")).map_err(failed)?;
    let mut echo = Echo::connect(&lab, OUTSIDE)?;
    echo.says("before").map_err(failed)?;
    write(&config, "portRange: 22000-22009\n")?;
    eventually("it listens elsewhere", || {
        Ok(listens("127.0.0.1:2200")? && !listens("127.0.0.1:2100")?)
    })
    .map_err(failed)?;
    echo.says("after").map_err(failed)?;
    visit(&lab, Client::Pod, WEB).map_err(failed)?;
    drop(echo);
    proxy.end(Signal::SIGTERM)
}

/// They have the marks of when they began.
fn the_bit_of_masquerading_waits_for_a_restart_and_open_connections_go_on() -> Result<(), Failed> {
    let (lab, place) = (Lab::new()?, TempDir::new()?);
    let config = place.path().join("config.conf");
    write(&config, "iptables: {masqueradeBit: 14}\n")?;
    let flags = flags(&config);
    let mut folder = folder()?;
    let proxy = Proxy::start_in(USERSPACE, &lab, &folder, &flags)?;
    let failed = |error: Failed| proxy.failed(error.message().unwrap_or_default());
    eventually("it is served", || Ok(visit(&lab, Client::Pod, WEB).is_ok())).map_err(failed)?;
    let mut echo = Echo::connect(&lab, OUTSIDE)?;
    echo.says("before").map_err(failed)?;
    write(
        &config,
        "iptables: {masqueradeBit: 12, masqueradeAll: true}\n",
    )?;
    hear(
        &proxy,
        "iptables.masqueradeBit is 12 in the configuration file; that needs a restart",
    )?;
    for object in super::web("later", "10.96.57.3", 8080, &["10.244.2.5"]) {
        folder.apply(&object)?;
    }
    eventually("the next sync is through", || {
        Ok(visit(&lab, Client::Pod, "10.96.57.3:80").is_ok())
    })
    .map_err(failed)?;
    echo.says("after").map_err(failed)?;
    visit(&lab, Client::Pod, WEB).map_err(failed)?;
    drop(echo);
    proxy.end(Signal::SIGTERM)
}

/// By a file, and with endpoints that see their clients.
fn flags(config: &Path) -> [String; 2] {
    let source = "--userspace-source-address=client".to_owned();
    [format!("--config={}", config.display()), source]
}

/// An echo that is to see its client, and somebody else.
fn folder() -> Result<Folder, Failed> {
    let (address, port) = Echo::ENDPOINT;
    let spec = json!({
        "type": "NodePort", "clusterIP": "10.96.57.1", "externalIPs": ["203.0.113.57"],
        "externalTrafficPolicy": "Local", "ports": [{"port": 7, "nodePort": 30057}],
    });
    let mut echo = slice("echo", "TCP", port, &[address]);
    echo["endpoints"][0]["nodeName"] = json!("node1");
    let [web, endpoints] = super::web("web", "10.96.57.2", 8080, &["10.244.2.5"]);
    Folder::new(&[service("echo", &spec), echo, web, endpoints])
}

fn write(path: &Path, fields: &str) -> Result<(), Failed> {
    const HEAD: &str = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\n\
        kind: KubeProxyConfiguration\nmode: userspace\n";
    Ok(fs::write(path, format!("{HEAD}{fields}"))?)
}
