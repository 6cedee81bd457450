//! Listeners that cannot listen.

use std::net::SocketAddr;

use fairlead_core::address::Protocol;
use fairlead_lab::{Client, Lab};
use libtest_mimic::Failed;
use nix::sys::signal::Signal;
use socket2::{Domain, Socket, Type};

use super::{USERSPACE, visit, web};
use crate::rig::{Folder, Proxy};
use crate::tests;
use crate::watch::{eventually, hear};

tests! {
    ports_that_somebody_else_has_are_avoided,
    a_service_for_which_no_port_is_left_is_told_and_served_when_there_is_one,
}

const SERVICES: [&str; 3] = ["10.96.53.1", "10.96.53.2", "10.96.53.3"];

fn ports_that_somebody_else_has_are_avoided() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let _taken = take(&lab, &(21_000..21_200).collect::<Vec<_>>())?;
    let folder = folder()?;
    let flags = ["--proxy-port-range=21000-21999".to_owned()];
    let proxy = Proxy::start_in(USERSPACE, &lab, &folder, &flags)?;
    eventually("all are served", || Ok(served(&lab)? == SERVICES))
        .map_err(|error| proxy.failed(error.message().unwrap_or_default()))?;
    proxy.end(Signal::SIGTERM)
}

fn a_service_for_which_no_port_is_left_is_told_and_served_when_there_is_one() -> Result<(), Failed>
{
    let lab = Lab::new()?;
    let taken = take(&lab, &[21_000, 21_002])?;
    let folder = folder()?;
    // Of four ports two are left, for three Services.
    let flags = ["--proxy-port-range=21000-21003".to_owned()];
    let proxy = Proxy::start_in(USERSPACE, &lab, &folder, &flags)?;
    let failed = |error: Failed| proxy.failed(error.message().unwrap_or_default());
    eventually("two are served", || Ok(served(&lab)?.len() == 2)).map_err(failed)?;
    let all = SERVICES.iter().zip(["a", "b", "c"]);
    let served_now = served(&lab)?;
    let left_out = all
        .filter(|(ip, _)| !served_now.contains(*ip))
        .map(|(_, name)| format!("default/{name}"));
    for name in left_out {
        hear(&proxy, &format!("{name}: no port is left"))?;
    }
    // The others go on.
    for ip in &served_now {
        visit(&lab, Client::Pod, &format!("{ip}:80")).map_err(failed)?;
    }
    // Nothing tells that somebody else has given a port up.
    drop(taken);
    eventually("all are served", || Ok(served(&lab)? == SERVICES)).map_err(failed)?;
    proxy.end(Signal::SIGTERM)
}

fn folder() -> Result<Folder, Failed> {
    let services = SERVICES.iter().zip(["a", "b", "c"]);
    let objects = services.flat_map(|(ip, name)| web(name, ip, 8080, &["10.244.2.5"]));
    Folder::new(&objects.collect::<Vec<_>>())
}

/// Those that answer.
fn served(lab: &Lab) -> Result<Vec<&'static str>, Failed> {
    let mut served = Vec::new();
    for ip in SERVICES {
        let to = SocketAddr::new(ip.parse()?, 80);
        if !lab
            .ask(Client::Pod, Protocol::Tcp, to, 1)?
            .by_endpoint
            .is_empty()
        {
            served.push(ip);
        }
    }
    Ok(served)
}

/// Listens on these ports of the node's loopback address.
fn take(lab: &Lab, ports: &[u16]) -> Result<Vec<Socket>, Failed> {
    let listen = |port: &u16| -> std::io::Result<Socket> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], *port)).into())?;
        socket.listen(1)?;
        Ok(socket)
    };
    let take = || {
        ports
            .iter()
            .map(listen)
            .collect::<std::io::Result<Vec<_>>>()
    };
    Ok(lab.node().run(take)??)
}
