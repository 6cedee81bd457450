//! The names of chains that belong to a service port or an endpoint.

use data_encoding::BASE32;
use sha2::{Digest, Sha256};

use fairlead_core::model::ServicePortName;
use fairlead_core::route::Target;
use fairlead_kernel::iptables::ruleset::ChainName;

use super::shared::{CANARY, FORWARD, MARK_MASQ, POSTROUTING, Shared};

/// How much of a hash a name has: chains have at most 28 characters (`XT_EXTENSION_MAXNAMELEN`,
/// linux/netfilter/x_tables.h).
const LENGTH: usize = 16;

/// The kinds of chains that a service port has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PortChain {
    /// `KUBE-EXT-`: traffic from outside the cluster.
    External,
    /// `KUBE-FW-`: who may use a load balancer.
    Firewall,
    /// `KUBE-SVC-`: to the endpoints of the cluster.
    Cluster,
    /// `KUBE-SVL-`: to the endpoints of this node.
    Local,
}

impl PortChain {
    /// How its names begin.
    pub fn prefix(self) -> &'static str {
        match self {
            PortChain::External => "KUBE-EXT-",
            PortChain::Firewall => "KUBE-FW-",
            PortChain::Cluster => "KUBE-SVC-",
            PortChain::Local => "KUBE-SVL-",
        }
    }
}

/// How the names of endpoints' chains begin.
pub(super) const ENDPOINT: &str = "KUBE-SEP-";

/// Whether kube-proxy and we have chains of this name, and nobody else has. `KUBE-FIREWALL` is
/// shared with the kubelet.
pub fn is_ours(chain: &str) -> bool {
    Shared::ALL.iter().any(|shared| shared.chain() == chain)
        || [POSTROUTING, MARK_MASQ, FORWARD, CANARY].contains(&chain)
        || is_of_port(chain)
}

/// How the chains begin that kube-proxy had in older releases, and those of its ipvs mode, beside
/// those of iptables mode.
const OLDER: [&str; 5] = [
    "KUBE-XLB-",
    "KUBE-NODE-PORT",
    "KUBE-LOAD-BALANCER",
    "KUBE-SOURCE-RANGES-FIREWALL",
    "KUBE-IPVS-",
];

/// Whether a chain is ours, or one that kube-proxy has in ipvs mode or had in older releases.
pub fn is_kube_proxys(chain: &str) -> bool {
    is_ours(chain) || OLDER.iter().any(|prefix| chain.starts_with(prefix))
}

/// Whether a chain's name is that of a service port's or an endpoint's.
pub(super) fn is_of_port(chain: &str) -> bool {
    use PortChain::{Cluster, External, Firewall, Local};
    let prefixes = [External, Firewall, Cluster, Local].map(PortChain::prefix);
    prefixes
        .into_iter()
        .chain([ENDPOINT])
        .any(|prefix| chain.starts_with(prefix))
}

/// The name of a chain of a service port. It is the same in both families.
pub fn port_chain(kind: PortChain, port: &ServicePortName) -> ChainName {
    named(kind.prefix(), &format!("{port}{}", port.protocol))
}

/// The name of the chain of an endpoint of a service port.
pub fn endpoint_chain(port: &ServicePortName, endpoint: Target) -> ChainName {
    named(ENDPOINT, &format!("{port}{}{endpoint}", port.protocol))
}

fn named(prefix: &str, hashed: &str) -> ChainName {
    let mut name = BASE32.encode(&Sha256::digest(hashed));
    name.truncate(LENGTH);
    format!("{prefix}{name}").into()
}

#[cfg(test)]
mod tests {
    use fairlead_core::address::Protocol;
    use fairlead_core::api::ObjectName;

    use super::*;

    fn port(namespace: &str, service: &str, port: &str, protocol: Protocol) -> ServicePortName {
        ServicePortName {
            service: ObjectName::new(namespace, service),
            port: port.into(),
            protocol,
        }
    }

    fn target(text: &str) -> Target {
        let socket: std::net::SocketAddr = text.parse().unwrap();
        Target {
            address: socket.ip(),
            port: socket.port(),
        }
    }

    /// kube-proxy's names: in its documentation, in its tests, and made by it.
    #[test]
    fn names_are_kube_proxys() {
        let web = port("shop", "web", "http", Protocol::Tcp);
        let cases = [
            (&web, "67NZLRHBNDSAWJRO"),
            (&port("shop", "web", "", Protocol::Tcp), "E3PXEPMWAWIUT6ZV"),
            (
                &port("shop", "dns", "dns", Protocol::Udp),
                "4XI5CTFPAP7AFMBM",
            ),
            (
                &port("ns1", "svc1", "p80", Protocol::Tcp),
                "XPGD46QRK7WJZT7O",
            ),
            (
                &port("default", "nginx-basic", "http", Protocol::Tcp),
                "WWRFY3PZ7W3FGMQW",
            ),
        ];
        for (port, hash) in cases {
            assert_eq!(
                *port_chain(PortChain::Cluster, port),
                *format!("KUBE-SVC-{hash}")
            );
            assert_eq!(
                *port_chain(PortChain::Local, port),
                *format!("KUBE-SVL-{hash}")
            );
            assert_eq!(
                *port_chain(PortChain::External, port),
                *format!("KUBE-EXT-{hash}")
            );
            assert_eq!(
                *port_chain(PortChain::Firewall, port),
                *format!("KUBE-FW-{hash}")
            );
        }
        let endpoints = [
            (&web, "10.1.0.5:8080", "UZBLB3XX2HRLVOJ5"),
            (&web, "[fd00:10::5]:8080", "B5CFDNDNSY5Q2PEN"),
            (
                &port("ns1", "svc1", "p80", Protocol::Tcp),
                "10.180.0.1:80",
                "SXIVWICOYRO3J4NJ",
            ),
            (
                &port("default", "nginx-basic", "http", Protocol::Tcp),
                "192.168.1.3:80",
                "UF65ZV4QBOPNRP6O",
            ),
        ];
        for (port, endpoint, hash) in endpoints {
            let chain = endpoint_chain(port, target(endpoint));
            assert_eq!(*chain, *format!("KUBE-SEP-{hash}"));
        }
    }
}
