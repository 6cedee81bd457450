//! Starting, stopping, and starting again.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fairlead_core::address::Protocol;
use fairlead_lab::{Client, Lab};
use libtest_mimic::Failed;
use nix::sys::signal::Signal;
use serde_json::json;

use crate::asking::while_asking;
use crate::echo::Echo;
use crate::many::many;
use crate::objects::{service, slice};
use crate::rig::{Folder, Proxy};
use crate::tests;
use crate::watch::{Running, await_health, hear, listing};

tests! {
    a_restart_disturbs_nothing,
    a_restart_takes_in_what_changed_meanwhile,
    sigterm_ends_it_at_once_and_leaves_the_rules,
    ready_only_after_the_first_sync,
    sigterm_ends_it_at_once_while_it_is_busy,
    a_port_in_use_is_reported_and_tried_again,
}

/// As many Services as keep a debug build busy for a moment.
const BUSY: u16 = 2000;

/// How long it may take to end.
const AT_ONCE: Duration = Duration::from_secs(1);

fn a_restart_disturbs_nothing() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let mut folder = with_affinity()?;
    folder.apply(&service(
        "echo",
        &json!({"clusterIP": "10.96.20.2", "ports": [{"port": 7}]}),
    ))?;
    let (pod, port) = Echo::ENDPOINT;
    folder.apply(&slice("echo", "TCP", port, &[pod]))?;
    let mut proxy = Proxy::start(&lab, &folder, &[])?;
    proxy.settle(&mut folder)?;
    let mut echo = Echo::connect(&lab, "10.96.20.2:7")?;
    echo.says("before")?;
    let (met, programmed) = (meet(&lab)?, listing(&lab)?);
    let mut monitor = Monitor::start(&lab)?;

    // New connections go on while it is away and while it comes back.
    let proxy = while_asking(&lab, &[(Client::Node, MANY)], || {
        drop(proxy);
        let proxy = Proxy::start(&lab, &folder, &[])?;
        await_health(&lab, &proxy, "/readyz", 200)?;
        Ok(proxy)
    })?;
    echo.says("after")?;
    if meet(&lab)? != met {
        return Err(proxy.failed(&format!("clients met others than {met:?}")));
    }
    if listing(&lab)? != programmed {
        return Err(proxy.failed("the rules are others"));
    }
    let changed = monitor.end()?;
    if let Some(element) = changed.lines().find(|line| line.contains(" element ")) {
        return Err(proxy.failed(&format!("a restart changed an element: {element}")));
    }
    assert!(
        changed.contains("rule "),
        "the monitor has to see something:\n{changed}"
    );
    proxy.end(Signal::SIGTERM)
}

fn a_restart_takes_in_what_changed_meanwhile() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let mut folder = with_affinity()?;
    let mut proxy = Proxy::start(&lab, &folder, &[])?;
    proxy.settle(&mut folder)?;
    let met = meet(&lab)?;
    drop(proxy);
    folder.apply(&slice("sticky", "TCP", 8080, &["10.244.2.6", "10.244.2.7"]))?;
    folder.delete("Service many")?;
    let mut proxy = Proxy::start(&lab, &folder, &[])?;
    proxy.settle(&mut folder)?;
    for (before, after) in met.iter().zip(meet(&lab)?) {
        let stays = before.ip().to_string() == "10.244.2.6";
        if (stays && after != *before) || after.ip().to_string() == "10.244.2.5" {
            return Err(proxy.failed(&format!("who had met {before} met {after}")));
        }
    }
    let gone = lab.ask(Client::Node, Protocol::Tcp, MANY.parse()?, 4)?;
    match gone.by_endpoint.is_empty() {
        true => proxy.end(Signal::SIGINT),
        false => Err(proxy.failed("a deleted Service answers")),
    }
}

fn sigterm_ends_it_at_once_and_leaves_the_rules() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let mut folder = with_affinity()?;
    let mut proxy = Proxy::start(&lab, &folder, &[])?;
    proxy.settle(&mut folder)?;
    let programmed = listing(&lab)?;
    ends_at_once(proxy)?;
    assert_eq!(listing(&lab)?, programmed);
    assert_eq!(
        lab.ask(Client::Pod, Protocol::Tcp, MANY.parse()?, 20)?
            .errors
            .len(),
        0
    );
    Ok(())
}

