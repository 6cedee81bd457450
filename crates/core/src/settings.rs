//! What the operator decided: the parts of kube-proxy's configuration that shape rules.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;

use ipnet::IpNet;

use crate::address::Family;
use crate::model::NodeView;
use crate::scheduling::Scheduling;

/// Settings of a proxy. Most may change while it runs: see [`Model::set_settings`].
///
/// [`Model::set_settings`]: crate::model::Model::set_settings
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The name of this node: endpoints with this `nodeName` are local.
    pub node_name: String,
    /// How traffic of this node's pods is told from other traffic (`--detect-local-mode`).
    pub detect_local: DetectLocal,
    /// Masquerade all traffic to cluster IPs (`--masquerade-all`).
    pub masquerade_all: bool,
    /// The bit of the packet mark that asks for masquerading (`--iptables-masquerade-bit`).
    pub masquerade_mark: u32,
    /// Where node ports answer (`--nodeport-addresses`).
    pub node_port_addresses: NodePortAddresses,
    /// The node's address where it is not the Node object's first (`--bind-address`).
    pub node_ip: Option<IpAddr>,
    /// Count connections to Services, their packets and bytes (`--traffic-counters`). Refused
    /// packets are always counted: no others pay for that.
    pub traffic_counters: bool,
    /// Whether `externalIPs` of Services are served (the feature gate `AllowServiceExternalIPs`).
    pub external_ips: bool,
    /// Whether a Service may say how its endpoints are chosen. Where nothing can be chosen its
    /// annotation is not even read.
    pub scheduling_by_service: bool,
    /// What ipvs mode alone asks for.
    pub ipvs: IpvsSettings,
    /// What userspace mode alone asks for.
    pub userspace: UserspaceSettings,
}

/// The settings of ipvs mode that shape what it writes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IpvsSettings {
    /// Who chooses where a Service does not say (`--ipvs-scheduler`).
    pub scheduling: Scheduling,
    /// Virtual servers with addresses in these networks are others' (`--ipvs-exclude-cidrs`).
    pub exclude_cidrs: Vec<IpNet>,
}

/// The settings of userspace mode that shape what it writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserspaceSettings {
    /// The ports that listeners take (`--proxy-port-range`). What the kernel gives out by itself
    /// (`net.ipv4.ip_local_port_range`) had better not be among them: it passes over ports that
    /// somebody listens on, and has the fewer for outgoing connections.
    pub ports: RangeInclusive<u16>,
    /// Whether endpoints of this node see the client's address where the other modes would show it
    /// (`--userspace-source-address=client`), and not this node's.
    pub keep_source: bool,
}

impl Default for UserspaceSettings {
    fn default() -> UserspaceSettings {
        UserspaceSettings {
            ports: 11_000..=29_999,
            keep_source: false,
        }
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            node_name: String::new(),
            detect_local: DetectLocal::None,
            masquerade_all: false,
            masquerade_mark: 1 << 14,
            node_port_addresses: NodePortAddresses::primary(),
            node_ip: None,
            traffic_counters: true,
            external_ips: true,
            scheduling_by_service: true,
            ipvs: IpvsSettings::default(),
            userspace: UserspaceSettings::default(),
        }
    }
}

impl Settings {
    /// The detector of a family, `None` when nothing tells its local pods.
    pub fn detector(&self, family: Family, node: &NodeView) -> Option<LocalDetector> {
        let first = |nets: &[IpNet]| {
            let net = nets.iter().find(|net| Family::of_net(**net) == family)?;
            Some(LocalDetector::Network(net.trunc()))
        };
        match &self.detect_local {
            DetectLocal::None => None,
            DetectLocal::ClusterCidr(nets) => first(nets),
            DetectLocal::NodeCidr => first(&node.pod_cidrs),
            DetectLocal::BridgeInterface(name) => Some(LocalDetector::Interface(name.clone())),
            DetectLocal::InterfaceNamePrefix(prefix) => {
                Some(LocalDetector::InterfacePrefix(prefix.clone()))
            }
        }
    }
}

