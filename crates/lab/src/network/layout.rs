//! Addresses, routes and kernel parameters of the network, the same as those that the recorded
//! outcomes were made with.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fairlead_core::address::{AddressError, Family, parse_ip};
use fairlead_kernel::link::{Route, Rtnetlink};
use fairlead_kernel::netns::NamedNetns;
use fairlead_kernel::sysctl::{ProcSys, Sysctls};
use ipnet::IpNet;
use nix::libc;

use super::Network;
use crate::LabError;

/// The node's IPv4 address, on the network 192.0.2.0/24 (RFC 5737).
pub const NODE_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);

/// The node's IPv6 address, on the network `2001:db8:2::/64` (RFC 3849).
pub const NODE_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 0x10);

/// The other node's address.
pub(super) const OTHER_NODE: IpNet =
    IpNet::new_assert(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 11)), 24);

/// Whether a pod of this address is on the node.
pub fn is_local_pod(address: IpAddr) -> bool {
    let cidrs = ["10.244.1.0/24", "fd00:10:244:1::/64"];
    cidrs.iter().any(|cidr| {
        cidr.parse::<IpNet>()
            .is_ok_and(|cidr| cidr.contains(&address))
    })
}

/// A client outside of the node's network.
pub(crate) fn outside(family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::new(198, 51, 100, 7).into(),
        Family::V6 => Ipv6Addr::new(0x2001, 0xdb8, 0x51, 0, 0, 0, 0, 7).into(),
    }
}

/// Another, inside the source ranges that recorded cases allow.
pub(crate) fn outside_allowed(family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::new(203, 0, 113, 9).into(),
        Family::V6 => Ipv6Addr::new(0x2001, 0xdb8, 0x113, 0, 0, 0, 0, 9).into(),
    }
}

impl Network {
    /// Joins the namespaces, which are fresh.
    pub(super) fn lay_out(&self) -> Result<(), LabError> {
        self.set_parameters()?;
        let mut node = Host::open(&self.node)?;
        let mut client_pod = Host::open(&self.client_pod)?;
        let mut local_pods = Host::open(&self.local_pods)?;
        let mut world = Host::open(&self.world)?;
        node.0.add_veth("eth0", "eth0", self.world.netns())?;
        node.0.add_veth("vethpc", "eth0", self.client_pod.netns())?;
        node.0.add_veth("vethp1", "eth0", self.local_pods.netns())?;
        lay_out_node(&mut node)?;
        lay_out_client_pod(&mut client_pod)?;
        lay_out_local_pods(&mut local_pods)?;
        lay_out_world(&mut world)
    }

    /// Sets what devices are born with, so before there are any.
    fn set_parameters(&self) -> Result<(), LabError> {
        for netns in [&self.node, &self.client_pod, &self.local_pods, &self.world] {
            set(netns, &EVERYWHERE)?;
        }
        set(&self.node, &ROUTER)?;
        set(&self.local_pods, &MANY_ADDRESSES)?;
        set(&self.world, &MANY_ADDRESSES)
    }
}

fn lay_out_node(node: &mut Host) -> Result<(), LabError> {
    for device in ["eth0", "vethpc", "vethp1"] {
        node.0.set_up(device)?;
    }
    node.address("eth0", "192.0.2.10/24")?;
    node.address("eth0", "2001:db8:2::10/64")?;
    node.via("0.0.0.0/0", "192.0.2.1", "eth0")?;
    node.via("::/0", "2001:db8:2::1", "eth0")?;

    node.address("vethpc", "10.244.1.1/32")?;
    node.address("vethpc", "fd00:10:244:1::1/128")?;
    node.on_link("10.244.1.20/32", "vethpc")?;
    node.on_link("fd00:10:244:1::20/128", "vethpc")?;

    node.address("vethp1", "10.244.1.1/32")?;
    node.address("vethp1", "fe80::1/64")?;
    node.on_link("10.244.1.128/25", "vethp1")?;
    node.via("fd00:10:244:1:8000::/65", "fe80::2", "vethp1")
}

fn lay_out_client_pod(pod: &mut Host) -> Result<(), LabError> {
    pod.0.set_up("eth0")?;
    pod.address("eth0", "10.244.1.20/32")?;
    pod.address("eth0", "fd00:10:244:1::20/128")?;
    pod.on_link("10.244.1.1/32", "eth0")?;
    pod.on_link("fd00:10:244:1::1/128", "eth0")?;
    pod.via("0.0.0.0/0", "10.244.1.1", "eth0")?;
    pod.via("::/0", "fd00:10:244:1::1", "eth0")
}

fn lay_out_local_pods(pods: &mut Host) -> Result<(), LabError> {
    pods.0.set_up("eth0")?;
    pods.answers_for("10.244.1.128/25")?;
    pods.answers_for("fd00:10:244:1:8000::/65")?;
    pods.address("eth0", "fe80::2/64")?;
    pods.on_link("10.244.1.1/32", "eth0")?;
    pods.via("0.0.0.0/0", "10.244.1.1", "eth0")?;
    pods.via("::/0", "fe80::1", "eth0")
}

