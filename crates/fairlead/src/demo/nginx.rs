//! The demo's own Service: three nginx-like pods, one of which goes away and comes back.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use tempfile::TempDir;

use fairlead_backends::engine;
use fairlead_backends::nftables::{Finding, Findings, Found, Nftables, Role, table, understand};
use fairlead_core::address::{Family, Protocol};
use fairlead_core::api::ObjectName;
use fairlead_core::model::{Destination, DestinationKind};
use fairlead_core::route::{Routes, Target};
use fairlead_kernel::nft::handle::Nft;
use fairlead_kernel::nft::ruleset::Batch;
use fairlead_kernel::nft::socket::NftSocket;
use fairlead_lab::{Client, Lab, Series};

use super::cluster::{Cluster, Objects};
use super::events::Events;
use super::flags::Flags;
use super::picture::{self, BAD, NO_BREAK, Share, heading, note};
use super::proxy::{Proxy, Synced};
use super::screen::Screen;
use super::{Entrance, Options, path};

/// What `kubectl expose deployment nginx` makes of a deployment with three pods, and the node.
const MANIFEST: &str = include_str!("nginx.yaml");

/// The node in it that the box is.
const NODE: &str = "node1";

/// The pod that goes away.
const LEAVES: &str = "10.244.2.6";

/// The network, see `fairlead_lab::Network`.
const BOX: &str = "
   ┌ pod ─────────┐      ┌ node1 ──────┐      ┌ elsewhere ────────────────────┐
   │ 10.244.1.20  ├──────┤ 192.0.2.10  ├──────┤ 10.244.2.5  10.244.2.6  nginx │
   └──────────────┘   ┌──┤ fairlead    │      │ 198.51.100.7  somebody        │
   ┌ nginx ───────┐   │  └─────────────┘      └───────────────────────────────┘
   │ 10.244.1.130 ├───┘
   └──────────────┘
";

/// Time to read.
const BETWEEN_ACTS: Duration = Duration::from_secs(1);

/// Time for the proxy to come to rest: it syncs at most once a second, and a second after a change
/// it removes the chains that are not needed any more. Sooner a change would wait.
const BETWEEN_CHANGES: Duration = Duration::from_millis(2200);

/// Who connects to what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Act {
    client: Client,
    pub(super) destination: Destination,
    to: SocketAddr,
}

/// The demo's own Service in a lab with a proxy.
#[derive(Debug)]
struct Show<'a> {
    options: &'a Options,
    events: &'a Events,
    screen: Screen,
    lab: &'a Lab,
    proxy: Proxy<'a>,
    manifest: &'a Manifest,
}

/// Shows everything, in turn.
pub(super) fn show(options: &Options, events: &Events, entrance: Entrance) -> anyhow::Result<()> {
    let manifest = Manifest::new()?;
    let lab = Lab::new()?;
    let mut screen = Screen::new();
    introduce(&mut screen, &manifest.flags())?;
    let proxy = Proxy::start(&lab, &manifest.flags(), events)?;
    screen.say(&in_force(&proxy.synced(true)?, None))?;

    let mut show = Show {
        options,
        events,
        screen,
        lab: &lab,
        proxy,
        manifest: &manifest,
    };
    show.both_ways()?;
    show.without_a_pod()?;
    show.with_it_again()?;
    entrance.offer(options, &lab, &show.proxy, events, &mut show.screen)
}

fn introduce(screen: &mut Screen, flags: &Flags) -> anyhow::Result<()> {
    screen.say(&heading("A node in a box, made of network namespaces"))?;
    screen.say(BOX)?;
    screen.say(&heading(
        "$ kubectl expose deployment nginx --type=NodePort --port=80 --target-port=8080",
    ))?;
    let service = MANIFEST.split("---").next().unwrap_or_default();
    for line in service.lines().skip_while(|line| *line != "spec:") {
        screen.say(&format!("   {line}\n"))?;
    }
    screen.say(&heading("$ fairlead run"))?;
    Ok(screen.say(&note(&flags.to_string()))?)
}

