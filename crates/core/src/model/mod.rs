//! What the cluster has said so far, given meaning, kept by Service.
//!
//! A [`Model`] takes [`Change`](crate::api::Change)s and remembers which Services they touch. It is never consumed:
//! a failed sync can ask again. Everything is kept parsed; the text of the objects is gone.

mod census;
mod changes;
mod claims;
mod endpoints;
mod node;
mod problem;
mod progress;
mod service_port;

use std::collections::{BTreeMap, BTreeSet, HashMap};

pub use census::Census;
pub(crate) use claims::destinations;
pub use claims::{Destination, DestinationKind};
pub use endpoints::Endpoint;
pub use node::NodeView;
pub use problem::Problem;
pub use progress::{Progress, Told};
pub use service_port::{ServicePort, ServicePortName};

use crate::address::Family;
use crate::api::{self, Kind, ObjectName};
use crate::report::Unmet;
use crate::route::{self, Routes, Target};
use crate::settings::Settings;
use claims::Claims;
use endpoints::Slices;
use node::NodeLife;

/// Services, endpoints and this node, as the changes so far describe them.
#[derive(Debug, Default)]
pub struct Model {
    settings: Settings,
    services: HashMap<ObjectName, Entry>,
    /// Which Service a slice was last said to belong to.
    slice_owner: HashMap<ObjectName, ObjectName>,
    claims: Claims,
    node: NodeView,
    /// `None` until the Node object was seen.
    node_life: Option<NodeLife>,
    service_cidrs: BTreeMap<String, Vec<String>>,
    synced: BTreeSet<Kind>,
    dirty: BTreeSet<ObjectName>,
    /// Whether something changed that belongs to no Service.
    reframed: bool,
    census: Census,
    progress: Progress,
    /// What is wrong with the scheduler that a Service asks for.
    unheeded: BTreeMap<ObjectName, Unmet>,
}

/// What is known of one Service: it may have endpoints before it exists.
#[derive(Debug, Default)]
struct Entry {
    created: Option<i64>,
    ports: Box<[ServicePort]>,
    slices: Slices,
}

impl Model {
    /// A model for the node that the settings name.
    pub fn new(settings: Settings) -> Model {
        let node = NodeView {
            ips: settings.node_ip.into_iter().collect(),
            ..NodeView::default()
        };
        Model {
            settings,
            node,
            ..Model::default()
        }
    }

    /// Whether enough is known to program anything: Services and slices were told completely.
    pub fn is_complete(&self) -> bool {
        self.missing().next().is_none()
    }

    /// What was not told completely yet, of what must be before anything is programmed.
    pub fn missing(&self) -> impl Iterator<Item = Kind> {
        let needed = [Kind::Service, Kind::EndpointSlice].into_iter();
        needed.filter(|kind| !self.synced.contains(kind))
    }

    /// Whether any kind of object was told completely.
    pub fn heard_anything(&self) -> bool {
        !self.synced.is_empty()
    }

    /// Whether a sync would have something to do. Much of what is told changes nothing here.
    pub fn has_changed(&self) -> bool {
        self.reframed || !self.dirty.is_empty()
    }

    /// The Services that changes touched since the last call, sorted.
    pub fn take_dirty(&mut self) -> BTreeSet<ObjectName> {
        self.reframed = false;
        std::mem::take(&mut self.dirty)
    }

    /// The names of all Services that have ports here, in no order.
    pub fn services(&self) -> impl Iterator<Item = &ObjectName> {
        self.services
            .iter()
            .filter(|(_, entry)| !entry.ports.is_empty())
            .map(|(name, _)| name)
    }

    /// What this node is.
    pub fn node(&self) -> &NodeView {
        &self.node
    }

    /// Whether this node's Node object was ever seen. It counts as known when it is gone again.
    pub fn node_is_known(&self) -> bool {
        self.node_life.is_some()
    }

    /// Whether load balancers may send new connections to this node: its Node object is known,
    /// is not being deleted, and the cluster autoscaler is not about to remove the node.
    pub fn node_is_eligible(&self) -> bool {
        self.node_life.as_ref().is_some_and(NodeLife::is_eligible)
    }

