//! Three namespaces: clients, the node between, and endpoints.
//!
//! ```text
//!  clients 198.18.0.2-17 ── 198.18.0.1 node 10.200.0.1 ── 10.200.0.2-5 endpoints
//! ```

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context;
use ipnet::{IpNet, Ipv4Net};

use fairlead_kernel::link::{Route, Rtnetlink};
use fairlead_kernel::netns::Netns;
use fairlead_kernel::sysctl::{ProcSys, Sysctls};

/// The node's address towards clients.
pub(super) const NODE: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
/// Its address towards endpoints.
const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 200, 0, 1);
/// How many addresses clients have, or they would run out of ports.
const CLIENTS: u8 = 16;
/// How many endpoints there are.
const ENDPOINTS: u8 = 4;

/// How long a connection is tracked that is over, in seconds.
const TIME_WAIT: &str = "net/netfilter/nf_conntrack_tcp_timeout_time_wait";

/// The namespaces, which go with this.
pub(super) struct Network {
    pub(super) clients: Netns,
    pub(super) node: Netns,
    pub(super) endpoints: Netns,
}

impl Network {
    pub(super) fn lay() -> anyhow::Result<Network> {
        let make = || {
            Netns::anonymous()
                .context("cannot make a network namespace: run as root, or allow user namespaces")
        };
        let network = Network {
            clients: make()?,
            node: make()?,
            endpoints: make()?,
        };
        network.join().context("cannot lay the network")?;
        Ok(network)
    }

    fn join(&self) -> anyhow::Result<()> {
        self.node.run(|| -> anyhow::Result<()> {
            let mut links = Rtnetlink::open()?;
            links.set_up("lo")?;
            for (link, peer, own) in [
                ("clients", &self.clients, NODE),
                ("endpoints", &self.endpoints, ROUTER),
            ] {
                links.add_veth(link, "eth0", peer)?;
                links.set_up(link)?;
                links.add_address(link, net(own)?)?;
            }
            ProcSys.write("net/ipv4/ip_forward", "1")?;
            // Connections that are over are remembered for two minutes otherwise, and the table is
            // full before the last round.
            Ok(ProcSys.write(TIME_WAIT, "5")?)
        })??;
        let clients: Vec<_> = (0..CLIENTS).map(client).collect();
        let far = |netns: &Netns, addresses: &[Ipv4Addr], router: Ipv4Addr| {
            netns.run(|| -> anyhow::Result<()> {
                let mut links = Rtnetlink::open()?;
                links.set_up("lo")?;
                links.set_up("eth0")?;
                for address in addresses {
                    links.add_address("eth0", net(*address)?)?;
                }
                let all = Route::to("0.0.0.0/0".parse()?);
                Ok(links.add_route(&all.via(router.into()))?)
            })?
        };
        far(&self.clients, &clients, NODE)?;
        far(&self.endpoints, &endpoints(), ROUTER)
    }
}

/// An address of the clients; there are not more of them than [`CLIENTS`].
pub(super) fn client(index: u8) -> Ipv4Addr {
    Ipv4Addr::new(198, 18, 0, 2 + index % CLIENTS)
}

/// The addresses of all endpoints.
pub(super) fn endpoints() -> Vec<Ipv4Addr> {
    let endpoint = |index| Ipv4Addr::new(10, 200, 0, 2 + index);
    (0..ENDPOINTS).map(endpoint).collect()
}

/// The first endpoint, without anything between.
pub(super) fn direct(port: u16) -> SocketAddr {
    SocketAddr::from((endpoints()[0], port))
}

fn net(address: Ipv4Addr) -> anyhow::Result<IpNet> {
    Ok(IpNet::from(Ipv4Net::new(address, 24)?))
}
