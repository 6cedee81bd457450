//! Writes Services, slices and nodes in one line, and tells them to a model.
//!
//! The node under test is [`HERE`], in zone `a`. An endpoint is written as its address and what
//! there is to say of it: `"10.1.0.1 here terminating zone=a,b"`.

// Every test binary has its own copy and uses a part of it.
#![allow(dead_code, unused_imports)]

mod words;

use fairlead_core::address::{Family, Protocol};
use fairlead_core::api::{
    AddressType, Change, Endpoint, EndpointSlice, Ingress, IpMode, Kind, Node, NodeAddress,
    NodeAddressKind, ObjectName, Service, ServiceCidr, ServicePort, ServiceType, SessionAffinity,
    SlicePort, TrafficPolicy,
};
use fairlead_core::model::{self, Model, Problem};
use fairlead_core::route::Routes;
use fairlead_core::settings::Settings;

use Protocol::Tcp;
pub(crate) use words::{addresses, route_of, texts, words};

/// The node under test.
pub(crate) const HERE: &str = "node-a";
/// Another node.
pub(crate) const ELSEWHERE: &str = "node-b";

/// A name in the namespace that everything here is in unless it says otherwise.
pub(crate) fn name(name: &str) -> ObjectName {
    match name.split_once('/') {
        Some((namespace, name)) => ObjectName::new(namespace, name),
        None => ObjectName::new("ns", name),
    }
}

/// A Service of type ClusterIP without ports. Empty ip: no cluster IP.
pub(crate) fn service(service: &str, cluster_ip: &str) -> ServiceText {
    ServiceText(Service {
        name: name(service),
        created: None,
        other_proxy: false,
        scheduler: None,
        kind: ServiceType::ClusterIp,
        cluster_ip: cluster_ip.into(),
        cluster_ips: vec![cluster_ip.into()],
        ip_families: Vec::new(),
        external_ips: Vec::new(),
        ingress: Vec::new(),
        source_ranges: Vec::new(),
        external_policy: TrafficPolicy::Cluster,
        internal_policy: TrafficPolicy::Cluster,
        affinity: SessionAffinity::None,
        health_check_node_port: 0,
        ports: Vec::new(),
    })
}

/// A Service being written.
#[derive(Debug, Clone)]
pub(crate) struct ServiceText(pub(crate) Service);

impl ServiceText {
    /// An unnamed TCP port.
    pub(crate) fn tcp(self, port: i32) -> Self {
        self.port("", Tcp, port)
    }

    pub(crate) fn port(mut self, name: &str, protocol: Protocol, port: i32) -> Self {
        self.0.ports.push(ServicePort {
            name: name.into(),
            protocol,
            port,
            node_port: 0,
        });
        self
    }

    /// The node port of the last port. A ClusterIP Service becomes a NodePort one by it.
    pub(crate) fn node_port(mut self, number: i32) -> Self {
        self.0.ports.last_mut().unwrap().node_port = number;
        if self.0.kind == ServiceType::ClusterIp {
            self.0.kind = ServiceType::NodePort;
        }
        self
    }

    pub(crate) fn external(mut self, ip: &str) -> Self {
        self.0.external_ips.push(ip.into());
        self
    }

    /// An address a load balancer delivers to; the Service becomes a LoadBalancer one by it.
    pub(crate) fn balanced(self, ip: &str) -> Self {
        self.ingress(ip, IpMode::Vip)
    }

    pub(crate) fn ingress(mut self, ip: &str, mode: IpMode) -> Self {
        let ip = ip.into();
        self.0.ingress.push(Ingress { ip, mode });
        self.kind(ServiceType::LoadBalancer)
    }

    pub(crate) fn ranges(mut self, ranges: &[&str]) -> Self {
        self.0.source_ranges = strings(ranges);
        self
    }

    pub(crate) fn kind(mut self, kind: ServiceType) -> Self {
        self.0.kind = kind;
        self
    }

    pub(crate) fn internal_local(mut self) -> Self {
        self.0.internal_policy = TrafficPolicy::Local;
        self
    }