impl Show<'_> {
    /// The cluster IP from a pod, the node port from outside, with the path of each.
    fn both_ways(&mut self) -> anyhow::Result<()> {
        let mut cluster = self.manifest.read()?;
        let nginx = Nginx::of(&cluster)?;
        let table = observe(self.lab)?;
        let plan = plan(&mut cluster)?;
        for (who, what, act) in [
            ("A pod", "cluster IP", nginx.from_pod),
            ("Somebody outside", "node port", nginx.from_outside),
        ] {
            let times = self.options.connections;
            let to = act.to;
            self.events.pause(BETWEEN_ACTS)?;
            self.screen.say(&heading(&format!(
                "{who} connects to the {what} {to}, {times} times"
            )))?;
            let steps = path::trace(&plan, &table, act.destination);
            self.screen.say(&picture::path(&steps))?;
            let series = self.ask(act)?;
            self.screen
                .say(&picture::shares(&counted(&cluster, &nginx.pods, &series)))?;
            self.screen.say(&picture::failures(&series))?;
            self.screen.say(&picture::source(&series))?;
        }
        Ok(())
    }

    fn without_a_pod(&mut self) -> anyhow::Result<()> {
        let before = Nginx::of(&self.manifest.read()?)?.pods;
        self.events.pause(BETWEEN_ACTS)?;
        self.screen
            .say(&heading(&format!("The pod {LEAVES} goes away")))?;
        for line in MANIFEST.lines().filter(|line| line.contains(LEAVES)) {
            self.screen.say(&picture::remark(BAD, line))?;
        }
        self.change(&without(LEAVES), &before)
    }

    fn with_it_again(&mut self) -> anyhow::Result<()> {
        let before = Nginx::of(&self.manifest.read()?)?.pods;
        self.events.pause(BETWEEN_CHANGES)?;
        self.screen.say(&heading("It comes back"))?;
        self.change(MANIFEST, &before)
    }

    /// Writes the manifest anew, and asks again. Pods of `before` are shown even if they are gone.
    fn change(&mut self, manifest: &str, before: &[Target]) -> anyhow::Result<()> {
        let (synced, took) = self.proxy.follows(|| self.manifest.write(manifest))?;
        self.screen.say(&in_force(&synced, Some(took)))?;
        let cluster = self.manifest.read()?;
        let nginx = Nginx::of(&cluster)?;
        let mut pods = nginx.pods.clone();
        pods.extend(before);
        for act in [nginx.from_pod, nginx.from_outside] {
            let series = self.ask(act)?;
            self.screen
                .say(&format!("\n   from {} to {}\n", act.client, act.to))?;
            self.screen
                .say(&picture::shares(&counted(&cluster, &pods, &series)))?;
            self.screen.say(&picture::failures(&series))?;
        }
        Ok(())
    }

    fn ask(&self, act: Act) -> anyhow::Result<Series> {
        let Act { client, to, .. } = act;
        Ok(self
            .lab
            .ask(client, Protocol::Tcp, to, self.options.connections)?)
    }
}

/// What is in force, and what that took; since when the manifest `changed`, if it did.
fn in_force(synced: &Synced, changed: Option<Duration>) -> String {
    let Synced {
        operations,
        messages,
        apply,
        ..
    } = *synced;
    let since = changed.map_or_else(String::new, |took| {
        format!(" {} after the file changed", milliseconds(took))
    });
    note(&format!(
        "in force{since}: {operations} operations on the table in {messages} messages, one \
         transaction, {} in the kernel",
        milliseconds(apply)
    ))
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1}{NO_BREAK}ms", time.as_secs_f64() * 1000.0)
}

