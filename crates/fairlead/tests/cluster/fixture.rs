//! A node of a cluster: a lab, and an API server that the node reaches on loopback.

use std::cell::Cell;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use fairlead_core::address::Protocol;
use fairlead_lab::api_server::{ApiServer, Builder};
use fairlead_lab::{Client, Lab, Series};
use libtest_mimic::Failed;
use serde_json::{Value, json};

use crate::objects::{service, slice};
use crate::rig::{FAIRLEAD, Proxy};
use crate::watch::{eventually, get, on_node};

/// The lab's node.
const NODE: &str = include_str!("../../../../scenarios/objects/node1.yaml");

/// The cluster IP of the Service by which a test sees that its changes have been taken in.
const MARKER: &str = "10.96.255.254";

/// The Service that [`Cluster::furnish`] makes, and where it is.
pub(crate) const WEB: &str = "10.96.50.1:80";

/// A lab with an API server.
pub(crate) struct Cluster {
    // Dropped before the lab, whose namespace its sockets would keep.
    pub(crate) server: ApiServer,
    pub(crate) lab: Lab,
    marker: Cell<u16>,
}

impl Cluster {
    /// With the lab's node, a range of cluster IPs, and a Service `web` with a pod.
    pub(crate) fn new() -> Result<Cluster, Failed> {
        Cluster::of(ApiServer::builder())
    }

    /// The same with a server that is to be so.
    pub(crate) fn of(builder: Builder<'_>) -> Result<Cluster, Failed> {
        let cluster = Cluster::empty(builder)?;
        cluster.server.apply(&node())?;
        let cidrs = json!({"cidrs": ["10.96.0.0/16", "fd00:10:96::/112"]});
        cluster.server.apply(
            &json!({"kind": "ServiceCIDR", "metadata": {"name": "kubernetes"}, "spec": cidrs}),
        )?;
        let spec = json!({"clusterIP": "10.96.50.1", "ports": [{"port": 80}]});
        cluster.server.apply(&service("web", &spec))?;
        cluster.web(&["10.244.2.5"])?;
        Ok(cluster)
    }

    /// With no object at all.
    pub(crate) fn empty(builder: Builder<'_>) -> Result<Cluster, Failed> {
        let lab = Lab::new()?;
        let server = builder.netns(lab.node()).start()?;
        Ok(Cluster {
            server,
            lab,
            marker: Cell::new(0),
        })
    }

    /// Gives the Service `web` these pods.
    pub(crate) fn web(&self, pods: &[&str]) -> Result<(), Failed> {
        self.server.apply(&slice("web", "TCP", 8080, pods))?;
        Ok(())
    }