fn lay_out_world(world: &mut Host) -> Result<(), LabError> {
    world.0.set_up("eth0")?;
    for address in ["192.0.2.1/24", "2001:db8:2::1/64"] {
        world.address("eth0", address)?;
    }
    world.0.add_address("eth0", OTHER_NODE)?;
    for client in [outside, outside_allowed] {
        for family in Family::BOTH {
            world.0.add_address("lo", IpNet::from(client(family)))?;
        }
    }
    world.answers_for("10.244.2.0/24")?;
    world.answers_for("fd00:10:244:2::/64")?;
    world.via("0.0.0.0/0", "192.0.2.10", "eth0")?;
    world.via("::/0", "2001:db8:2::10", "eth0")
}

/// A namespace to put addresses and routes into, written as ip(8) has them.
pub(super) struct Host(pub(super) Rtnetlink);

impl Host {
    pub(super) fn open(netns: &NamedNetns) -> Result<Host, LabError> {
        let mut rtnetlink = netns.netns().run(Rtnetlink::open)??;
        rtnetlink.set_up("lo")?;
        Ok(Host(rtnetlink))
    }

    fn address(&mut self, device: &str, address: &str) -> Result<(), LabError> {
        Ok(self.0.add_address(device, net(address)?)?)
    }

    pub(super) fn on_link(&mut self, destination: &str, device: &str) -> Result<(), LabError> {
        Ok(self
            .0
            .add_route(&Route::to(net(destination)?).dev(device))?)
    }

    pub(super) fn via(
        &mut self,
        destination: &str,
        gateway: &str,
        device: &str,
    ) -> Result<(), LabError> {
        let route = Route::to(net(destination)?)
            .via(parse_ip(gateway)?)
            .dev(device);
        Ok(self.0.add_route(&route)?)
    }

    fn answers_for(&mut self, addresses: &str) -> Result<(), LabError> {
        Ok(self.0.add_route(&Route::local(net(addresses)?).dev("lo"))?)
    }
}

/// Keeps the host part, unlike what reads the objects' networks.
fn net(text: &str) -> Result<IpNet, AddressError> {
    text.parse()
        .map_err(|_| AddressError::NotANetwork(text.to_owned()))
}

/// Addresses are good at once, replies may take another way than requests, and no ICMP error is
/// held back: what a rule refuses shall be seen to be refused. Nobody remembers a closed connection
/// (TIME-WAIT, RFC 9293): masquerading draws source ports by chance, and a pod that was met from
/// the same one shortly before would not answer.
const EVERYWHERE: [(&str, &str); 9] = [
    ("net/ipv6/conf/all/accept_dad", "0"),
    ("net/ipv6/conf/default/accept_dad", "0"),
    ("net/ipv4/conf/all/rp_filter", "0"),
    ("net/ipv4/conf/default/rp_filter", "0"),
    ("net/ipv4/icmp_ratelimit", "0"),
    ("net/ipv4/icmp_msgs_per_sec", "100000"),
    ("net/ipv4/icmp_msgs_burst", "10000"),
    ("net/ipv6/icmp/ratelimit", "0"),
    ("net/ipv4/tcp_max_tw_buckets", "0"),
];

/// How long a node remembers a connection that nobody answers.
const SYN_SENT: &str = "net/netfilter/nf_conntrack_tcp_timeout_syn_sent";

/// What makes a node of a host. What nobody answered is soon forgotten: a connection that begins at
/// the same port once there is somebody would be taken for it, and go where that went.
const ROUTER: [(&str, &str); 3] = [
    ("net/ipv4/ip_forward", "1"),
    ("net/ipv6/conf/all/forwarding", "1"),
    (SYN_SENT, "2"),
];

/// Local pods ask each other by way of the node: packets come in from addresses of the host.
const MANY_ADDRESSES: [(&str, &str); 1] = [("net/ipv4/conf/all/accept_local", "1")];

/// In older kernels the first two belong to the whole machine, and are not to be found in a namespace;
/// the third is there once something on the machine tracks connections.
const MAY_BE_MISSING: [&str; 3] = [
    "net/ipv4/icmp_msgs_per_sec",
    "net/ipv4/icmp_msgs_burst",
    SYN_SENT,
];

fn set(netns: &NamedNetns, parameters: &[(&str, &str)]) -> Result<(), LabError> {
    netns.netns().run(|| {
        for (name, value) in parameters {
            match ProcSys.write(name, value) {
                Err(error) if error.errno == libc::ENOENT && MAY_BE_MISSING.contains(name) => {}
                written => written?,
            }
        }
        Ok(())
    })?
}
