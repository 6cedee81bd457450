//! What counting costs: the same work with counters and without, in turns, so that whatever else
//! the machine does slows both; and how long it takes to read what was counted.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use fairlead_backends::nftables::Traffic;
use fairlead_core::address::Family;
use fairlead_kernel::nft::counters::CounterSocket;

use crate::cluster::{self, Cluster};
use crate::sync::{Node, nftables, timed};

/// How often everything is applied to empty tables. The fastest counts.
const APPLIES: usize = 3;
/// How many turns connections and packets take.
const TURNS: usize = 20;
/// How often they are timed in a turn. The fastest of all counts, so each is over before much
/// else happens.
const TIMES: usize = 40;
/// Connections that are timed at once.
const CONNECTIONS: u32 = 10;
/// Packets that are timed at once, half of them in either direction.
const PACKETS: u32 = 200;
/// How many Services may be told one by one; the default of `--metrics-max-services`.
const PLACES: usize = 1000;

/// With and without counters.
#[derive(Debug)]
pub(crate) struct Price {
    pub(crate) without: Costs,
    pub(crate) with: Costs,
    /// To read the counters when nothing was counted.
    pub(crate) read_idle: Duration,
    /// The same after a connection to every Service.
    pub(crate) read_used: Duration,
}

/// What takes how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Costs {
    /// To apply everything to empty tables.
    pub(crate) apply: Duration,
    /// To connect to the last Service.
    pub(crate) connection: Duration,
    /// For a packet of a connection to it, with the system calls that send and receive it.
    pub(crate) packet: Duration,
}

impl Default for Costs {
    fn default() -> Costs {
        Costs {
            apply: Duration::MAX,
            connection: Duration::MAX,
            packet: Duration::MAX,
        }
    }
}

/// Measures in the namespace of the calling thread, which has no rules yet.
pub(crate) fn measure(cluster: Cluster, manifests: &Path) -> anyhow::Result<Price> {
    let pods = TcpListener::bind(("0.0.0.0", cluster::POD_PORT))?;
    let (mut node, _) = Node::start(manifests, nftables)?;
    let mut costs = [Costs::default(); 2];
    for turn in 0..TURNS {
        for (counted, cost) in [false, true].into_iter().zip(&mut costs) {
            node.count(counted)?;
            if turn < APPLIES {
                cost.apply = cost.apply.min(node.apply_again()?);
            }
            cost.traffic(cluster.last_service(), &pods)?;
        }
    }
    let [without, with] = costs;
    let read_idle = read()?;
    for service in 0..cluster.services {
        connect(Cluster::service(service), &pods)?;
    }
    Ok(Price {
        without,
        with,
        read_idle,
        read_used: read()?,
    })
}

impl Costs {
    /// Times connections and packets.
    fn traffic(&mut self, to: SocketAddr, pods: &TcpListener) -> anyhow::Result<()> {
        let (mut client, mut pod) = connect(to, pods)?;
        client.set_nodelay(true)?;
        pod.set_nodelay(true)?;
        for _ in 0..TIMES {
            self.connection = self.connection.min(connections(to, pods)?);
            self.packet = self.packet.min(packets(&mut client, &mut pod)?);
        }
        Ok(())
    }
}

/// How long a connection takes, on average.
fn connections(to: SocketAddr, pods: &TcpListener) -> anyhow::Result<Duration> {
    let ((), took) = timed(|| (0..CONNECTIONS).try_for_each(|_| connect(to, pods).map(drop)))?;
    Ok(took / CONNECTIONS)
}

/// How long a packet takes, on average: one byte, there and back.
fn packets(client: &mut TcpStream, pod: &mut TcpStream) -> anyhow::Result<Duration> {
    let mut byte = [0];
    let ((), took) = timed(|| {
        for _ in 0..PACKETS / 2 {
            client.write_all(&byte)?;
            pod.read_exact(&mut byte)?;
            pod.write_all(&byte)?;
            client.read_exact(&mut byte)?;
        }
        Ok(())
    })?;
    Ok(took / PACKETS)
}

fn connect(to: SocketAddr, pods: &TcpListener) -> anyhow::Result<(TcpStream, TcpStream)> {
    let client = TcpStream::connect_timeout(&to, Duration::from_secs(5))?;
    Ok((client, pods.accept()?.0))
}

/// How long it takes to read all counters anew: the fastest of some readings.
fn read() -> anyhow::Result<Duration> {
    let mut socket = CounterSocket::open()?;
    let mut fastest = Duration::MAX;
    for _ in 0..5 {
        let mut traffic = Traffic::new(&Family::BOTH, PLACES);
        traffic.read(&mut socket, Instant::now())?;
        fastest = fastest.min(traffic.took());
    }
    Ok(fastest)
}
