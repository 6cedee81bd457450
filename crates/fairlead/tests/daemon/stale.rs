//! Tracked connections that outlive what they were made for.

use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use fairlead_core::address::Protocol;
use fairlead_lab::{Client, Lab};
use libtest_mimic::Failed;
use nix::sys::signal::Signal;
use serde_json::json;

use crate::objects::{service, slice};
use crate::rig::{Folder, Proxy};
use crate::tests;
use crate::watch::{eventually, on_node};

tests! {
    flows_to_an_endpoint_that_is_gone_are_deleted,
    flows_to_another_port_of_an_endpoint_are_deleted,
    flows_to_a_service_that_has_no_endpoint_any_more_are_deleted,
    flows_that_began_before_their_service_are_deleted,
    flows_that_outlived_a_restart_are_deleted,
    flows_to_a_service_that_went_while_nobody_ran_are_deleted,
    flows_to_destinations_that_were_given_up_are_deleted,
    flows_to_node_ports_on_localhost_are_deleted,
}

/// Where DNS is asked for.
const ASKED: [&str; 3] = ["10.96.22.1:53", "192.0.2.10:30530", "203.0.113.22:53"];

fn flows_to_an_endpoint_that_is_gone_are_deleted() -> Result<(), Failed> {
    let (lab, mut folder) = (Lab::new()?, dns()?);
    let mut proxy = Proxy::start(&lab, &folder, &flags())?;
    proxy.settle(&mut folder)?;
    let clients = Clients::ask(&lab, 12)?;
    // Nobody's business: straight to pods, one of them the endpoint that will be gone, and TCP.
    for pod in ["10.244.2.6:5353", "10.244.2.9:5353"] {
        lab.ask(Client::Pod, Protocol::Udp, pod.parse()?, 3)?;
    }
    lab.ask(Client::Pod, Protocol::Tcp, "10.244.2.6:8080".parse()?, 3)?;
    let unrelated = || -> Result<BTreeSet<String>, Failed> {
        Ok(flows(&lab)?
            .into_iter()
            .filter(|flow| !ASKED.iter().any(|to| leads(flow, to)))
            .collect())
    };
    let (others, kept) = (unrelated()?, flows_from(&lab, "10.244.2.5")?);
    assert!(!kept.is_empty() && !flows_from(&lab, "10.244.2.6")?.is_empty());

    folder.apply(&slice("dns", "UDP", 5353, &["10.244.2.5"]))?;
    proxy.settle(&mut folder)?;
    let gone = || Ok(flows_from(&lab, "10.244.2.6")?.is_empty());
    eventually("the flows are gone", gone).map_err(|_| proxy.failed("flows stay"))?;
    assert_eq!(flows_from(&lab, "10.244.2.5")?, kept);
    assert_eq!(others.difference(&unrelated()?).next(), None);
    clients.all_meet("10.244.2.5 5353")?;
    proxy.end(Signal::SIGTERM)
}

fn flows_to_another_port_of_an_endpoint_are_deleted() -> Result<(), Failed> {
    let (lab, mut folder) = (Lab::new()?, dns()?);
    let mut proxy = Proxy::start(&lab, &folder, &flags())?;
    proxy.settle(&mut folder)?;
    let clients = Clients::ask(&lab, 4)?;
    folder.apply(&slice("dns", "UDP", 9376, &["10.244.2.5"]))?;
    proxy.settle(&mut folder)?;
    clients.eventually_meet("10.244.2.5 9376", &proxy)?;
    proxy.end(Signal::SIGTERM)
}

fn flows_to_a_service_that_has_no_endpoint_any_more_are_deleted() -> Result<(), Failed> {
    let (lab, mut folder) = (Lab::new()?, dns()?);
    let mut proxy = Proxy::start(&lab, &folder, &flags())?;
    proxy.settle(&mut folder)?;
    let clients = Clients::ask(&lab, 4)?;
    folder.apply(&slice("dns", "UDP", 5353, &[]))?;
    proxy.settle(&mut folder)?;
    eventually("no flow is left", || Ok(!is_asked(&lab, &ASKED)?))
        .map_err(|_| proxy.failed("flows stay"))?;
    for (socket, asked) in &clients.0 {
        let refused =
            heard(socket).is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused);
        assert!(refused, "{asked} is not refused");
    }
    // And one that comes back is met.
    folder.apply(&slice("dns", "UDP", 5353, &["10.244.2.7"]))?;
    proxy.settle(&mut folder)?;
    clients.eventually_meet("10.244.2.7 5353", &proxy)?;
    // The Service itself goes.
    folder.delete("Service dns")?;
    proxy.settle(&mut folder)?;
    eventually("no flow is translated", || {
        Ok(flows_from(&lab, "10.244.2.7")?.is_empty())
    })
    .map_err(|_| proxy.failed("flows stay"))?;
    proxy.end(Signal::SIGTERM)
}

