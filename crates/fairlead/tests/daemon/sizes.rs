//! Services with many endpoints or clients, and requests of many packets.

use std::fs;
use std::io::{self, Read};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::thread;
use std::time::Duration;

use fairlead_core::address::Protocol;
use fairlead_lab::{Client, Lab};
use libtest_mimic::Failed;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::objects::{service, slice};
use crate::rig::{Folder, Proxy};
use crate::tests;
use crate::watch::on_node;

tests! {
    sixty_endpoints_all_get_their_share,
    ten_thousand_endpoints_in_one_slice,
    clients_that_cannot_be_remembered_are_served,
    large_requests_arrive_as_a_whole,
}

fn sixty_endpoints_all_get_their_share() -> Result<(), Failed> {
    const EACH: usize = 16;
    let lab = Lab::new()?;
    let addresses: Vec<String> = (1..=60).map(|n| format!("10.244.2.{n}")).collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let mut folder = Folder::new(&[
        service(
            "web",
            &json!({"type": "NodePort", "clusterIP": "10.96.24.1", "ports": [{"port": 80, "nodePort": 30240}]}),
        ),
        slice("web", "TCP", 8080, &addresses),
    ])?;
    let mut proxy = Proxy::start(&lab, &folder, &[])?;
    proxy.settle(&mut folder)?;
    for to in ["10.96.24.1:80", "192.0.2.10:30240"] {
        let series = lab.ask(Client::Pod, Protocol::Tcp, to.parse()?, 60 * EACH)?;
        let most = series
            .by_endpoint
            .values()
            .max()
            .copied()
            .unwrap_or_default();
        // The counts are Poisson's: with a mean of 16, one of 60 is 0 once in 150,000 times, or
        // above 48 once in 10^8.
        if series.by_endpoint.len() != 60 || most > 3 * EACH || !series.errors.is_empty() {
            return Err(proxy.failed(&format!(
                "{to}: {:?}, {:?}",
                series.by_endpoint, series.errors
            )));
        }
    }
    proxy.end(Signal::SIGTERM)
}

fn ten_thousand_endpoints_in_one_slice() -> Result<(), Failed> {
    let lab = Lab::new()?;
    // Pods elsewhere, as many as are needed.
    let mut route = Command::new("ip");
    route.args(["route", "add", "local", "10.200.0.0/16", "dev", "lo"]);
    let status = lab.network().world().run(|| route.status())??;
    assert!(status.success());
    let mut folder = Folder::new(&ten_thousand(0))?;
    let mut proxy = Proxy::start(&lab, &folder, &["--min-sync-period=0s".to_owned()])?;
    proxy.settle(&mut folder)?;
    spreads(&lab, &proxy)?;
    // All of them are others, with the first half of the old ones gone.
    for object in ten_thousand(5000) {
        folder.apply(&object)?;
    }
    proxy.settle(&mut folder)?;
    spreads(&lab, &proxy)?;
    proxy.end(Signal::SIGTERM)
}

/// A Service without affinity and one with, and ten thousand endpoints of each.
fn ten_thousand(first: u16) -> Vec<Value> {
    let address = |n: u16| {
        let [high, low] = n.to_be_bytes();
        format!("10.200.{high}.{low}")
    };
    let addresses: Vec<String> = (first..first + 10_000).map(address).collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let spec = |ip: &str, affinity: &str| json!({"clusterIP": ip, "ports": [{"port": 80}], "sessionAffinity": affinity});
    vec![
        service("web", &spec("10.96.24.2", "None")),
        slice("web", "TCP", 8080, &addresses),
        service("sticky", &spec("10.96.24.3", "ClientIP")),
        slice("sticky", "TCP", 8080, &addresses),
    ]
}

fn spreads(lab: &Lab, proxy: &Proxy<'_>) -> Result<(), Failed> {
    let many = lab.ask(Client::Pod, Protocol::Tcp, "10.96.24.2:80".parse()?, 300)?;
    let one = lab.ask(Client::Pod, Protocol::Tcp, "10.96.24.3:80".parse()?, 30)?;
    let is_well = many.errors.is_empty() && one.errors.is_empty();
    // Of 300 by chance among 10,000, less than 280 different ones would be a wonder.
    if is_well && many.by_endpoint.len() >= 280 && one.by_endpoint.len() == 1 {
        return Ok(());
    }
    Err(format!("{} and {}\n{}", many.outcome(), one.outcome(), proxy.log()).into())
}

/// As many clients as the map of clients has room for.
const REMEMBERED: u32 = 131_072;