/// `--detect-local-mode` with its argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DetectLocal {
    /// Nothing tells local pods.
    None,
    /// The networks of all pods of the cluster, one a family (`--cluster-cidr`).
    ClusterCidr(Vec<IpNet>),
    /// The networks of this node's pods, from the Node object.
    NodeCidr,
    /// Pods are behind this bridge (`--pod-bridge-interface`).
    BridgeInterface(String),
    /// Pods' interfaces begin like this (`--pod-interface-name-prefix`).
    InterfaceNamePrefix(String),
}

/// What tells a packet of a local pod, in one family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LocalDetector {
    /// Its source lies in the network.
    Network(IpNet),
    /// It came in by the interface.
    Interface(String),
    /// It came in by an interface whose name begins so.
    InterfacePrefix(String),
}

/// `--nodeport-addresses`: words and networks, which add up; and what the mode makes of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodePortAddresses {
    /// Every local address but loopback: the word `all`, or a network with prefix length 0. The
    /// default of iptables mode.
    pub all: bool,
    /// The addresses of the Node object: the word `primary`, and the default of nftables mode.
    pub primary: bool,
    /// The IPv4 loopback addresses, for connections this host makes: the word `localhost`.
    pub localhost: bool,
    /// IPv4 loopback addresses are local addresses like others: all of them where every address
    /// is meant, and where a network holds 127.0.0.1. iptables mode has it so, with
    /// `iptables.localhostNodePorts`.
    pub loopback: bool,
    /// The local addresses that lie in one of these networks.
    pub networks: Vec<IpNet>,
}

/// Where node ports of one family answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodePortScope {
    /// On every local address but loopback.
    pub all: bool,
    /// On these addresses.
    pub addresses: BTreeSet<IpAddr>,
    /// On the IPv4 loopback addresses, which are never among `addresses`. The kernel routes IPv6
    /// loopback nowhere else, so there is no such thing for IPv6.
    pub localhost: bool,
}

impl NodePortAddresses {
    /// The addresses of the Node object alone.
    pub fn primary() -> NodePortAddresses {
        NodePortAddresses {
            primary: true,
            ..NodePortAddresses::default()
        }
    }

    /// Resolves the setting for a family, given the node and the addresses the host has now.
    ///
    /// As in kube-proxy, a setting that leaves nothing for the family (the node has no address
    /// of it, or only networks of the other family are given) means every address. The word
    /// `localhost` is never nothing: alone it means loopback and no other address.
    pub fn scope(&self, family: Family, node: &NodeView, host: &[IpAddr]) -> NodePortScope {
        let ours = || {
            self.networks
                .iter()
                .filter(|net| Family::of_net(**net) == family)
        };
        let primary = self
            .primary
            .then(|| node.ip(family))
            .flatten()
            .filter(|ip| !ip.is_loopback());
        let localhost = family == Family::V4 && self.serves_localhost();
        let names_nothing = primary.is_none() && ours().next().is_none() && !self.localhost;
        if self.all || names_nothing || ours().any(|net| net.prefix_len() == 0) {
            return NodePortScope {
                all: true,
                addresses: BTreeSet::new(),
                localhost,
            };
        }
        let answers = |ip: &&IpAddr| !ip.is_loopback() && ours().any(|net| net.contains(*ip));
        let addresses = host
            .iter()
            .filter(answers)
            .copied()
            .chain(primary)
            .collect();
        NodePortScope {
            all: false,
            addresses,
            localhost,
        }
    }

    /// Whether node ports of IPv4 answer on its loopback addresses, by the word for them or
    /// because they are meant with others.
    pub fn serves_localhost(&self) -> bool {
        self.localhost || (self.loopback && self.means_loopback())
    }

    fn means_loopback(&self) -> bool {
        let mut networks = self
            .networks
            .iter()
            .filter(|net| Family::of_net(**net) == Family::V4)
            .peekable();
        let named_nothing = networks.peek().is_none() && !self.primary;
        let localhost = IpAddr::from(Ipv4Addr::LOCALHOST);
        self.all || named_nothing || networks.any(|net| net.contains(&localhost))
    }
}
