//! Which tracked connections have outlived what they were made for.
//!
//! The kernel goes on translating the packets of a connection it knows, whatever the rules say.
//! TCP ends by itself; UDP and SCTP clients may send for ever to an endpoint that is gone, or to
//! a Service whose first packets came when it had no endpoint.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use crate::address::{Family, Protocol};
use crate::model::Destination;
use crate::route::Target;

/// What a tracked connection was asked for and who answers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow {
    /// The transport protocol.
    pub protocol: Protocol,
    /// The destination the client asked for.
    pub asked: Target,
    /// The source that answers are expected from.
    pub answers: Target,
}

/// Whether connections of a protocol may go on when what answers them is gone.
pub fn outlives_endpoints(protocol: Protocol) -> bool {
    protocol != Protocol::Tcp
}

/// The destinations that changed, each with the endpoints that serve it now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Suspects {
    serving: HashMap<Destination, HashSet<Target>>,
}

impl Suspects {
    /// Adds a destination and the endpoints that serve it; TCP is let alone.
    pub fn insert(&mut self, destination: Destination, serving: impl IntoIterator<Item = Target>) {
        if outlives_endpoints(protocol(destination)) {
            self.serving.entry(destination).or_default().extend(serving);
        }
    }

    /// The protocols and families whose connections have to be looked at.
    pub fn tables(&self) -> HashSet<(Family, Protocol)> {
        self.serving
            .keys()
            .map(|destination| (family(*destination), protocol(*destination)))
            .collect()
    }

    /// Whether there is nothing to look at.
    pub fn is_empty(&self) -> bool {
        self.serving.is_empty()
    }

    /// Whether a connection has to go: it leads to something that does not serve its destination.
    ///
    /// Where nothing serves, a connection that was never translated does no harm: a first packet
    /// that was refused leaves no connection, and there is nothing to lead it to.
    pub fn is_stale(&self, flow: &Flow, is_node_address: impl Fn(IpAddr) -> bool) -> bool {
        let at_address = Destination::Address(flow.asked.address, flow.protocol, flow.asked.port);
        let at_node = || {
            let here = is_node_address(flow.asked.address);
            here.then(|| {
                Destination::NodePort(
                    Family::of(flow.asked.address),
                    flow.protocol,
                    flow.asked.port,
                )
            })
        };
        let serving = self
            .serving
            .get(&at_address)
            .or_else(|| self.serving.get(&at_node()?));
        serving.is_some_and(|serving| match serving.is_empty() {
            true => flow.asked != flow.answers,
            false => !serving.contains(&flow.answers),
        })
    }
}

fn protocol(destination: Destination) -> Protocol {
    match destination {
        Destination::Address(_, protocol, _) | Destination::NodePort(_, protocol, _) => protocol,
    }
}

fn family(destination: Destination) -> Family {
    match destination {
        Destination::Address(ip, ..) => Family::of(ip),
        Destination::NodePort(family, ..) => family,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> Target {
        let address: std::net::SocketAddr = text.parse().unwrap();
        Target {
            address: address.ip(),
            port: address.port(),
        }
    }

    fn flow(asked: &str, answers: &str) -> Flow {
        Flow {
            protocol: Protocol::Udp,
            asked: target(asked),
            answers: target(answers),
        }
    }

    fn dns(serving: &[&str]) -> Suspects {
        let mut suspects = Suspects::default();
        let address = "10.96.0.10".parse().unwrap();
        for destination in [
            Destination::Address(address, Protocol::Udp, 53),
            Destination::NodePort(Family::V4, Protocol::Udp, 30053),
        ] {
            suspects.insert(destination, serving.iter().map(|text| target(text)));
        }
        suspects
    }

    fn is_node(ip: IpAddr) -> bool {
        ip.to_string() == "192.0.2.10"
    }

    #[test]
    fn what_leads_to_a_serving_endpoint_stays() {
        let suspects = dns(&["10.244.1.5:53", "10.244.2.6:53"]);
        assert!(!suspects.is_stale(&flow("10.96.0.10:53", "10.244.2.6:53"), is_node));
        assert!(!suspects.is_stale(&flow("192.0.2.10:30053", "10.244.1.5:53"), is_node));
    }

    #[test]
    fn what_leads_elsewhere_goes() {
        let suspects = dns(&["10.244.1.5:53"]);
        for (asked, answers) in [
            ("10.96.0.10:53", "10.244.9.9:53"),
            ("10.96.0.10:53", "10.244.1.5:54"),
            ("10.96.0.10:53", "10.96.0.10:53"),
            ("192.0.2.10:30053", "10.244.9.9:53"),
        ] {
            assert!(
                suspects.is_stale(&flow(asked, answers), is_node),
                "{asked} {answers}"
            );
        }
    }

    #[test]
    fn without_endpoints_only_translated_connections_go() {
        let suspects = dns(&[]);
        assert!(suspects.is_stale(&flow("10.96.0.10:53", "10.244.1.5:53"), is_node));
        assert!(!suspects.is_stale(&flow("10.96.0.10:53", "10.96.0.10:53"), is_node));
    }

    #[test]
    fn what_has_nothing_to_do_with_it_stays() {
        let suspects = dns(&["10.244.1.5:53"]);
        for (asked, answers) in [
            ("10.96.0.11:53", "10.244.9.9:53"),
            ("10.96.0.10:54", "10.244.9.9:53"),
            ("198.51.100.7:30053", "198.51.100.7:30053"),
        ] {
            assert!(
                !suspects.is_stale(&flow(asked, answers), is_node),
                "{asked} {answers}"
            );
        }
        let tcp = Flow {
            protocol: Protocol::Tcp,
            ..flow("10.96.0.10:53", "10.244.9.9:53")
        };
        assert!(!suspects.is_stale(&tcp, is_node));
    }
}