    pub(crate) fn external_local(mut self) -> Self {
        self.0.external_policy = TrafficPolicy::Local;
        self
    }

    pub(crate) fn health_check(mut self, port: i32) -> Self {
        self.0.health_check_node_port = port;
        self
    }

    pub(crate) fn sticky(mut self, timeout_seconds: Option<i32>) -> Self {
        self.0.affinity = SessionAffinity::ClientIp { timeout_seconds };
        self
    }

    /// The annotation `fairlead.dev/scheduler`.
    pub(crate) fn scheduler(mut self, text: &str) -> Self {
        self.0.scheduler = Some(text.to_owned());
        self
    }

    pub(crate) fn created(mut self, seconds: i64) -> Self {
        self.0.created = Some(seconds);
        self
    }

    /// `spec.ipFamilies` and `spec.clusterIPs`.
    pub(crate) fn families(mut self, families: &[Family], cluster_ips: &[&str]) -> Self {
        self.0.ip_families = families.to_vec();
        self.0.cluster_ips = strings(cluster_ips);
        self
    }
}

impl From<ServiceText> for Change {
    fn from(text: ServiceText) -> Change {
        Change::Service(text.0)
    }
}

/// A slice of a Service without ports, IPv4 until it gets an IPv6 endpoint.
pub(crate) fn slice(slice: &str, service: &str) -> SliceText {
    SliceText(EndpointSlice {
        name: name(slice),
        service: Some(service.into()),
        headless: false,
        address_type: AddressType::Ipv4,
        endpoints: Vec::new(),
        ports: Vec::new(),
        triggered: None,
    })
}

/// A slice being written.
#[derive(Debug, Clone)]
pub(crate) struct SliceText(pub(crate) EndpointSlice);

impl SliceText {
    /// An unnamed TCP port.
    pub(crate) fn tcp(self, port: i32) -> Self {
        self.port("", Tcp, port)
    }

    pub(crate) fn port(self, name: &str, protocol: Protocol, port: i32) -> Self {
        self.raw_port(Some(name), protocol, Some(port))
    }

    pub(crate) fn raw_port(
        mut self,
        name: Option<&str>,
        protocol: Protocol,
        port: Option<i32>,
    ) -> Self {
        self.0.ports.push(SlicePort {
            name: name.map(str::to_owned),
            protocol,
            port,
        });
        self
    }

    /// Adds endpoints, see [`endpoint`].
    pub(crate) fn endpoints(mut self, texts: &[&str]) -> Self {
        self.0.endpoints.extend(texts.iter().map(|t| endpoint(t)));
        if texts.iter().any(|text| text.contains(':')) {
            self.0.address_type = AddressType::Ipv6;
        }
        self
    }

    pub(crate) fn headless(mut self) -> Self {
        self.0.headless = true;
        self
    }

    /// When the change that led to it happened, in nanoseconds since 1970.
    pub(crate) fn triggered(mut self, time: i128) -> Self {
        self.0.triggered = Some(time);
        self
    }

    pub(crate) fn of_type(mut self, address_type: AddressType) -> Self {
        self.0.address_type = address_type;
        self
    }

    /// The label that says whose it is.
    pub(crate) fn of_service(mut self, service: Option<&str>) -> Self {
        self.0.service = service.map(str::to_owned);
        self
    }
}

impl From<SliceText> for Change {
    fn from(text: SliceText) -> Change {
        Change::EndpointSlice(text.0)
    }
}

