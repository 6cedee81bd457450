//! What to ask about a set of objects: every address of every Service, from every kind of client.
//!
//! The names of the questions are the keys of the recorded outcomes:
//! `namespace/service port client -> kind [address]:port`.

use std::collections::{BTreeSet, HashMap};
use std::fmt::{self, Display};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use fairlead_core::address::{AddressError, Family, Protocol, parse_ip};
use fairlead_core::api::{Change, ObjectName, Service, ServicePort, SessionAffinity};

use crate::client::Client;
use crate::network;
use crate::outcome::Outcome;
use crate::probe::Series;

/// How often a question is asked.
const TRIES: usize = 40;

/// How often for each endpoint, where there are many: each is then missed by chance about once in
/// 160,000 times (e^-12).
const TRIES_PER_ENDPOINT: usize = 12;

/// Up to so many endpoints [`TRIES`] is enough.
const FEW_ENDPOINTS: usize = 5;

/// The API server's own Service, whose endpoint no lab has.
const API_SERVER: &str = "default/kubernetes";

/// A question: whom does this client meet at this address?
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Its name in the record.
    pub name: String,
    /// The Service it is about.
    pub service: ObjectName,
    /// Who asks.
    pub client: Client,
    /// Over which protocol.
    pub protocol: Protocol,
    /// Where.
    pub to: SocketAddr,
    /// How often.
    pub tries: usize,
    /// The Service has session affinity: whom the client meets is chance, that it meets the same
    /// one again is not.
    pub sticky: bool,
}

impl Question {
    /// What to record of its answer.
    pub fn outcome(&self, series: &Series) -> Outcome {
        let mut outcome = series.outcome();
        if self.client == Client::Node {
            // Which of its own addresses the node uses says nothing.
            outcome.source.clear();
        }
        if self.sticky {
            outcome.endpoints = BTreeSet::from([format!("{} sticky", outcome.endpoints.len())]);
            outcome.source = outcome.source.into_iter().take(1).collect();
        }
        outcome
    }
}

/// The kinds of address that a Service has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    ClusterIp,
    ExternalIp,
    LoadBalancer,
    NodePort,
    /// A node port on the node's loopback address.
    Localhost,
}

impl Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::ClusterIp => "clusterIP",
            Kind::ExternalIp => "externalIP",
            Kind::LoadBalancer => "loadBalancer",
            Kind::NodePort => "nodePort",
            Kind::Localhost => "localhost",
        })
    }
}

/// An address to ask, as its object has it.
struct Target {
    kind: Kind,
    address: String,
    port: i32,
}

/// Everything worth asking about these objects. SCTP is left out: few kernels have it.
pub fn questions(objects: &[Change]) -> Result<Vec<Question>, AddressError> {
    let endpoints = endpoints(objects)?;
    let mut questions = Vec::new();
    for object in objects {
        let Change::Service(service) = object else {
            continue;
        };
        if service.name.to_string() == API_SERVER {
            continue;
        }
        let endpoints = endpoints.get(&service.name).map_or(&[][..], Vec::as_slice);
        for port in service
            .ports
            .iter()
            .filter(|port| port.protocol != Protocol::Sctp)
        {
            for target in targets(service, port) {
                questions.extend(about(service, port, &target, endpoints)?);
            }
        }
    }
    Ok(questions)
}

/// The endpoints of each Service, ready or not, as often as its slices name them.
fn endpoints(objects: &[Change]) -> Result<HashMap<ObjectName, Vec<IpAddr>>, AddressError> {
    let mut endpoints: HashMap<ObjectName, Vec<IpAddr>> = HashMap::new();
    for object in objects {
        let Change::EndpointSlice(slice) = object else {
            continue;
        };
        let Some(service) = &slice.service else {
            continue;
        };
        let of_service = endpoints
            .entry(ObjectName::new(&slice.name.namespace, service))
            .or_default();
        for address in slice
            .endpoints
            .iter()
            .flat_map(|endpoint| &endpoint.addresses)
        {
            of_service.push(parse_ip(address)?);
        }
    }
    Ok(endpoints)
}

fn targets(service: &Service, port: &ServicePort) -> Vec<Target> {
    let cluster_ips = cluster_ips(service);
    let external_ips = service.external_ips.iter().map(String::as_str);
    let ingress = service.ingress.iter().map(|ingress| ingress.ip.as_str());
    let ingress = ingress.filter(|ip| !ip.is_empty());

    let at = |kind| {
        move |address: &str| Target {
            kind,
            address: address.to_owned(),
            port: port.port,
        }
    };
    let mut targets: Vec<Target> = cluster_ips
        .iter()
        .copied()
        .map(at(Kind::ClusterIp))
        .collect();
    targets.extend(external_ips.map(at(Kind::ExternalIp)));
    targets.extend(ingress.map(at(Kind::LoadBalancer)));
    if port.node_port != 0 {
        targets.extend(node_targets(&cluster_ips, port.node_port));
    }
    targets
}

