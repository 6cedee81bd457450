//! How long the parts of a sync take: from manifests to the kernel's last acknowledgement.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};

use fairlead_backends::engine::{Engine, Kernel, Mode};
use fairlead_backends::nftables::Nftables;
use fairlead_core::address::Family;
use fairlead_core::api::{Change, EndpointSlice, Kind, ObjectName, Service, TrafficPolicy};
use fairlead_core::model::Model;
use fairlead_core::report::Report;
use fairlead_core::settings::{DetectLocal, Settings};
use fairlead_kernel::nft::socket::NftSocket;
use fairlead_source::manifests::Manifests;

use crate::cluster;

/// How many changes of each kind are timed.
pub(crate) const CHANGES: u32 = 200;

/// From manifests to the last element acknowledged, with nothing installed before.
#[derive(Debug, Clone)]
pub(crate) struct ColdStart {
    pub(crate) read: Duration,
    pub(crate) model: Duration,
    pub(crate) report: Report,
}

impl ColdStart {
    pub(crate) fn total(&self) -> Duration {
        let stages = self.report.stages;
        self.read + self.model + stages.observe + stages.render + stages.plan + stages.apply
    }
}

/// Changes of one kind, one at a time, each from the [`Change`] to the kernel's acknowledgement.
#[derive(Debug)]
pub(crate) struct Series {
    /// How long each took, the shortest first.
    pub(crate) durations: Vec<Duration>,
    /// The most operations that one of them needed.
    pub(crate) operations: usize,
    /// The most messages that one of them was sent in.
    pub(crate) messages: usize,
    /// The most bytes that one of them was sent in.
    pub(crate) bytes: usize,
}

impl Series {
    /// The duration that a share of the changes did not exceed.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let last = self.durations.len().saturating_sub(1);
        self.durations
            .get(last * percent / 100)
            .copied()
            .unwrap_or_default()
    }
}

/// A node whose rules are in place.
pub(crate) struct Node<M: Mode, K> {
    model: Model,
    engine: Engine<M, K>,
    open: Open<M, K>,
    host: [IpAddr; 1],
    /// One Service in so many, with its slice.
    sample: Vec<(Service, EndpointSlice)>,
}

/// Opens an engine that knows nothing yet of what is installed.
pub(crate) type Open<M, K> = fn() -> anyhow::Result<Engine<M, K>>;

impl<M: Mode, K: Kernel<M>> Node<M, K> {
    /// Starts with nothing but manifests. The namespace is that of the calling thread.
    pub(crate) fn start(
        manifests: &Path,
        open: Open<M, K>,
    ) -> anyhow::Result<(Node<M, K>, ColdStart)> {
        let (changes, read) = read(manifests)?;
        let sample = sample(&changes);
        let mut node = Node {
            model: Model::new(settings()?),
            engine: open()?,
            open,
            host: [cluster::NODE_IP.into()],
            sample,
        };
        let ((), model) = timed(|| changes.into_iter().try_for_each(|change| node.take(change)))?;
        let report = node.sync()?;
        let cold = ColdStart {
            read,
            model,
            report,
        };
        Ok((node, cold))
    }

    /// Has traffic counted, or not.
    pub(crate) fn count(&mut self, counted: bool) -> anyhow::Result<()> {
        let settings = Settings {
            traffic_counters: counted,
            ..settings()?
        };
        self.model.set_settings(settings);
        self.sync().map(drop)
    }

    /// How long it takes to apply everything to tables that are not there any more.
    pub(crate) fn apply_again(&mut self) -> anyhow::Result<Duration> {
        self.engine.remove()?;
        Ok(self.sync()?.stages.apply)
    }

    /// What a restart does when the rules are in place already: all but reading the manifests.
    pub(crate) fn restart(&mut self) -> anyhow::Result<(Report, Duration)> {
        self.engine = (self.open)()?;
        timed(|| self.sync())
    }

    /// Times so many changes of each kind alone.
    pub(crate) fn only(&mut self, changes: usize) {
        self.sample.truncate(changes);
    }

    /// A pod of a Service is replaced by another, again and again in different Services.
    pub(crate) fn replace_endpoints(&mut self) -> anyhow::Result<Series> {
        let mut changes = Vec::new();
        for ((_, slice), index) in self.sample.iter_mut().zip(0..) {
            let count = slice.endpoints.len().max(1);
            if let Some(endpoint) = slice.endpoints.get_mut(index as usize % count) {
                endpoint.addresses = vec![cluster::spare_pod_ip(index).to_string()];
            }
            changes.push(vec![Change::EndpointSlice(slice.clone())]);
        }
        self.series(changes)
    }

    /// Services get a pod more.
    pub(crate) fn add_endpoints(&mut self) -> anyhow::Result<Series> {
        let mut changes = Vec::new();
        for ((_, slice), index) in self.sample.iter_mut().zip(CHANGES..) {
            if let Some(mut endpoint) = slice.endpoints.first().cloned() {
                endpoint.addresses = vec![cluster::spare_pod_ip(index).to_string()];
                slice.endpoints.push(endpoint);
            }
            changes.push(vec![Change::EndpointSlice(slice.clone())]);
        }
        self.series(changes)
    }