fn clients_that_cannot_be_remembered_are_served() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let spec =
        json!({"clusterIP": "10.96.24.4", "sessionAffinity": "ClientIP", "ports": [{"port": 80}]});
    let mut folder = Folder::new(&[
        service("sticky", &spec),
        slice("sticky", "TCP", 8080, &["10.244.2.5", "10.244.2.6"]),
    ])?;
    let mut proxy = Proxy::start(&lab, &folder, &[])?;
    proxy.settle(&mut folder)?;
    let meets = |endpoints: usize, what: &str| {
        let series = lab.ask(Client::Pod, Protocol::Tcp, "10.96.24.4:80".parse()?, 40)?;
        match series.by_endpoint.len() == endpoints && series.errors.is_empty() {
            true => Ok(()),
            false => Err(proxy.failed(&format!("{what}: {}", series.outcome()))),
        }
    };
    let file = NamedTempFile::new()?;
    fs::write(file.path(), others())?;
    let mut nft = Command::new("nft");
    lab.run_on_node(nft.arg("-f").arg(file.path()))?;
    meets(2, "with no room left")?;
    on_node(&lab, "nft flush map ip fairlead affinity")?;
    meets(1, "with room again")?;
    proxy.end(Signal::SIGTERM)
}

/// For nft(8): so many other clients, from 172.16.0.0 on (RFC 1918), are remembered.
fn others() -> String {
    let clients = (0..REMEMBERED).map(|n| Ipv4Addr::from(0xac10_0000 + n));
    let elements: Vec<String> = clients
        .map(|client| format!("{client} . 10.96.24.4 . tcp . 80 : 10.244.2.5"))
        .collect();
    format!(
        "add element ip fairlead affinity {{ {} }}",
        elements.join(", ")
    )
}

/// A pod on the node, in each family.
const PODS: [&str; 2] = ["10.244.1.130", "fd00:10:244:1:8000::1"];

fn large_requests_arrive_as_a_whole() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let mut folder = Folder::new(&in_both_families())?;
    let mut proxy = Proxy::start(&lab, &folder, &[])?;
    proxy.settle(&mut folder)?;
    for (bulk, datagrams, pod) in [
        ("10.96.24.5:80", "10.96.24.6:80", PODS[0]),
        ("192.0.2.10:30245", "192.0.2.10:30245", PODS[0]),
        ("[fd00:10:96::24:5]:80", "[fd00:10:96::24:6]:80", PODS[1]),
        ("[2001:db8:2::10]:30245", "[2001:db8:2::10]:30245", PODS[1]),
    ] {
        let arrived = upload(&lab, bulk.parse()?);
        let answer = datagram(&lab, datagrams.parse()?);
        let is_well = matches!(&arrived, Ok(BULK))
            && matches!(&answer, Ok(who) if who.starts_with(&format!("{pod} 8080 ")));
        if !is_well {
            return Err(proxy.failed(&format!(
                "{bulk}: {arrived:?} bytes; {datagrams}: {answer:?}"
            )));
        }
    }
    proxy.end(Signal::SIGTERM)
}

/// A Service of TCP and one of UDP, with one of the pods in each family.
fn in_both_families() -> Vec<Value> {
    let mut objects = Vec::new();
    for (name, protocol, port, ip) in [("bulk", "TCP", 7777, 5), ("datagram", "UDP", 8080, 6)] {
        let (four, six) = (format!("10.96.24.{ip}"), format!("fd00:10:96::24:{ip}"));
        objects.push(service(name, &json!({
            "type": "NodePort", "clusterIP": four, "clusterIPs": [four, six], "ipFamilies": ["IPv4", "IPv6"],
            "ports": [{"protocol": protocol, "port": 80, "nodePort": 30_245}],
        })));
        for (family, pod) in ["IPv4", "IPv6"].iter().zip(PODS) {
            let mut slice = slice(name, protocol, port, &[pod]);
            slice["metadata"]["name"] = json!(format!("{name}-{}", family.to_lowercase()));
            slice["addressType"] = json!(family);
            objects.push(slice);
        }
    }
    objects
}

/// More than the buffers of a connection hold, in bytes.
const BULK: u64 = 8 << 20;

/// Sends it from outside to the pod on the node that listens on 7777; what arrived there.
fn upload(lab: &Lab, to: SocketAddr) -> Result<u64, Failed> {
    let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 7777));
    let pods = lab.network().local_pods();
    let listener = pods.run(|| TcpListener::bind(any))??;
    let mut stream = (lab.network().world())
        .run(|| TcpStream::connect_timeout(&to, Duration::from_secs(10)))??;
    stream.set_write_timeout(Some(Duration::from_secs(10)))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept()?;
        io::copy(&mut stream, &mut io::sink())
    });
    io::copy(&mut io::repeat(b'.').take(BULK), &mut stream)?;
    stream.shutdown(Shutdown::Write)?;
    // The pod closes when it has all.
    stream.read_to_end(&mut Vec::new())?;
    Ok(server.join().map_err(|_| "the pod panicked")??)
}

/// Sends a datagram of several fragments from outside; what the pod answers.
fn datagram(lab: &Lab, to: SocketAddr) -> Result<String, Failed> {
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = lab.network().world().run(|| UdpSocket::bind(any))??;
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    socket.connect(to)?;
    socket.send(&[b'.'; 4000])?;
    let mut answer = [0; 200];
    let length = socket.recv(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
}
