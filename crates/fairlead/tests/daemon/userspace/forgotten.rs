//! Connections of which the kernel has forgotten who began them.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};

use fairlead_lab::{Client, Lab, NODE_V4};
use libtest_mimic::Failed;
use nix::sys::signal::Signal;
use serde_json::json;

use super::{PATIENCE, run_in, start};
use crate::objects::{service, slice};
use crate::rig::{Folder, Proxy};
use crate::tests;

tests! {
    datagrams_of_a_client_are_heard_after_a_late_answer,
    a_connection_goes_on_when_its_endpoint_is_the_first_to_speak,
}

const ENDPOINT: (&str, u16) = ("10.244.2.7", 9007);
const NODE_PORT: u16 = 30907;

/// Clients, and where they ask.
fn clients() -> Result<[(Client, SocketAddr); 5], Failed> {
    let node_port = SocketAddr::new(NODE_V4.into(), NODE_PORT);
    Ok([
        (Client::Pod, "10.96.57.1:9007".parse()?),
        (Client::Node, "10.96.57.1:9007".parse()?),
        (Client::Outside, "203.0.113.57:9007".parse()?),
        (Client::Outside, node_port),
        (Client::Node, node_port),
    ])
}

fn folder(protocol: &str) -> Result<Folder, Failed> {
    let spec = json!({
        "type": "NodePort", "clusterIP": "10.96.57.1", "externalIPs": ["203.0.113.57"],
        "ports": [{"protocol": protocol, "port": ENDPOINT.1, "nodePort": NODE_PORT}],
    });
    let endpoints = slice("late", protocol, ENDPOINT.1, &[ENDPOINT.0]);
    Folder::new(&[service("late", &spec), endpoints])
}

fn forget(lab: &Lab) -> Result<(), Failed> {
    run_in(lab.node(), "conntrack", &["-F"]).map(drop)
}

fn datagrams_of_a_client_are_heard_after_a_late_answer() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let endpoint = lab.network().world().run(|| UdpSocket::bind(ENDPOINT))??;
    endpoint.set_read_timeout(Some(PATIENCE))?;
    let proxy = start(&lab, &mut folder("UDP")?, &[])?;
    for (client, to) in clients()? {
        let ask = || connected(to);
        let socket = lab.network().place_of(client).run(ask)??;
        let talk = || -> Result<(), Failed> {
            let mut said = [0; 9];
            socket.send(b"asks")?;
            let (_, relay) = endpoint.recv_from(&mut said)?;
            forget(&lab)?;
            endpoint.send_to(b"answers", relay)?;
            socket.recv(&mut said)?;
            for _ in 0..3 {
                socket.send(b"goes on")?;
                assert_eq!(endpoint.recv_from(&mut said)?, (7, relay));
                endpoint.send_to(b"as well", relay)?;
                socket.recv(&mut said)?;
            }
            Ok(())
        };
        talk().map_err(|error| failed(&proxy, client, to, &error))?;
    }
    proxy.end(Signal::SIGTERM)
}

fn connected(to: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect(to)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}

fn a_connection_goes_on_when_its_endpoint_is_the_first_to_speak() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let listener = lab
        .network()
        .world()
        .run(|| TcpListener::bind(ENDPOINT))??;
    let proxy = start(&lab, &mut folder("TCP")?, &[])?;
    for (client, to) in clients()? {
        let connect = || TcpStream::connect(to);
        let mut stream = lab.network().place_of(client).run(connect)??;
        let mut talk = || -> Result<(), Failed> {
            let mut endpoint = listener.accept()?.0;
            stream.set_read_timeout(Some(PATIENCE))?;
            endpoint.set_read_timeout(Some(PATIENCE))?;
            let mut said = [0; 7];
            forget(&lab)?;
            for _ in 0..3 {
                endpoint.write_all(b"answers")?;
                stream.read_exact(&mut said)?;
                stream.write_all(b"goes on")?;
                endpoint.read_exact(&mut said)?;
            }
            drop(endpoint);
            assert_eq!(stream.read(&mut said)?, 0);
            Ok(())
        };
        talk().map_err(|error| failed(&proxy, client, to, &error))?;
    }
    proxy.end(Signal::SIGTERM)
}

fn failed(proxy: &Proxy<'_>, client: Client, to: SocketAddr, error: &Failed) -> Failed {
    let error = error.message().unwrap_or_default();
    proxy.failed(&format!("{client} at {to}: {error}"))
}