/// An endpoint: its address, then any of
/// `here`, `elsewhere`: on which node;
/// `unready`: neither ready nor serving;
/// `failing`: serving, but not ready;
/// `terminating`: serving on while it terminates;
/// `dying`: terminating and serving no more;
/// `published`: terminating and called ready nevertheless;
/// `zone=a,b` and `node=a,b`: hints.
/// Without a condition all three are absent.
pub(crate) fn endpoint(text: &str) -> Endpoint {
    let mut words = text.split_whitespace();
    let mut endpoint = Endpoint {
        addresses: words.next().map(str::to_owned).into_iter().collect(),
        ..Endpoint::default()
    };
    let mut conditions = |ready, serving, terminating| {
        endpoint.ready = Some(ready);
        endpoint.serving = Some(serving);
        endpoint.terminating = Some(terminating);
    };
    let list = |names: &str| names.split(',').map(str::to_owned).collect();
    for word in words {
        match word.split_once('=').unwrap_or((word, "")) {
            ("here", _) => endpoint.node_name = Some(HERE.into()),
            ("elsewhere", _) => endpoint.node_name = Some(ELSEWHERE.into()),
            ("unready", _) => conditions(false, false, false),
            ("failing", _) => conditions(false, true, false),
            ("terminating", _) => conditions(false, true, true),
            ("dying", _) => conditions(false, false, true),
            ("published", _) => conditions(true, true, true),
            ("zone", names) => endpoint.zone_hints = list(names),
            ("node", names) => endpoint.node_hints = list(names),
            _ => panic!("{word:?} says nothing of an endpoint"),
        }
    }
    endpoint
}

/// The node [`HERE`] in zone `a`, with these internal addresses.
pub(crate) fn node(internal: &[&str]) -> Node {
    Node {
        name: HERE.into(),
        zone: Some("a".into()),
        addresses: internal
            .iter()
            .map(|ip| address(NodeAddressKind::InternalIp, ip))
            .collect(),
        ..Node::default()
    }
}

pub(crate) fn address(kind: NodeAddressKind, ip: &str) -> NodeAddress {
    NodeAddress {
        kind,
        address: ip.into(),
    }
}

pub(crate) fn service_cidr(name: &str, cidrs: &[&str]) -> Change {
    Change::ServiceCidr(ServiceCidr {
        name: name.into(),
        cidrs: strings(cidrs),
    })
}

pub(crate) fn deleted(kind: Kind, object: &str) -> Change {
    Change::Deleted(kind, name(object))
}

/// A model of the node [`HERE`] in which nothing tells local pods.
pub(crate) fn cluster() -> Cluster {
    cluster_with(Settings::default())
}

/// A model of the node [`HERE`] with other settings.
pub(crate) fn cluster_with(settings: Settings) -> Cluster {
    Cluster(Model::new(Settings {
        node_name: HERE.into(),
        ..settings
    }))
}

/// A cluster with the Service `web`, port 80, and no endpoints yet.
pub(crate) fn with_web() -> Cluster {
    cluster().with(service("web", "10.96.0.1").tcp(80))
}

/// A slice of `web` with one endpoint, 10.1.0.1 port 8080.
pub(crate) fn web_1() -> SliceText {
    slice("web-1", "web").tcp(8080).endpoints(&["10.1.0.1"])
}

/// A model being told things.
pub(crate) struct Cluster(pub(crate) Model);

impl Cluster {
    /// Tells the model one thing more.
    pub(crate) fn with(mut self, change: impl Into<Change>) -> Self {
        self.tell(change);
        self
    }

    /// Tells the model one thing more and returns what it complains about.
    pub(crate) fn tell(&mut self, change: impl Into<Change>) -> Vec<Problem> {
        self.0.apply(change.into())
    }

    pub(crate) fn routes(&self, service: &str) -> Vec<(Family, Routes)> {
        self.0.routes(&name(service))
    }

    /// The routes of a Service that has one port in one family.
    pub(crate) fn only(&self, service: &str) -> Routes {
        let mut routes = self.routes(service);
        assert_eq!(routes.len(), 1, "one port was expected: {routes:#?}");
        routes.remove(0).1
    }

    /// Where connections to a Service with one port can go.
    pub(crate) fn pool(&self, service: &str) -> Vec<String> {
        texts(self.only(service).cluster)
    }

    /// The Services that have ports, sorted.
    pub(crate) fn proxied(&self) -> Vec<String> {
        let mut names = texts(self.0.services());
        names.sort();
        names
    }

    pub(crate) fn ports(&self, service: &str) -> &[model::ServicePort] {
        self.0.ports(&name(service))
    }

    /// The Services touched since the last call.
    pub(crate) fn take_dirty(&mut self) -> Vec<String> {
        texts(self.0.take_dirty())
    }
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}
