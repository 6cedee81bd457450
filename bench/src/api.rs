//! The real binary against an API server: how soon it serves, what it takes, and how soon a
//! changed EndpointSlice is to be seen in traffic.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::ensure;

use fairlead_lab::api_server::{ApiServer, StreamingLists};

use crate::cluster::{self, Cluster};
use crate::process::{Daemon, Footprint, SHORT};

/// How many times a slice is written.
const WRITES: u32 = 100;
/// Between what was seen and the next write.
const PAUSE: Duration = Duration::from_millis(100);
/// How long traffic may take to follow.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks.
const LOOK: Duration = Duration::from_micros(500);

/// What following an API server costs.
#[derive(Debug)]
pub(crate) struct Followed {
    pub(crate) footprint: Footprint,
    /// On processors, until it served.
    pub(crate) start: Duration,
    /// From the write of a slice until traffic reaches the endpoint, sorted.
    pub(crate) writes: Vec<Duration>,
    /// On processors, for each write.
    pub(crate) per_write: Duration,
    /// Resident memory after the writes, in KiB.
    pub(crate) resident_after: usize,
}

impl Followed {
    /// The value that so many percent of the writes are not above.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        self.writes[(self.writes.len() - 1) * percent / 100]
    }
}

/// Runs `fairlead run` against an API server in the namespace of the calling thread.
pub(crate) fn measure(
    cluster: Cluster,
    streaming: StreamingLists,
    folder: &Path,
) -> anyhow::Result<Followed> {
    let server = ApiServer::builder()
        .managed_fields()
        .streaming_lists(streaming)
        .start()?;
    for object in cluster.objects() {
        server.apply(&object)?;
    }
    let pods = TcpListener::bind(("0.0.0.0", cluster::POD_PORT))?;
    let log = folder.join("api.log");
    let mut daemon = Daemon::start("nftables", "--kubeconfig", server.kubeconfig(), &log)?;
    let footprint = daemon.footprint(cluster, &pods)?;
    let start = daemon.processor_time()?;
    let mut writes = Vec::new();
    for index in 0..WRITES {
        thread::sleep(PAUSE);
        writes.push(write(cluster, &server, &pods, index)?);
    }
    writes.sort();
    Ok(Followed {
        footprint,
        start,
        writes,
        per_write: daemon.processor_time()?.saturating_sub(start) / WRITES,
        resident_after: daemon.status("VmRSS")?,
    })
}

/// Gives the last Service another endpoint, and waits until connections reach it.
fn write(
    cluster: Cluster,
    server: &ApiServer,
    pods: &TcpListener,
    index: u32,
) -> anyhow::Result<Duration> {
    let pod = cluster::spare_pod_ip(index);
    server.apply(&cluster::slice_of(cluster.services - 1, &[pod]))?;
    let written = Instant::now();
    loop {
        if reached(cluster.last_service(), pods)? == Some(pod) {
            return Ok(written.elapsed());
        }
        let waited = written.elapsed();
        ensure!(waited < PATIENCE, "{pod} is not reached after {waited:?}");
        thread::sleep(LOOK);
    }
}

/// The pod that a connection reaches. It may reach none: a pod that remembers another one
/// from the same port (TIME-WAIT, RFC 9293) does not answer.
fn reached(service: SocketAddr, pods: &TcpListener) -> anyhow::Result<Option<Ipv4Addr>> {
    let Ok(_client) = TcpStream::connect_timeout(&service, SHORT) else {
        return Ok(None);
    };
    match pods.accept()?.0.local_addr()? {
        SocketAddr::V4(address) => Ok(Some(*address.ip())),
        SocketAddr::V6(address) => Err(anyhow::anyhow!("{address} is of no pod")),
    }
}