fn flows_that_began_before_their_service_are_deleted() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let mut folder = Folder::new(&[])?;
    let mut proxy = Proxy::start(&lab, &folder, &flags())?;
    proxy.settle(&mut folder)?;
    let asked = "203.0.113.22:53";
    let client = Clients(vec![(client(&lab, asked)?, asked.to_owned())]);
    assert!(heard(&client.0[0].0).is_err(), "there is no Service yet");
    assert!(
        is_asked(&lab, &[asked])?,
        "the node has to know the flow:\n{}",
        on_node(&lab, "conntrack -L")?
    );
    for object in dns_objects() {
        folder.apply(&object)?;
    }
    proxy.settle(&mut folder)?;
    client.eventually_meet("5353", &proxy)?;
    proxy.end(Signal::SIGTERM)
}

fn flows_that_outlived_a_restart_are_deleted() -> Result<(), Failed> {
    let (lab, mut folder) = (Lab::new()?, dns()?);
    let mut proxy = Proxy::start(&lab, &folder, &flags())?;
    proxy.settle(&mut folder)?;
    let clients = Clients::ask(&lab, 6)?;
    drop(proxy);
    folder.apply(&slice("dns", "UDP", 5353, &["10.244.2.5"]))?;
    let mut proxy = Proxy::start(&lab, &folder, &flags())?;
    proxy.settle(&mut folder)?;
    clients.eventually_meet("10.244.2.5 5353", &proxy)?;
    proxy.end(Signal::SIGTERM)
}

fn flows_to_a_service_that_went_while_nobody_ran_are_deleted() -> Result<(), Failed> {
    let (lab, mut folder) = (Lab::new()?, dns()?);
    let mut proxy = Proxy::start(&lab, &folder, &flags())?;
    proxy.settle(&mut folder)?;
    let _clients = Clients::ask(&lab, 6)?;
    drop(proxy);
    folder.delete("Service dns")?;
    assert!(is_asked(&lab, &ASKED)?, "they live on meanwhile");
    let mut proxy = Proxy::start(&lab, &folder, &flags())?;
    proxy.settle(&mut folder)?;
    eventually("no flow is left", || Ok(!is_asked(&lab, &ASKED)?))
        .map_err(|_| proxy.failed("flows stay"))?;
    proxy.end(Signal::SIGTERM)
}

/// The endpoint goes on serving, but not for these.
fn flows_to_destinations_that_were_given_up_are_deleted() -> Result<(), Failed> {
    let (lab, mut folder) = (Lab::new()?, dns()?);
    let mut proxy = Proxy::start(&lab, &folder, &flags())?;
    proxy.settle(&mut folder)?;
    let clients = Clients::ask(&lab, 6)?;
    let [cluster_ip, given_up @ ..] = ASKED;
    let [mut dns, _] = dns_objects();
    dns["spec"]["externalIPs"] = json!(["203.0.113.23"]);
    dns["spec"]["ports"][0]["nodePort"] = json!(30531);
    folder.apply(&dns)?;
    proxy.settle(&mut folder)?;
    eventually("no flow is left", || Ok(!is_asked(&lab, &given_up)?))
        .map_err(|_| proxy.failed("flows stay"))?;
    assert!(is_asked(&lab, &[cluster_ip])?, "what is served stays");
    drop(clients);
    proxy.end(Signal::SIGTERM)
}

fn flows_to_node_ports_on_localhost_are_deleted() -> Result<(), Failed> {
    let (lab, mut folder) = (Lab::new()?, dns()?);
    let flags = ["--nodeport-addresses=localhost".to_owned()];
    let mut proxy = Proxy::start(&lab, &folder, &flags)?;
    proxy.settle(&mut folder)?;
    let asked = "127.0.0.1:30530";
    let socket = lab.node().run(|| UdpSocket::bind("127.0.0.1:0"))??;
    let client = Clients(vec![(connected(socket, asked)?, asked.to_owned())]);
    client.eventually_meet("5353", &proxy)?;
    let met = heard(&client.0[0].0)?;
    let other = match met.contains("10.244.2.5") {
        true => "10.244.2.6",
        false => "10.244.2.5",
    };
    folder.apply(&slice("dns", "UDP", 5353, &[other]))?;
    proxy.settle(&mut folder)?;
    client.eventually_meet(other, &proxy)?;
    proxy.end(Signal::SIGTERM)
}

