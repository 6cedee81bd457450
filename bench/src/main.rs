//! Measures Fairlead: speed and memory by the number of Services.
//!
//! `fairlead-bench [iptables | ipvs [here] | userspace] [SERVICES]...`; see docs/PERFORMANCE.md for what the
//! tables say. Everything happens in network namespaces of its own. Nothing is asserted: times are
//! for people.

mod api;
mod cluster;
mod conntrack;
mod counting;
mod iptables;
mod ipvs;
mod network;
mod print;
mod process;
mod sync;
mod tables;
mod userspace;

use std::path::Path;
use std::time::Duration;

use anyhow::Context;

use fairlead_core::report::Report;
use fairlead_lab::api_server::StreamingLists;
use fairlead_lab::privilege;

use api::Followed;
use cluster::{Cluster, ENDPOINTS, Features};
use counting::Price;
use network::on_a_node;
use process::Footprint;
use sync::{ColdStart, Node, Series};

const SIZES: [u32; 3] = [1000, 5000, 20_000];
/// The size at which Services that use more features are measured too.
const MIXED: u32 = 5000;
/// How often a cold start is timed. The fastest counts: whatever else the machine does only adds.
const RUNS: usize = 5;

fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).take(2).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["ipvs"] => ipvs::in_the_machine(),
        ["ipvs", "here"] => ipvs::here(),
        ["userspace", ..] => userspace::measure(),
        ["iptables", ..] => on_this_host(false),
        _ => on_this_host(true),
    }
}

/// iptables mode, and nftables mode if that is wanted.
fn on_this_host(with_nftables: bool) -> anyhow::Result<()> {
    // Before there is a second thread.
    privilege::obtain()?;
    println!("{}, {ENDPOINTS} endpoints a service", machine());
    let folder = tempfile::tempdir()?;
    if with_nftables {
        nftables(folder.path())?;
    }
    let measured = iptables::measure(folder.path())?;
    iptables::print(&measured);
    Ok(())
}

fn nftables(folder: &Path) -> anyhow::Result<()> {
    let mut measured = Vec::new();
    for cluster in clusters()? {
        eprintln!("measuring {cluster} ...");
        measured.push(Measured::of(cluster, folder)?);
    }
    eprintln!(
        "measuring {} connections ...",
        print::count(conntrack::CONNECTIONS)
    );
    let looks = conntrack::measure(folder)?;
    tables::print(&measured, &looks);
    Ok(())
}

fn clusters() -> anyhow::Result<Vec<Cluster>> {
    let given: Vec<u32> = std::env::args()
        .skip(1)
        .map(|text| {
            text.parse()
                .with_context(|| format!("{text}: not a number of services"))
        })
        .collect::<Result<_, _>>()?;
    let sizes = if given.is_empty() {
        SIZES.to_vec()
    } else {
        given
    };
    let mut clusters = Vec::new();
    for services in sizes {
        let features = match services {
            MIXED => vec![Features::Plain, Features::Mixed],
            _ => vec![Features::Plain],
        };
        clusters.extend(
            features
                .into_iter()
                .map(|features| Cluster { services, features }),
        );
    }
    Ok(clusters)
}

/// All that is measured of a cluster.
struct Measured {
    cluster: Cluster,
    cold: ColdStart,
    /// The same, of a cluster half as big.
    half: ColdStart,
    read_json: Duration,
    restart: (Report, Duration),
    changes: [(&'static str, Series); 3],
    footprint: Footprint,
    /// From an API server that streams lists, and from one that gives them in pages.
    followed: [(&'static str, Followed); 2],
    price: Price,
}

impl Measured {
    fn of(cluster: Cluster, folder: &Path) -> anyhow::Result<Measured> {
        let half = Cluster {
            services: cluster.services / 2,
            ..cluster
        };
        let half = cold_start(&half.write_yaml(folder)?)?;
        let (_, read_json) = sync::read(&cluster.write_json(folder)?)?;
        let manifests = cluster.write_yaml(folder)?;
        let cold = cold_start(&manifests)?;
        let footprint = on_a_node(|| process::measure("nftables", cluster, &manifests))?;
        let price = on_a_node(|| counting::measure(cluster, &manifests))?;
        let follow = |streaming| on_a_node(|| api::measure(cluster, streaming, folder));
        let followed = [
            ("streamed", follow(StreamingLists::On)?),
            ("in pages", follow(StreamingLists::Refused)?),
        ];
        on_a_node(|| {
            let (mut node, _) = Node::start(&manifests, sync::nftables)?;
            Ok(Measured {
                cluster,
                cold,
                half,
                read_json,
                restart: node.restart()?,
                changes: [
                    ("endpoint replaced", node.replace_endpoints()?),
                    ("service added", node.add_services()?),
                    ("service deleted", node.delete_services()?),
                ],
                footprint,
                followed,
                price,
            })
        })
    }
}

/// The fastest of some cold starts.
fn cold_start(manifests: &Path) -> anyhow::Result<ColdStart> {
    let run = || on_a_node(|| Ok(Node::start(manifests, sync::nftables)?.1));
    let mut fastest = run()?;
    for _ in 1..RUNS {
        let cold = run()?;
        if cold.total() < fastest.total() {
            fastest = cold;
        }
    }
    Ok(fastest)
}

/// What the figures depend on besides Fairlead: a machine that has other work to do is slower.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let first_word = |path| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.split_whitespace().next().unwrap_or("?").to_owned()
    };
    let release = first_word("/proc/sys/kernel/osrelease");
    let load = first_word("/proc/loadavg");
    format!("Linux {release}, {cores} cores, load average {load}")
}