fn ready_only_after_the_first_sync() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let folder = Folder::new(&[])?;
    folder.write("many.json", many(BUSY).to_string().as_bytes())?;
    let proxy = Proxy::start(&lab, &folder, &[])?;
    await_health(&lab, &proxy, "/readyz", 503)?;
    // It lives, as kube-proxy does from its start.
    await_health(&lab, &proxy, "/livez", 200)?;
    await_health(&lab, &proxy, "/readyz", 200)?;
    let last = format!("10.97.{}.{}:80", (BUSY - 1) / 256, (BUSY - 1) % 256);
    let series = lab.ask(Client::Pod, Protocol::Tcp, last.parse()?, 5)?;
    if !series.errors.is_empty() {
        return Err(format!(
            "ready, and {last} met {}\n{}",
            series.outcome(),
            proxy.log()
        )
        .into());
    }
    proxy.end(Signal::SIGTERM)
}

fn sigterm_ends_it_at_once_while_it_is_busy() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let folder = Folder::new(&[])?;
    folder.write("many.json", many(BUSY).to_string().as_bytes())?;
    let proxy = Proxy::start(&lab, &folder, &[])?;
    await_health(&lab, &proxy, "/readyz", 503)?;
    ends_at_once(proxy)
}

fn a_port_in_use_is_reported_and_tried_again() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let mut folder = with_affinity()?;
    let taken = lab.node().run(|| TcpListener::bind("0.0.0.0:10256"))??;
    let mut proxy = Proxy::start(&lab, &folder, &[])?;
    proxy.settle(&mut folder)?;
    hear(
        &proxy,
        "health server on 0.0.0.0:10256: Address already in use",
    )?;
    drop(taken);
    await_health(&lab, &proxy, "/readyz", 200)?;
    proxy.end(Signal::SIGTERM)
}

/// A Service without affinity.
const MANY: &str = "10.96.20.3:80";

/// A Service with affinity, and one without.
fn with_affinity() -> Result<Folder, Failed> {
    Folder::new(&[
        service(
            "sticky",
            &json!({"clusterIP": "10.96.20.1", "ports": [{"port": 80}], "sessionAffinity": "ClientIP"}),
        ),
        slice("sticky", "TCP", 8080, &["10.244.2.5", "10.244.2.6"]),
        service(
            "many",
            &json!({"clusterIP": "10.96.20.3", "ports": [{"port": 80}]}),
        ),
        slice(
            "many",
            "TCP",
            8080,
            &["10.244.2.5", "10.244.2.6", "10.244.2.7", "10.244.2.8"],
        ),
    ])
}

/// Whom twenty clients meet at the Service with affinity.
fn meet(lab: &Lab) -> Result<Vec<SocketAddr>, Failed> {
    let mut met = Vec::new();
    for n in 200..220 {
        let client = Client::Hairpin(Ipv4Addr::new(10, 244, 1, n).into());
        let series = lab.ask(client, Protocol::Tcp, "10.96.20.1:80".parse()?, 3)?;
        match series.by_endpoint.keys().collect::<Vec<_>>()[..] {
            [only] => met.push(*only),
            _ => return Err(format!("not one endpoint: {}", series.outcome()).into()),
        }
    }
    Ok(met)
}

fn ends_at_once(proxy: Proxy<'_>) -> Result<(), Failed> {
    let told = Running::start();
    proxy.end(Signal::SIGTERM)?;
    match told.elapsed() {
        time if time < AT_ONCE => Ok(()),
        time => Err(format!("it took {time:?} to end").into()),
    }
}

/// Everything that happens to the node's rules.
struct Monitor(Child);

impl Monitor {
    fn start(lab: &Lab) -> Result<Monitor, Failed> {
        let mut command = Command::new("nft");
        command.arg("monitor").stdout(Stdio::piped());
        Ok(Monitor(lab.node().run(|| command.spawn())??))
    }

    /// What happened.
    fn end(&mut self) -> Result<String, Failed> {
        self.0.kill()?;
        let mut text = String::new();
        self.0
            .stdout
            .take()
            .ok_or("nft monitor was asked before")?
            .read_to_string(&mut text)?;
        Ok(text)
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