/// Whether the node knows a flow that was begun to one of these.
fn is_asked(lab: &Lab, destinations: &[&str]) -> Result<bool, Failed> {
    let flows = flows(lab)?;
    Ok(flows
        .iter()
        .any(|flow| destinations.iter().any(|to| leads(flow, to))))
}

/// What comes from outside is masqueraded, so that answers come back by the node.
fn flags() -> [String; 1] {
    ["--cluster-cidr=10.244.0.0/16".to_owned()]
}

fn dns() -> Result<Folder, Failed> {
    Folder::new(&dns_objects())
}

fn dns_objects() -> [serde_json::Value; 2] {
    let spec = json!({
        "type": "NodePort", "clusterIP": "10.96.22.1", "externalIPs": ["203.0.113.22"],
        "ports": [{"protocol": "UDP", "port": 53, "nodePort": 30530}],
    });
    [
        service("dns", &spec),
        slice("dns", "UDP", 5353, &["10.244.2.5", "10.244.2.6"]),
    ]
}

/// Clients outside that each go on using one socket.
struct Clients(Vec<(UdpSocket, String)>);

impl Clients {
    /// So many clients ask at each address.
    fn ask(lab: &Lab, each: usize) -> Result<Clients, Failed> {
        let mut clients = Vec::new();
        for asked in ASKED {
            for _ in 0..each {
                let socket = client(lab, asked)?;
                heard(&socket).map_err(|error| format!("{asked}: {error}"))?;
                clients.push((socket, asked.to_owned()));
            }
        }
        Ok(Clients(clients))
    }

    /// Whether every client meets an endpoint that says this of itself.
    fn all_meet(&self, endpoint: &str) -> Result<(), Failed> {
        for (socket, asked) in &self.0 {
            let answer = heard(socket).map_err(|error| format!("{asked}: {error}"))?;
            if !answer.contains(endpoint) {
                return Err(format!("{asked} led to {answer}, not to {endpoint}").into());
            }
        }
        Ok(())
    }

    fn eventually_meet(&self, endpoint: &str, proxy: &Proxy<'_>) -> Result<(), Failed> {
        eventually(endpoint, || Ok(self.all_meet(endpoint).is_ok()))
            .map(drop)
            .map_err(|error| proxy.failed(error.message().unwrap_or_default()))
    }
}

/// A client outside, from a port of its own.
fn client(lab: &Lab, asked: &str) -> Result<UdpSocket, Failed> {
    let socket = lab
        .network()
        .world()
        .run(|| UdpSocket::bind("198.51.100.7:0"))??;
    connected(socket, asked)
}

fn connected(socket: UdpSocket, to: &str) -> Result<UdpSocket, Failed> {
    let to: SocketAddr = to.parse()?;
    socket.connect(to)?;
    socket.set_read_timeout(Some(Duration::from_millis(500)))?;
    Ok(socket)
}

/// Asks once more, and returns what the endpoint says of itself.
fn heard(socket: &UdpSocket) -> std::io::Result<String> {
    socket.send(b"who are you?")?;
    let mut answer = [0; 100];
    let length = socket.recv(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
}

/// The node's flows, each as its addresses and ports in both directions.
fn flows(lab: &Lab) -> Result<BTreeSet<String>, Failed> {
    let table = on_node(lab, "conntrack -L")?;
    let tuples = |line: &str| -> String {
        let words = line.split_whitespace();
        let is_part = |word: &&str| {
            ["src=", "dst=", "sport=", "dport="]
                .iter()
                .any(|key| word.starts_with(key))
        };
        words.filter(is_part).collect::<Vec<_>>().join(" ")
    };
    Ok(table.lines().map(tuples).collect())
}

/// The flows that an endpoint answers which its client did not ask for.
fn flows_from(lab: &Lab, endpoint: &str) -> Result<BTreeSet<String>, Failed> {
    let answers = format!(" src={endpoint} ");
    let asked = format!(" dst={endpoint} ");
    Ok(flows(lab)?
        .into_iter()
        .filter(|flow| flow.contains(&answers) && !flow.contains(&asked))
        .collect())
}

/// Whether a flow was begun to this address and port.
fn leads(flow: &str, to: &str) -> bool {
    let Some((address, port)) = to.split_once(':') else {
        return false;
    };
    let (dst, dport) = (format!("dst={address}"), format!("dport={port}"));
    // src, dst, sport, dport of the original direction, then of the reply.
    let mut words = flow.split(' ');
    words.nth(1) == Some(&dst) && words.nth(1) == Some(&dport)
}