    /// Starts Fairlead by the server's kubeconfig, with these flags too.
    pub(crate) fn proxy(&self, flags: &[&str]) -> Result<Proxy<'_>, Failed> {
        self.proxy_by(self.server.kubeconfig(), flags)
    }

    /// The same by another kubeconfig.
    pub(crate) fn proxy_by(&self, kubeconfig: &Path, flags: &[&str]) -> Result<Proxy<'_>, Failed> {
        let mut command = run();
        command.arg("--kubeconfig").arg(kubeconfig).args(flags);
        Proxy::run(&self.lab, command)
    }

    /// Waits until clients of an address meet these pods, all of them and no others. None: nobody.
    pub(crate) fn meets(
        &self,
        proxy: &Proxy<'_>,
        client: Client,
        to: &str,
        pods: &[&str],
    ) -> Result<Series, Failed> {
        let to: SocketAddr = to.parse()?;
        let mut met = Series::default();
        let what = format!("{client} meets {pods:?} at {to}");
        eventually(&what, || {
            met = self
                .lab
                .ask(client, Protocol::Tcp, to, 12 * pods.len().max(1))?;
            let all: Vec<_> = met
                .by_endpoint
                .keys()
                .map(|pod| pod.ip().to_string())
                .collect();
            Ok(all == pods && (pods.is_empty() || met.errors.is_empty()))
        })
        .map_err(|error| {
            let said = error.message().unwrap_or_default();
            proxy.failed(&format!("{said}; at last it met {}", met.outcome()))
        })?;
        Ok(met)
    }

    /// The same of a pod that asks the Service `web`.
    pub(crate) fn serves(&self, proxy: &Proxy<'_>, pods: &[&str]) -> Result<(), Failed> {
        self.meets(proxy, Client::Pod, WEB, pods).map(drop)
    }

    /// That clients of `web` meet these pods now, without waiting.
    pub(crate) fn still_serves(&self, proxy: &Proxy<'_>, pod: &str) -> Result<(), Failed> {
        let met = self.lab.ask(Client::Pod, Protocol::Tcp, WEB.parse()?, 8)?;
        let pods: Vec<_> = met
            .by_endpoint
            .keys()
            .map(|at| at.ip().to_string())
            .collect();
        match pods == [pod] && met.errors.is_empty() {
            true => Ok(()),
            false => Err(proxy.failed(&format!("a pod met {}", met.outcome()))),
        }
    }

    /// Waits until all that the server has now is programmed: a Service is moved to another port
    /// and asked until it answers there.
    pub(crate) fn settle(&self, proxy: &Proxy<'_>) -> Result<(), Failed> {
        let port = self.marker.get() + 1;
        self.marker.set(port);
        let server = &self.server;
        server.apply(&slice("marker", "TCP", 8080, &["10.244.2.1"]))?;
        let spec = json!({"clusterIP": MARKER, "ports": [{"port": port}]});
        server.apply(&service("marker", &spec))?;
        let to = format!("{MARKER}:{port}");
        self.meets(proxy, Client::Node, &to, &["10.244.2.1"])
            .map(drop)
    }

    /// Whether there is any table of ours.
    pub(crate) fn is_programmed(&self) -> Result<bool, Failed> {
        Ok(on_node(&self.lab, "nft list tables")?.contains("fairlead"))
    }

    /// Waits until a page of the health server has this in it.
    pub(crate) fn health_says(
        &self,
        proxy: &Proxy<'_>,
        page: &str,
        text: &str,
    ) -> Result<(), Failed> {
        self.says(proxy, "127.0.0.1:10256", page, text)
    }

    /// Waits until a page of the metrics server has this in it.
    pub(crate) fn metrics_say(
        &self,
        proxy: &Proxy<'_>,
        page: &str,
        text: &str,
    ) -> Result<(), Failed> {
        self.says(proxy, "127.0.0.1:10249", page, text)
    }

    fn says(&self, proxy: &Proxy<'_>, at: &str, page: &str, text: &str) -> Result<(), Failed> {
        let mut last = String::new();
        let said = eventually(&format!("{page} says {text}"), || {
            last = get(&self.lab, at, page);
            Ok(last.contains(text))
        });
        said.map(drop).map_err(|error| {
            let what = error.message().unwrap_or_default();
            proxy.failed(&format!("{what}; at last it said {last}"))
        })
    }
}

/// The lab's Node object.
pub(crate) fn node() -> Value {
    yaml_serde::from_str(NODE).expect("a Node object")
}

/// The lab's Node object with some things different.
pub(crate) fn node_with(change: impl FnOnce(&mut Value)) -> Value {
    let mut node = node();
    change(&mut node);
    node
}

/// `fairlead run` for the lab's node, without a word on where the API server is.
pub(crate) fn run() -> Command {
    let mut command = Command::new(FAIRLEAD);
    command.args(["run", "--proxy-mode=nftables", "--hostname-override=node1"]);
    command
}

/// Waits until it ended by itself, with exit code 1.
pub(crate) fn ended(proxy: &mut Proxy<'_>) -> Result<(), Failed> {
    let mut code = None;
    eventually("it ends", || {
        let status = proxy.child.try_wait()?;
        code = status.and_then(|status| status.code());
        Ok(status.is_some())
    })
    .map_err(|error| proxy.failed(error.message().unwrap_or_default()))?;
    match code {
        Some(1) => Ok(()),
        code => Err(proxy.failed(&format!("its exit code is {code:?}"))),
    }
}
