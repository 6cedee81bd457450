//! The addresses of Services, which are the node's own.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use fairlead_core::address::Protocol;
use fairlead_lab::{Client, Failure, Lab};
use libtest_mimic::Failed;
use nix::sys::signal::Signal;
use socket2::{Domain, Protocol as Number, Socket, Type};

use super::node::{start, web};
use crate::rig::Folder;
use crate::watch::on_node;

const PODS: [&str; 2] = ["10.244.2.5", "10.244.2.6"];

/// As kube-proxy does since 1.27 by its chain KUBE-IPVS-FILTER, for whatever no port of a Service has.
pub(super) fn a_service_address_refuses_ping_and_other_ports() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let mut folder = Folder::new(&web("web", "10.96.45.1", &PODS, 8080))?;
    let proxy = start(&lab, &mut folder, &[])?;
    for client in [Client::Pod, Client::Outside] {
        let met = lab.network().place_of(client).run(|| ping("10.96.45.1"))?;
        if met != Err(std::io::ErrorKind::ConnectionRefused) {
            return Err(proxy.failed(&format!("{client}: ping is answered by {met:?}")));
        }
    }
    // Something listens there at all addresses of the node.
    for client in [Client::Pod, Client::Node, Client::Outside] {
        for (to, reached) in [("192.0.2.10:9376", true), ("10.96.45.1:9376", false)] {
            let series = lab.ask(client, Protocol::Tcp, to.parse()?, 1)?;
            let refused = series.errors.contains_key(&Failure::Refused);
            if (!series.by_endpoint.is_empty(), refused) != (reached, !reached) {
                return Err(proxy.failed(&format!("{client} -> {to}: {series:?}")));
            }
        }
    }
    proxy.end(Signal::SIGTERM)
}

/// Sends an ICMP echo request (RFC 792), and returns what came of it.
fn ping(to: &str) -> Result<Vec<u8>, std::io::ErrorKind> {
    let exchange = || {
        let mut socket = Socket::new(Domain::IPV4, Type::RAW, Some(Number::ICMPV4))?;
        let to = SocketAddr::new(to.parse().map_err(std::io::Error::other)?, 0);
        socket.connect(&to.into())?;
        socket.set_read_timeout(Some(Duration::from_secs(2)))?;
        // Type 8, no code, the checksum, and zeros.
        socket.write_all(&[8, 0, 0xf7, 0xff, 0, 0, 0, 0])?;
        let mut answer = vec![0; 100];
        let length = socket.read(&mut answer)?;
        answer.truncate(length);
        Ok(answer)
    };
    exchange().map_err(|error: std::io::Error| error.kind())
}

pub(super) fn with_strict_arp_nobody_answers_for_a_service() -> Result<(), Failed> {
    for (flags, answered) in [(&[][..], true), (&["--ipvs-strict-arp"], false)] {
        let lab = Lab::new()?;
        let mut folder = Folder::new(&web("web", "10.96.45.1", &PODS, 8080))?;
        let proxy = start(&lab, &mut folder, flags)?;
        let ask = |to: &str| {
            lab.ask(Client::Outside, Protocol::Tcp, to.parse()?, 1)
                .map_err(Failed::from)
        };
        // As if the network of Services were on the wire.
        on_world(&lab, "ip route add 10.96.0.0/16 dev eth0")?;
        let found = ask("10.96.45.1:80")?;
        let neighbour = on_world(&lab, "ip neigh show 10.96.45.1 dev eth0")?;
        let resolved = neighbour.contains("lladdr");
        let own = ask("192.0.2.10:9376")?;
        if resolved != answered
            || found.by_endpoint.is_empty() == answered
            || own.by_endpoint.is_empty()
        {
            return Err(proxy.failed(&format!("{flags:?}: {neighbour:?}, {found:?}, {own:?}")));
        }
        let ignore = on_node(&lab, "sysctl -n net.ipv4.conf.all.arp_ignore")?;
        assert_eq!(ignore.trim() == "1", !answered, "{flags:?}");
        proxy.end(Signal::SIGTERM)?;
    }
    Ok(())
}

fn on_world(lab: &Lab, line: &str) -> Result<String, Failed> {
    let mut words = line.split(' ');
    let mut command = std::process::Command::new(words.next().unwrap_or_default());
    let output = lab
        .network()
        .world()
        .run(|| command.args(words).output())??;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
