//! A node whose kernel is a fake that fails when it is told to.

use std::cell::Cell;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use fairlead_backends::engine::Engine;
use fairlead_backends::nftables::Nftables;
use fairlead_core::address::{Family, Protocol};
use fairlead_core::api::{
    AddressType, Change, Endpoint, EndpointSlice, ObjectName, Service, ServicePort, ServiceType,
    SessionAffinity, SlicePort, TrafficPolicy,
};
use fairlead_core::model::Model;
use fairlead_core::settings::Settings;
use fairlead_kernel::fault::{Call, Fault, Faulty};
use fairlead_kernel::nft::fake::FakeNft;
use nix::errno::Errno;

use super::super::Metrics;
use super::exposition::parse;
use crate::config::Mode;

type Faults = Box<dyn FnMut(Call) -> Option<Fault>>;

/// What the loop owns, in small.
pub(super) struct Node {
    pub(super) model: Model,
    pub(super) metrics: Metrics,
    engine: Engine<Nftables, Faulty<FakeNft, Faults>>,
    failing: Rc<Cell<bool>>,
}

impl Node {
    pub(super) fn new() -> Node {
        Node::in_mode(Mode::Nftables)
    }

    /// With the metrics of a mode.
    pub(super) fn in_mode(mode: Mode) -> Node {
        let failing = Rc::new(Cell::new(false));
        let fails = Rc::clone(&failing);
        let fault = move |call| {
            let fails = fails.get() && matches!(call, Call::Commit);
            fails.then_some(Fault::Before(Errno::EBUSY as i32))
        };
        let faults: Faults = Box::new(fault);
        let settings = Settings {
            node_name: "here".to_owned(),
            ..Settings::default()
        };
        Node {
            model: Model::new(settings),
            metrics: Metrics::new(mode, &Family::BOTH).unwrap(),
            engine: Engine::new(Nftables, Faulty::new(FakeNft::new(), faults), &Family::BOTH),
            failing,
        }
    }

    pub(super) fn tell(&mut self, change: impl Into<Change>) {
        assert_eq!(self.model.apply(change.into()), []);
        self.metrics.told(&self.model);
    }

    pub(super) fn fail(&mut self, failing: bool) {
        self.failing.set(failing);
    }

    pub(super) fn queue_and_sync(&mut self) {
        self.metrics.queued();
        self.sync(true);
    }

    /// As the loop does it.
    pub(super) fn sync(&mut self, asked_for: bool) {
        let host: [IpAddr; 1] = [[192, 0, 2, 10].into()];
        let full = self.engine.next_is_full();
        let took = Duration::from_millis(3);
        match self.engine.sync(&mut self.model, &host, Instant::now()) {
            Ok(synced) => {
                let triggers = self.model.settle();
                self.metrics.synced(&synced.report, took, &triggers);
                self.metrics.told(&self.model);
            }
            Err(_) => self.metrics.failed(full, asked_for, took),
        }
    }

    /// The kernel.
    pub(super) fn kernel(&mut self) -> &mut FakeNft {
        self.engine.kernel().handle_mut()
    }

    /// Has what the kernel has counted by now told, of so many Services at most.
    pub(super) fn count_traffic(&mut self, services: usize) {
        let kernel = self.kernel().clone();
        let registered = self.metrics.traffic(kernel, &Family::BOTH, services);
        registered.unwrap();
    }

    /// The value of one sample of a metric.
    pub(super) fn value(&self, name: &str, series: &str) -> f64 {
        let metrics = parse(&self.metrics.text().unwrap());
        let metric = metrics
            .get(name)
            .unwrap_or_else(|| panic!("{name} is missing"));
        let value = metric.samples.get(series);
        *value.unwrap_or_else(|| panic!("{name} has no {series:?}: {:#?}", metric.samples))
    }
}

/// A Service `ns/NAME` with both policies Local or none.
pub(super) fn service(name: &str, cluster_ip: &str, local: bool) -> Change {
    let policy = match local {
        true => TrafficPolicy::Local,
        false => TrafficPolicy::Cluster,
    };
    Change::Service(Service {
        name: ObjectName::new("ns", name),
        created: None,
        other_proxy: false,
        scheduler: None,
        kind: ServiceType::NodePort,
        cluster_ip: cluster_ip.into(),
        cluster_ips: vec![cluster_ip.into()],
        ip_families: Vec::new(),
        external_ips: Vec::new(),
        ingress: Vec::new(),
        source_ranges: Vec::new(),
        external_policy: policy,
        internal_policy: policy,
        affinity: SessionAffinity::None,
        health_check_node_port: 0,
        ports: vec![ServicePort {
            name: String::new(),
            protocol: Protocol::Tcp,
            port: 80,
            node_port: 0,
        }],
    })
}

/// The slice `ns/NAME` of the Service of that name, with endpoints on a node.
pub(super) fn slice(name: &str, on: &str, addresses: &[&str], triggered: Option<i128>) -> Change {
    let endpoint = |address: &&str| Endpoint {
        addresses: vec![(*address).to_owned()],
        node_name: Some(on.into()),
        ..Endpoint::default()
    };
    Change::EndpointSlice(EndpointSlice {
        name: ObjectName::new("ns", name),
        service: Some(name.to_owned()),
        headless: false,
        address_type: AddressType::Ipv4,
        endpoints: addresses.iter().map(endpoint).collect(),
        ports: vec![SlicePort {
            name: Some(String::new()),
            protocol: Protocol::Tcp,
            port: Some(8080),
        }],
        triggered,
    })
}