/// The node's own addresses of the families that the Service has.
fn node_targets(cluster_ips: &[&str], port: i32) -> Vec<Target> {
    let at = |kind, address: IpAddr| Target {
        kind,
        address: address.to_string(),
        port,
    };
    let mut targets = Vec::new();
    if cluster_ips.iter().any(|ip| !ip.contains(':')) {
        targets.push(at(Kind::NodePort, network::NODE_V4.into()));
        targets.push(at(Kind::Localhost, Ipv4Addr::LOCALHOST.into()));
    }
    if cluster_ips.iter().any(|ip| ip.contains(':')) {
        targets.push(at(Kind::NodePort, network::NODE_V6.into()));
    }
    targets
}

/// The cluster IPs; none of a headless Service.
fn cluster_ips(service: &Service) -> Vec<&str> {
    let all = match service.cluster_ips.as_slice() {
        [] => std::slice::from_ref(&service.cluster_ip),
        all => all,
    };
    all.iter()
        .map(String::as_str)
        .filter(|ip| !matches!(*ip, "" | "None"))
        .collect()
}

fn about(
    service: &Service,
    port: &ServicePort,
    target: &Target,
    endpoints: &[IpAddr],
) -> Result<Vec<Question>, AddressError> {
    let address = parse_ip(&target.address)?;
    let Ok(number) = u16::try_from(target.port) else {
        return Ok(Vec::new());
    };
    let tries = match endpoints.len() {
        few if few <= FEW_ENDPOINTS => TRIES,
        many => many * TRIES_PER_ENDPOINT,
    };
    let question = |client: Client| Question {
        name: format!(
            "{} {} {client} -> {} [{}]:{}",
            service.name, port.name, target.kind, target.address, target.port
        ),
        service: service.name.clone(),
        client,
        protocol: port.protocol,
        to: SocketAddr::new(address, number),
        tries,
        sticky: service.affinity != SessionAffinity::None,
    };
    Ok(clients(target.kind, Family::of(address), endpoints)
        .into_iter()
        .map(question)
        .collect())
}

/// Who can ask at an address of this kind.
fn clients(kind: Kind, family: Family, endpoints: &[IpAddr]) -> Vec<Client> {
    if kind == Kind::Localhost {
        return vec![Client::Node];
    }
    let mut clients = vec![
        Client::Pod,
        Client::Node,
        Client::Outside,
        Client::OutsideAllowed,
    ];
    let mut of_family = endpoints
        .iter()
        .filter(|endpoint| Family::of(**endpoint) == family);
    if let (Some(&only), None) = (of_family.next(), of_family.next())
        && network::is_local_pod(only)
    {
        clients.push(Client::Hairpin(only));
    }
    clients
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{Failure, Source};
    use std::collections::BTreeMap;

    fn question(client: Client, sticky: bool) -> Question {
        Question {
            name: "default/web http pod -> clusterIP [10.96.0.1]:80".to_owned(),
            service: ObjectName::new("default", "web"),
            client,
            protocol: Protocol::Tcp,
            to: "10.96.0.1:80".parse().unwrap(),
            tries: TRIES,
            sticky,
        }
    }

    #[test]
    fn what_is_chance_is_not_recorded() {
        let series = Series {
            by_endpoint: BTreeMap::from([
                ("10.244.1.130:8080".parse().unwrap(), 1),
                ("10.244.1.131:8080".parse().unwrap(), 2),
            ]),
            kept: 1,
            masqueraded: 2,
            errors: BTreeMap::from([(Failure::Timeout, 1)]),
        };
        let of_node = question(Client::Node, false).outcome(&series);
        assert_eq!(of_node.source, BTreeSet::new());
        assert_eq!(of_node.endpoints.len(), 2);
        let sticky = question(Client::Pod, true).outcome(&series);
        assert_eq!(sticky.endpoints, BTreeSet::from(["2 sticky".to_owned()]));
        assert_eq!(sticky.source, BTreeSet::from([Source::Kept]));
    }

    #[test]
    fn a_hairpin_needs_an_only_endpoint_of_the_family_on_the_node() {
        let [local, other, remote, six]: [IpAddr; 4] = [
            "10.244.1.130",
            "10.244.1.131",
            "10.244.2.5",
            "fd00:10:244:1:8000::1",
        ]
        .map(|address| address.parse().unwrap());
        let hairpin = |endpoints: &[IpAddr]| {
            clients(Kind::ClusterIp, Family::V4, endpoints)
                .into_iter()
                .find(|client| matches!(client, Client::Hairpin(_)))
        };
        assert_eq!(hairpin(&[local]), Some(Client::Hairpin(local)));
        assert_eq!(hairpin(&[local, six]), Some(Client::Hairpin(local)));
        for endpoints in [&[][..], &[remote], &[six], &[local, other], &[local, local]] {
            assert_eq!(hairpin(endpoints), None, "{endpoints:?}");
        }
        assert_eq!(
            clients(Kind::Localhost, Family::V4, &[local]),
            [Client::Node]
        );
    }
}
