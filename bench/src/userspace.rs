//! Userspace mode beside HAProxy: the same clients, endpoints and node, the same number of threads,
//! and the same connection tracking, for both are in one namespace with Fairlead's table.
//!
//! They take turns, so that whatever else the machine does is the same to both.

mod endpoints;
mod load;
mod network;
mod proxies;
mod tables;

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use fairlead_lab::privilege;

use load::Done;
use network::Network;
use proxies::Subject;

/// How often each is measured.
const ROUNDS: usize = 5;
/// How long, each time.
const LASTING: Duration = Duration::from_secs(3);
/// How many idle connections are wanted.
const IDLE: usize = 10_000;
/// Descriptors of a proxy that are no connections.
const OTHER_DESCRIPTORS: usize = 1000;
/// After this, connections that were made are idle.
const UNTIL_IDLE: Duration = Duration::from_secs(2);
/// More threads than these Fairlead does not have by itself.
const MOST_THREADS: usize = 4;

/// A kind of load.
struct Load {
    name: &'static str,
    /// Which of the ports it goes to.
    port: usize,
    put: fn(SocketAddr, Duration) -> anyhow::Result<Done>,
}

const LOADS: [Load; 3] = [
    Load {
        name: "connections",
        port: 0,
        put: load::connections,
    },
    Load {
        name: "requests",
        port: 1,
        put: load::requests,
    },
    Load {
        name: "bulk",
        port: 2,
        put: load::bulk,
    },
];

/// What was measured of somebody.
struct Measured {
    name: &'static str,
    /// Of each load, each round.
    runs: [Vec<Run>; LOADS.len()],
    /// Memory in KiB at rest, and with idle connections; how many.
    idle: Option<Idle>,
}

/// One round of one load.
#[derive(Clone, Copy)]
struct Run {
    done: Done,
    processor: Duration,
}

/// What idle connections take.
struct Idle {
    connections: usize,
    /// Memory of the process in KiB, without any and with them.
    memory: [usize; 2],
}

/// Measures all of it, and prints it.
pub(crate) fn measure() -> anyhow::Result<()> {
    // Before there is a second thread.
    privilege::obtain()?;
    let threads = thread::available_parallelism().map_or(1, |count| count.get().min(MOST_THREADS));
    println!("{}, {threads} threads each", crate::machine());
    let idle = IDLE.min((descriptors()? - OTHER_DESCRIPTORS) / 2);
    let folder = tempfile::tempdir()?;
    let network = Network::lay()?;
    endpoints::start(&network.endpoints)?;
    let subjects = [
        Subject::fairlead(&network, folder.path())?,
        Subject::haproxy(&network, folder.path(), threads, idle + 100)?,
        Subject::nobody(),
    ];
    let mut measured = subjects.each_ref().map(|subject| Measured {
        name: subject.name,
        runs: [const { Vec::new() }; LOADS.len()],
        idle: None,
    });
    for round in 0..ROUNDS {
        eprintln!("round {} of {ROUNDS} ...", round + 1);
        let mut order: Vec<usize> = (0..subjects.len()).collect();
        if round % 2 == 1 {
            // What gets slower or faster all the while is nobody's advantage.
            order.reverse();
        }
        for (at, load) in LOADS.iter().enumerate() {
            for &who in &order {
                let run = put(&network, &subjects[who], load)?;
                measured[who].runs[at].push(run);
            }
        }
    }
    for (subject, measured) in subjects.iter().zip(&mut measured) {
        if !subject.idle.is_empty() {
            eprintln!("{idle} idle connections, {} ...", subject.name);
            measured.idle = Some(keep(&network, subject, idle)?);
        }
    }
    tables::print(&measured);
    Ok(())
}

fn put(network: &Network, subject: &Subject, load: &Load) -> anyhow::Result<Run> {
    let before = subject.processor_time()?;
    let to = subject.to[load.port];
    let done = network.clients.run(|| (load.put)(to, LASTING))?;
    let done = done.with_context(|| format!("{}, {}", subject.name, load.name))?;
    if done.errors > 0 {
        let Done { count, errors, .. } = done;
        eprintln!(
            "{}, {}: {errors} errors beside {count}",
            subject.name, load.name
        );
    }
    Ok(Run {
        done,
        processor: subject.processor_time()?.saturating_sub(before),
    })
}

fn keep(network: &Network, subject: &Subject, connections: usize) -> anyhow::Result<Idle> {
    thread::sleep(UNTIL_IDLE);
    let before = subject.memory()?;
    let kept = network
        .clients
        .run(|| load::idle(&subject.idle, connections))??;
    thread::sleep(UNTIL_IDLE);
    Ok(Idle {
        connections: kept.len(),
        memory: [before, subject.memory()?],
    })
}

/// How many descriptors a process may have, which this one takes.
fn descriptors() -> anyhow::Result<usize> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    Ok(usize::try_from(most)?)
}