    /// Services appear, each with its endpoints.
    pub(crate) fn add_services(&mut self) -> anyhow::Result<Series> {
        let added = self.sample.iter().zip(0..);
        let changes = added.map(|((service, slice), index)| {
            let ip = cluster::spare_cluster_ip(index);
            let (service, slice) = copied(service, slice, &name_of_added(index), ip);
            vec![Change::Service(service), Change::EndpointSlice(slice)]
        });
        self.series(changes.collect())
    }

    /// The Services that [`Node::add_services`] added go again.
    pub(crate) fn delete_services(&mut self) -> anyhow::Result<Series> {
        let changes = (0..self.sample.len() as u32).map(|index| {
            let name = name_of_added(index);
            vec![
                Change::Deleted(Kind::Service, name.clone()),
                Change::Deleted(Kind::EndpointSlice, name),
            ]
        });
        self.series(changes.collect())
    }

    fn series(&mut self, rounds: Vec<Vec<Change>>) -> anyhow::Result<Series> {
        let mut series = Series {
            durations: Vec::with_capacity(rounds.len()),
            operations: 0,
            messages: 0,
            bytes: 0,
        };
        for changes in rounds {
            let (report, took) = timed(|| {
                changes
                    .into_iter()
                    .try_for_each(|change| self.take(change))?;
                self.sync()
            })?;
            ensure!(report.operations > 0, "a change changed nothing");
            series.durations.push(took);
            series.operations = series.operations.max(report.operations);
            series.messages = series.messages.max(report.messages);
            series.bytes = series.bytes.max(report.bytes);
        }
        series.durations.sort();
        Ok(series)
    }

    fn take(&mut self, change: Change) -> anyhow::Result<()> {
        let problems = self.model.apply(change);
        ensure!(problems.is_empty(), "{problems:?}");
        Ok(())
    }

    /// Does what is to be done, and what had to wait.
    pub(crate) fn sync(&mut self) -> anyhow::Result<Report> {
        let synced = self
            .engine
            .sync(&mut self.model, &self.host, Instant::now())?;
        Ok(synced.report)
    }
}

/// What manifests describe, and how long it takes to read them.
pub(crate) fn read(manifests: &Path) -> anyhow::Result<(Vec<Change>, Duration)> {
    timed(|| {
        let mut changes = Vec::new();
        let problems =
            Manifests::open(manifests)?.changes(Instant::now(), &mut |change| changes.push(change));
        match problems.first() {
            Some(problem) => Err(anyhow!("{problem}")),
            None => Ok(changes),
        }
    })
}

/// What some work gives, and how long it takes.
pub(crate) fn timed<T>(work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<(T, Duration)> {
    let started = Instant::now();
    let result = work()?;
    Ok((result, started.elapsed()))
}

/// An engine of nftables mode that knows nothing yet of what is installed.
pub(crate) fn nftables() -> anyhow::Result<Engine<Nftables, NftSocket>> {
    let nft = NftSocket::open().context("cannot talk to nf_tables")?;
    Ok(Engine::new(Nftables, nft, &Family::BOTH))
}

/// The settings of every node here.
pub(crate) fn settings() -> anyhow::Result<Settings> {
    Ok(Settings {
        node_name: cluster::NODE.to_owned(),
        detect_local: DetectLocal::ClusterCidr(vec![cluster::PODS.parse()?]),
        ..Settings::default()
    })
}

/// Services from all over the cluster, each with its slice.
fn sample(changes: &[Change]) -> Vec<(Service, EndpointSlice)> {
    let services = changes.iter().filter_map(|change| match change {
        Change::Service(service) => Some(service),
        _ => None,
    });
    let slices = changes.iter().filter_map(|change| match change {
        Change::EndpointSlice(slice) => Some(slice),
        _ => None,
    });
    let pairs: Vec<_> = services.zip(slices).collect();
    let step = (pairs.len() / CHANGES as usize).max(1);
    let some = pairs.into_iter().step_by(step).take(CHANGES as usize);
    some.map(|(service, slice)| (service.clone(), slice.clone()))
        .collect()
}

/// The same Service by another name and cluster IP, and by nothing else, for the whole cluster.
fn copied(
    service: &Service,
    slice: &EndpointSlice,
    name: &ObjectName,
    ip: Ipv4Addr,
) -> (Service, EndpointSlice) {
    let mut service = service.clone();
    service.name = name.clone();
    service.cluster_ip = ip.to_string();
    service.cluster_ips = vec![ip.to_string()];
    service.ingress.clear();
    service.health_check_node_port = 0;
    // With another policy a load balancer would need one.
    service.external_policy = TrafficPolicy::Cluster;
    service.ports.iter_mut().for_each(|port| port.node_port = 0);
    let mut slice = slice.clone();
    slice.name = name.clone();
    slice.service = Some(name.name.to_string());
    (service, slice)
}

fn name_of_added(index: u32) -> ObjectName {
    ObjectName::new("shop", &format!("added-{index:05}"))
}
