//! The network of a node in a namespace: every pod's address is the node's own, so that one
//! process can answer for all of them and nothing leaves the loopback device.

use std::net::IpAddr;

use anyhow::Context;
use ipnet::{IpNet, Ipv4Net};

use fairlead_kernel::link::{Route, Rtnetlink};
use fairlead_kernel::netns::Netns;

use crate::cluster;

/// Does some work in a network namespace of its own, which goes with it.
pub(crate) fn on_a_node<T: Send>(
    work: impl FnOnce() -> anyhow::Result<T> + Send,
) -> anyhow::Result<T> {
    let netns = Netns::anonymous()
        .context("cannot make a network namespace: run as root, or allow user namespaces")?;
    netns.run(|| {
        lay().context("cannot lay the network")?;
        work()
    })?
}

fn lay() -> anyhow::Result<()> {
    let mut links = Rtnetlink::open()?;
    links.set_up("lo")?;
    links.add_address("lo", IpNet::from(Ipv4Net::new(cluster::NODE_IP, 32)?))?;
    // Connections straight to a pod have the pod's own address as their source. With the node's,
    // they would leave sockets in TIME-WAIT that masqueraded connections then run into.
    let pods = Route::local(cluster::PODS.parse()?);
    links.add_route(&pods.dev("lo"))?;
    let services = Route::to(cluster::CLUSTER_IPS.parse()?);
    links.add_route(&services.dev("lo").src(IpAddr::from(cluster::NODE_IP)))?;
    Ok(())
}