    /// The taints of this node's Node object; none while it is not known.
    pub fn node_taints(&self) -> &[api::Taint] {
        self.node_life.as_ref().map_or(&[], |life| &life.taints)
    }

    /// The settings in effect.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Settings that are different now. The parts that objects were read with stay as they were:
    /// the node's name and its address, whether external IPs are served, and whether Services may
    /// choose a scheduler.
    pub fn set_settings(&mut self, settings: Settings) {
        let settings = Settings {
            node_name: self.settings.node_name.clone(),
            node_ip: self.settings.node_ip,
            external_ips: self.settings.external_ips,
            scheduling_by_service: self.settings.scheduling_by_service,
            ..settings
        };
        if settings != self.settings {
            self.settings = settings;
            self.dirty.extend(self.services.keys().cloned());
            self.reframed = true;
        }
    }

    /// The networks that cluster IPs of a family are allocated from, as few as can say it, sorted.
    pub fn service_cidrs(&self, family: Family) -> Vec<ipnet::IpNet> {
        let texts = self.service_cidrs.values().flatten();
        let nets = texts.filter_map(|text| crate::address::parse_net(text).ok());
        ipnet::IpNet::aggregate(&nets.filter(|net| Family::of_net(*net) == family).collect())
    }

    /// The ports of a Service, in both families. Empty when the Service is gone.
    pub fn ports(&self, service: &ObjectName) -> &[ServicePort] {
        self.services.get(service).map_or(&[], |entry| &entry.ports)
    }

    /// The Services that ask for a scheduler that there is not, and what is wrong with it.
    pub fn unheeded(&self) -> &BTreeMap<ObjectName, Unmet> {
        &self.unheeded
    }

    /// How many destinations Services claim that others have, each as often as it is claimed.
    pub fn contested(&self) -> usize {
        self.claims.lost()
    }

    /// On how many addresses of a family this node has ready endpoints of a Service: what a load
    /// balancer that asks its health check node port is told.
    pub fn local_ready_endpoints(&self, service: &ObjectName, family: Family) -> usize {
        let Some(entry) = self.services.get(service) else {
            return 0;
        };
        let ports = entry.ports.iter().filter(|port| port.family == family);
        let endpoints = ports.flat_map(|port| endpoints::merge(entry.slices.iter(), port));
        let here = endpoints.filter(|e| e.is_ready() && e.is_local());
        here.map(|e| e.address).collect::<BTreeSet<_>>().len()
    }

    /// Decides for every port of a Service in both families. Empty when the Service is gone.
    pub fn routes(&self, service: &ObjectName) -> Vec<(Family, Routes)> {
        let Some(entry) = self.services.get(service) else {
            return Vec::new();
        };
        entry
            .ports
            .iter()
            .map(|port| (port.family, self.route_port(port, entry)))
            .collect()
    }

    /// For each port of a Service what may still hold connections: everything it can be reached
    /// by, but for what another Service has, and all endpoints that serve, wherever they are and
    /// whether or not they are ready.
    pub fn serving(&self, service: &ObjectName) -> Vec<(Vec<Destination>, Vec<Target>)> {
        let Some(entry) = self.services.get(service) else {
            return Vec::new();
        };
        let serving = |port: &ServicePort| {
            let destinations = destinations(port)
                .into_iter()
                .map(|(destination, _)| destination)
                .filter(|destination| self.claims.grant(*destination, port));
            let endpoints = endpoints::merge(entry.slices.iter(), port);
            let targets = endpoints
                .iter()
                .filter(|e| e.is_serving())
                .map(Endpoint::target);
            (destinations.collect(), targets.collect())
        };
        entry.ports.iter().map(serving).collect()
    }

    fn route_port(&self, port: &ServicePort, entry: &Entry) -> Routes {
        let endpoints = endpoints::merge(entry.slices.iter(), port);
        let context = route::Context {
            zone: self.node.zone.as_deref(),
            detects_local: self.settings.detector(port.family, &self.node).is_some(),
            masquerade_all: self.settings.masquerade_all,
            node_ip: self.node.ip(port.family),
        };
        let mut routes = route::route(port, &endpoints, &context);
        self.claims.yield_contested(port, &mut routes);
        routes
    }
}
