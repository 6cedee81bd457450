//! Who is measured: Fairlead in userspace mode, HAProxy beside it in the same namespace, and nobody.

use std::fmt::Write;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::endpoints::{AGAIN, ONCE, STREAM};
use super::network::{NODE, Network, direct, endpoints};
use crate::cluster;
use crate::process::{self, Daemon};

/// Fairlead's Service.
const SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);
/// Where HAProxy has its first port.
const FIRST: u16 = 7000;
/// How many ports idle connections are made to: no one may take all places that Fairlead has.
const IDLE_PORTS: u16 = 16;
/// How long HAProxy may take to listen.
const PATIENCE: Duration = Duration::from_secs(10);

/// Somebody who is measured.
pub(super) struct Subject {
    pub(super) name: &'static str,
    /// Where each of [`ONCE`], [`AGAIN`] and [`STREAM`] is reached.
    pub(super) to: [SocketAddr; 3],
    /// Where idle connections are made to.
    pub(super) idle: Vec<SocketAddr>,
    running: Option<Running>,
}

enum Running {
    Fairlead(Daemon),
    Haproxy(Child),
}

impl Subject {
    /// Nobody between clients and an endpoint but the node's kernel.
    pub(super) fn nobody() -> Subject {
        Subject {
            name: "nothing between",
            to: [ONCE, AGAIN, STREAM].map(direct),
            idle: Vec::new(),
            running: None,
        }
    }

    /// Fairlead, with its table in the node's namespace.
    pub(super) fn fairlead(network: &Network, folder: &Path) -> anyhow::Result<Subject> {
        let (manifests, log) = (folder.join("userspace.json"), folder.join("userspace.log"));
        fs::write(&manifests, serde_json::to_vec(&objects())?)?;
        let start = || {
            let mut daemon = Daemon::start("userspace", "--manifests", &manifests, &log)?;
            daemon.wait_until_ready()?;
            anyhow::Ok(daemon)
        };
        let daemon = network.node.run(start)??;
        let at = |index| SocketAddr::from((SERVICE, port(index)));
        Ok(Subject {
            name: "Fairlead",
            to: [0, 1, 2].map(at),
            idle: (3..3 + IDLE_PORTS).map(at).collect(),
            running: Some(Running::Fairlead(daemon)),
        })
    }

    /// HAProxy in TCP mode with so many threads.
    pub(super) fn haproxy(
        network: &Network,
        folder: &Path,
        threads: usize,
        connections: usize,
    ) -> anyhow::Result<Subject> {
        let (path, log) = (folder.join("haproxy.cfg"), folder.join("haproxy.log"));
        fs::write(&path, configuration(threads, connections))?;
        let mut command = Command::new("/usr/sbin/haproxy");
        command.args(["-db", "-f"]).arg(&path).stdin(Stdio::null());
        command.stdout(File::create(&log)?);
        command.stderr(File::options().append(true).open(&log)?);
        let at = |index| SocketAddr::from((NODE, FIRST + index));
        let to = [0, 1, 2].map(at);
        let child = network.node.run(|| command.spawn())?;
        let child = child.context("cannot run HAProxy: see scripts/need")?;
        let subject = Subject {
            name: "HAProxy",
            to,
            idle: (3..3 + IDLE_PORTS).map(at).collect(),
            running: Some(Running::Haproxy(child)),
        };
        let started = Instant::now();
        while network.clients.run(|| TcpStream::connect(to[0]))?.is_err() {
            if started.elapsed() > PATIENCE {
                bail!("HAProxy does not listen: {}", fs::read_to_string(log)?);
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(subject)
    }

    fn process(&self) -> Option<u32> {
        match self.running.as_ref()? {
            Running::Fairlead(daemon) => Some(daemon.id()),
            Running::Haproxy(child) => Some(child.id()),
        }
    }

    /// How long it has been running on a processor.
    pub(super) fn processor_time(&self) -> anyhow::Result<Duration> {
        self.process()
            .map_or(Ok(Duration::ZERO), process::processor_time)
    }

    /// Its memory, that it shares with others by parts (`Pss`, proc_pid_smaps(5)), in KiB.
    pub(super) fn memory(&self) -> anyhow::Result<usize> {
        let Some(process) = self.process() else {
            return Ok(0);
        };
        let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup"))?;
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        number.context("Pss is not in /proc/PID/smaps_rollup")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Running::Haproxy(child) = self {
            // There is nobody to tell; its namespace goes with it.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The port of a Service by its number.
fn port(index: u16) -> u16 {
    80 + index
}

/// What endpoints are asked for at a port by its number: once, again, a stream, and to be idle.
fn target(index: u16) -> u16 {
    [ONCE, AGAIN, STREAM]
        .get(usize::from(index))
        .copied()
        .unwrap_or(AGAIN)
}

fn objects() -> Value {
    let all = || 0..3 + IDLE_PORTS;
    let port = |index: u16| json!({"name": format!("p{index}"), "port": port(index), "targetPort": target(index)});
    let target = |index: u16| json!({"name": format!("p{index}"), "port": target(index)});
    let endpoint = |address| json!({"addresses": [address], "conditions": {"ready": true}});
    let endpoints: Vec<Value> = endpoints().into_iter().map(endpoint).collect();
    json!({"apiVersion": "v1", "kind": "List", "items": [
        {
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": cluster::NODE},
            "status": {"addresses": [{"type": "InternalIP", "address": NODE}]},
        },
        {
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"clusterIP": SERVICE, "ports": all().map(port).collect::<Vec<_>>()},
        },
        {
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {
                "name": "web", "namespace": "shop",
                "labels": {"kubernetes.io/service-name": "web"},
            },
            "addressType": "IPv4",
            "ports": all().map(target).collect::<Vec<_>>(),
            "endpoints": endpoints,
        },
    ]})
}

/// A frontend for each port. Idle ones are one, which may have as many connections as there are.
fn configuration(threads: usize, connections: usize) -> String {
    let mut text = format!(
        "global
    nbthread {threads}
    maxconn {connections}
    maxpipes 64
defaults
    mode tcp
    balance roundrobin
    option splice-auto
    timeout connect 5s
    timeout client 1h
    timeout server 1h
"
    );
    let last = FIRST + 3 + IDLE_PORTS - 1;
    for (index, ports) in [
        (0, format!("{FIRST}")),
        (1, format!("{}", FIRST + 1)),
        (2, format!("{}", FIRST + 2)),
        (3, format!("{}-{last}", FIRST + 3)),
    ] {
        let _ = writeln!(text, "listen p{index}\n    bind {NODE}:{ports}");
        for (number, address) in endpoints().iter().enumerate() {
            let port = target(index);
            let _ = writeln!(text, "    server e{number} {address}:{port}");
        }
    }
    text
}
