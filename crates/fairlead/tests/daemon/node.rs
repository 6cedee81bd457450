//! What the node's own addresses and devices have to do with it.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use fairlead_core::address::Protocol;
use fairlead_lab::{Client, Lab};
use libtest_mimic::Failed;
use nix::sys::signal::Signal;
use serde_json::json;

use crate::objects::{service, slice};
use crate::rig::{Folder, Proxy};
use crate::tests;
use crate::watch::{eventually, on_node, within};

tests! {
    node_ports_on_localhost_are_closed_to_neighbours,
    servers_on_localhost_are_closed_to_neighbours_in_iptables_mode,
    node_ports_answer_at_addresses_that_come_later,
    a_node_that_has_a_load_balancers_address_may_use_it,
}

fn node_ports_on_localhost_are_closed_to_neighbours() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let mut folder = node_port()?;
    let flags = ["--nodeport-addresses=localhost".to_owned()];
    let mut proxy = Proxy::start(&lab, &folder, &flags)?;
    proxy.settle(&mut folder)?;
    // What arrives there is counted.
    on_node(&lab, "nft add table ip watch")?;
    on_node(
        &lab,
        "nft add chain ip watch raw { type filter hook prerouting priority -300; }",
    )?;
    on_node(
        &lab,
        "nft add rule ip watch raw iifname eth0 ip daddr 127.0.0.1 counter",
    )?;
    aim_at_localhost(&lab)?;
    let neighbour = lab.ask(
        Client::Outside,
        Protocol::Tcp,
        "127.0.0.1:30250".parse()?,
        2,
    )?;
    let arrived = on_node(&lab, "nft list table ip watch")?;
    if arrived.contains("packets 0 ") {
        return Err(proxy.failed("the neighbour's packets do not arrive, so nothing is tested"));
    }
    let node = lab.ask(Client::Node, Protocol::Tcp, "127.0.0.1:30250".parse()?, 5)?;
    match (neighbour.by_endpoint.is_empty(), node.errors.is_empty()) {
        (true, true) => proxy.end(Signal::SIGTERM),
        _ => Err(proxy.failed(&format!(
            "outside: {}, node: {}",
            neighbour.outcome(),
            node.outcome()
        ))),
    }
}

/// Its node ports are open to them there too, as kube-proxy's are.
fn servers_on_localhost_are_closed_to_neighbours_in_iptables_mode() -> Result<(), Failed> {
    let (lab, mut folder) = (Lab::new()?, node_port()?);
    let address = SocketAddr::from(([127, 0, 0, 1], 3000));
    let _server = lab.node().run(|| TcpListener::bind(address))??;
    aim_at_localhost(&lab)?;
    on_node(&lab, "sysctl -qw net.ipv4.conf.all.route_localnet=1")?;
    let reaches = || {
        let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(500));
        Ok::<_, Failed>(lab.network().world().run(|| connect().is_ok())?)
    };
    eventually("it reaches the server, or nothing is tested", reaches)?;
    let mut proxy = Proxy::start(&lab, &folder, &["--proxy-mode=iptables".to_owned()])?;
    proxy.settle(&mut folder)?;
    match reaches()? {
        true => Err(proxy.failed("the neighbour reaches the server")),
        false => proxy.end(Signal::SIGTERM),
    }
}

/// A neighbour takes the node for the way to 127.0.0.1.
fn aim_at_localhost(lab: &Lab) -> Result<(), Failed> {
    for line in [
        "sysctl -qw net.ipv4.conf.all.route_localnet=1",
        "ip address del 127.0.0.1/8 dev lo",
        "ip route add 127.0.0.1/32 via 192.0.2.10 dev eth0",
    ] {
        outside(lab, line)?;
    }
    Ok(())
}

fn node_ports_answer_at_addresses_that_come_later() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let mut folder = node_port()?;
    let flags = [
        "--nodeport-addresses=192.0.2.64/26".to_owned(),
        "--min-sync-period=0s".to_owned(),
    ];
    let mut proxy = Proxy::start(&lab, &folder, &flags)?;
    proxy.settle(&mut folder)?;
    let answers = || {
        let series = lab.ask(
            Client::Outside,
            Protocol::Tcp,
            "192.0.2.77:30250".parse()?,
            1,
        )?;
        Ok::<_, Failed>(!series.by_endpoint.is_empty())
    };
    assert!(!answers()?);
    on_node(&lab, "ip address add 192.0.2.77/24 dev eth0")?;
    within(Duration::from_secs(3), "the node port answers", answers)
        .map_err(|error| proxy.failed(error.message().unwrap_or_default()))?;
    on_node(&lab, "ip address del 192.0.2.77/24 dev eth0")?;
    within(
        Duration::from_secs(3),
        "the node port does not answer",
        || Ok(!answers()?),
    )?;
    within(Duration::from_secs(3), "the address is forgotten", || {
        Ok(!on_node(&lab, "nft list set ip fairlead nodeport-ips")?.contains("192.0.2.77"))
    })?;
    proxy.end(Signal::SIGTERM)
}

/// Then its packets have that address for a source, which no range of the Service has: that the
/// node is in one has to be enough.
fn a_node_that_has_a_load_balancers_address_may_use_it() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let mut web = service(
        "web",
        &json!({
            "type": "LoadBalancer", "clusterIP": "10.96.25.1", "ports": [{"port": 80}],
            "loadBalancerSourceRanges": ["192.0.2.0/24"],
        }),
    );
    web["status"] = json!({"loadBalancer": {"ingress": [{"ip": "203.0.113.25"}]}});
    let mut folder = Folder::new(&[web, slice("web", "TCP", 8080, &["10.244.2.5"])])?;
    on_node(&lab, "ip address add 203.0.113.25/32 dev lo")?;
    let mut proxy = Proxy::start(&lab, &folder, &[])?;
    proxy.settle(&mut folder)?;
    let to = "203.0.113.25:80".parse()?;
    let (node, outside) = (
        lab.ask(Client::Node, Protocol::Tcp, to, 5)?,
        lab.ask(Client::Outside, Protocol::Tcp, to, 1)?,
    );
    match (node.errors.is_empty(), outside.by_endpoint.is_empty()) {
        (true, true) => proxy.end(Signal::SIGTERM),
        _ => Err(proxy.failed(&format!(
            "node: {}, outside: {}",
            node.outcome(),
            outside.outcome()
        ))),
    }
}

fn node_port() -> Result<Folder, Failed> {
    let spec = json!({"type": "NodePort", "clusterIP": "10.96.25.2", "ports": [{"port": 80, "nodePort": 30250}]});
    Folder::new(&[
        service("web", &spec),
        slice("web", "TCP", 8080, &["10.244.2.5"]),
    ])
}

/// Does a command beyond the node.
fn outside(lab: &Lab, line: &str) -> Result<(), Failed> {
    let mut words = line.split(' ');
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words);
    let output = lab.network().world().run(|| command.output())??;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{line}: {}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}
