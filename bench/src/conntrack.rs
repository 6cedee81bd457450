//! How long it takes to find and delete the connections that have outlived their endpoints.

use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::ensure;
use serde_json::{Value, json};

use fairlead_backends::engine::{Engine, Synced};
use fairlead_backends::nftables::Nftables;
use fairlead_backends::sweep::sweep;
use fairlead_core::address::Family;
use fairlead_core::conntrack::NodePortReach;
use fairlead_core::model::Model;
use fairlead_kernel::conntrack::{Conntrack, ConntrackSocket};
use fairlead_kernel::nft::socket::NftSocket;
use fairlead_kernel::sysctl::{ProcSys, Sysctls};

use crate::cluster::{self, NODE_IP, POD_PORT};
use crate::network::on_a_node;
use crate::sync::{nftables, read, settings};

const SERVICES: u32 = 100;
const CLIENTS: u16 = 2000;
/// How many connections there are, if the table may have so many: each client asks each Service.
pub(crate) const CONNECTIONS: usize = SERVICES as usize * CLIENTS as usize;
/// The source port of the first client.
const FIRST_CLIENT: u16 = 20_000;
const DNS: u16 = 53;

/// A look through the table.
pub(crate) struct Look {
    /// Why.
    pub(crate) what: &'static str,
    /// How many connections there were.
    pub(crate) connections: usize,
    /// How many were stale.
    pub(crate) deleted: usize,
    /// How long it took.
    pub(crate) took: Duration,
}

/// Looks through the connections of a node of its own.
pub(crate) fn measure(folder: &Path) -> anyhow::Result<Vec<Look>> {
    on_a_node(|| {
        let mut node = Node::start(folder)?;
        connect_all()?;
        node.engine.distrust();
        Ok(vec![
            node.look("all Services, nothing stale", |_| None)?,
            node.look("one Service, half stale", |service| {
                (service == 0).then(|| [first_pod(0), spare_pod(0)])
            })?,
            node.look("all Services, all stale", |service| {
                Some([spare_pod(service), spare_pod(SERVICES + service)])
            })?,
        ])
    })
}

/// A node with Services that speak UDP.
struct Node {
    folder: PathBuf,
    model: Model,
    engine: Engine<Nftables, NftSocket>,
}

impl Node {
    fn start(folder: &Path) -> anyhow::Result<Node> {
        let mut node = Node {
            folder: folder.to_owned(),
            model: Model::new(settings()?),
            engine: nftables()?,
        };
        let services = (0..SERVICES).flat_map(|index| {
            let pods = [first_pod(index), first_pod(SERVICES + index)];
            [service(index), slice(index, pods)]
        });
        node.tell(&services.collect::<Vec<_>>())?;
        node.sync()?;
        Ok(node)
    }

    /// Gives Services other pods, and looks what is stale.
    fn look(
        &mut self,
        what: &'static str,
        pods: impl Fn(u32) -> Option<[Ipv4Addr; 2]>,
    ) -> anyhow::Result<Look> {
        let slices = (0..SERVICES).filter_map(|index| Some(slice(index, pods(index)?)));
        self.tell(&slices.collect::<Vec<_>>())?;
        let suspects = self.sync()?.suspects;
        let setting = &self.model.settings().node_port_addresses;
        let reach = NodePortReach::new(setting, self.model.node(), &[NODE_IP.into()]);
        let mut conntrack = ConntrackSocket::open()?;
        let connections = conntrack.count()?;
        let swept = sweep(&mut conntrack, Family::V4, &suspects, &reach)?;
        Ok(Look {
            what,
            connections,
            deleted: swept.deleted,
            took: swept.took,
        })
    }

    fn tell(&mut self, items: &[Value]) -> anyhow::Result<()> {
        let path = self.folder.join("dns.json");
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": items });
        fs::write(&path, list.to_string())?;
        for change in read(&path)?.0 {
            let problems = self.model.apply(change);
            ensure!(problems.is_empty(), "{problems:?}");
        }
        Ok(())
    }

    fn sync(&mut self) -> anyhow::Result<Synced> {
        let host: [IpAddr; 1] = [NODE_IP.into()];
        Ok(self.engine.sync(&mut self.model, &host, Instant::now())?)
    }
}

/// Each client asks each Service.
fn connect_all() -> anyhow::Result<()> {
    // On a slow machine the first would end before the last begin. Not everybody may say so.
    let _ = ProcSys.write("net/netfilter/nf_conntrack_udp_timeout", "600");
    // What nobody listens to is answered by errors, which cost time.
    let _pods = UdpSocket::bind(("0.0.0.0", POD_PORT))?;
    for client in 0..CLIENTS {
        let socket = UdpSocket::bind((NODE_IP, FIRST_CLIENT + client))?;
        for service in 0..SERVICES {
            match socket.send_to(b"?", (cluster::cluster_ip(service), DNS)) {
                // The table is full; net.netfilter.nf_conntrack_max says when.
                Err(error) if error.kind() == ErrorKind::PermissionDenied => return Ok(()),
                sent => sent?,
            };
        }
    }
    Ok(())
}

fn first_pod(index: u32) -> Ipv4Addr {
    cluster::pod_ip(index)
}

fn spare_pod(index: u32) -> Ipv4Addr {
    cluster::spare_pod_ip(index)
}

fn service(index: u32) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": name(index), "namespace": "shop" },
        "spec": {
            "clusterIP": cluster::cluster_ip(index),
            "ports": [{ "protocol": "UDP", "port": DNS }],
        },
    })
}

fn slice(index: u32, pods: [Ipv4Addr; 2]) -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": name(index), "namespace": "shop",
            "labels": { "kubernetes.io/service-name": name(index) },
        },
        "addressType": "IPv4",
        "ports": [{ "name": "", "protocol": "UDP", "port": POD_PORT }],
        "endpoints": pods.map(|pod| json!({ "addresses": [pod] })),
    })
}

fn name(index: u32) -> String {
    format!("dns-{index:03}")
}