/// Each pod once, in the order of addresses, with its count.
fn counted(cluster: &Cluster, pods: &[Target], series: &Series) -> Vec<Share> {
    let mut pods: Vec<SocketAddr> = pods
        .iter()
        .map(|pod| SocketAddr::new(pod.address, pod.port))
        .chain(series.by_endpoint.keys().copied())
        .collect();
    pods.sort_unstable();
    pods.dedup();
    pods.into_iter()
        .map(|endpoint| Share {
            endpoint,
            place: cluster.node_of(endpoint.ip()).unwrap_or("gone").to_owned(),
            count: series.by_endpoint.get(&endpoint).copied().unwrap_or(0),
        })
        .collect()
}

/// The Service as it is now.
#[derive(Debug, Clone)]
pub(super) struct Nginx {
    pods: Vec<Target>,
    pub(super) from_pod: Act,
    pub(super) from_outside: Act,
}

impl Nginx {
    pub(super) fn of(cluster: &Cluster) -> anyhow::Result<Nginx> {
        let name = ObjectName::new("default", "nginx");
        let routes = cluster.model.routes(&name);
        let Some((_, routes)) = routes.first() else {
            bail!("the demo's manifest has no Service {name}");
        };
        let node = cluster.model.node().ip(Family::V4);
        let from_outside = destination(routes, DestinationKind::NodePort)?;
        let Destination::NodePort(_, _, port) = from_outside else {
            bail!("a node port is no address");
        };
        let from_pod = destination(routes, DestinationKind::ClusterIp)?;
        let Destination::Address(ip, _, cluster_port) = from_pod else {
            bail!("a cluster IP is an address");
        };
        Ok(Nginx {
            pods: routes.cluster.clone(),
            from_pod: Act {
                client: Client::Pod,
                destination: from_pod,
                to: SocketAddr::new(ip, cluster_port),
            },
            from_outside: Act {
                client: Client::Outside,
                destination: from_outside,
                to: SocketAddr::new(node.context("the node has no address")?, port),
            },
        })
    }
}

fn destination(routes: &Routes, kind: DestinationKind) -> anyhow::Result<Destination> {
    let route = routes.routes.iter().find(|route| route.kind == kind);
    let route = route.with_context(|| format!("{} has no {kind:?}", routes.name))?;
    Ok(route.destination)
}

/// The manifest that the proxy follows. Gone when dropped.
#[derive(Debug)]
pub(super) struct Manifest(TempDir);

impl Manifest {
    pub(super) fn new() -> anyhow::Result<Manifest> {
        let manifest = Manifest(TempDir::with_prefix("fairlead-demo-")?);
        manifest.write(MANIFEST)?;
        Ok(manifest)
    }

    fn write(&self, text: &str) -> anyhow::Result<()> {
        let file = self.0.path().join("nginx.yaml");
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))
    }

    pub(super) fn read(&self) -> anyhow::Result<Cluster> {
        Objects::read(self.0.path())?.seen_with(&self.flags())
    }

    fn flags(&self) -> Flags {
        Flags::new(self.0.path(), NODE)
    }
}

/// The manifest without an endpoint. Each has a line of its own.
fn without(endpoint: &str) -> String {
    let lines = MANIFEST.lines().filter(|line| !line.contains(endpoint));
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// What the kernel has.
fn observe(lab: &Lab) -> anyhow::Result<Found> {
    let observed = lab
        .node()
        .run(|| NftSocket::open()?.observe(table(Family::V4)))??;
    match understand(Family::V4, Role::Proxy, observed) {
        Finding::Usable(found) => Ok(*found),
        Finding::Nothing | Finding::Unusable => bail!("the proxy's table is not there"),
    }
}

/// What makes that table.
pub(super) fn plan(cluster: &mut Cluster) -> anyhow::Result<Batch> {
    let host = cluster.model.node().ips.clone();
    let families = [Family::V4];
    let nothing = Findings::nothing(&families);
    let plan = engine::plan_from(&Nftables, nothing, &cluster.model, &host, &families);
    plan.changes.into_iter().next().context("there is no plan")
}
