//! Deletes stale connections, off the sync path.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use tracing::{debug, info, warn};

use fairlead_core::address::{Family, Protocol};
use fairlead_core::conntrack::{Flow, Suspects};
use fairlead_core::route::Target;
use fairlead_kernel::conntrack::{self, Conntrack, ConntrackError, ConntrackSocket};

use super::metrics::Metrics;

/// What has to be looked at.
#[derive(Debug)]
pub(super) struct Sweep {
    /// The destinations that changed.
    pub(super) suspects: Suspects,
    /// The addresses that node ports may answer on.
    pub(super) host: Vec<IpAddr>,
}

/// Starts the thread that sweeps, and returns where to send what has to be looked at.
pub(super) fn start(metrics: Arc<Metrics>) -> std::io::Result<Sender<Sweep>> {
    let (sender, receiver) = channel();
    thread::Builder::new()
        .name("conntrack".to_owned())
        .spawn(move || sweep_all(&receiver, &metrics))?;
    Ok(sender)
}

fn sweep_all(receiver: &Receiver<Sweep>, metrics: &Metrics) {
    for sweep in receiver {
        match sweep_once(&sweep) {
            Ok(0) => debug!("no stale connections"),
            Ok(deleted) => {
                info!("deleted {deleted} stale connections");
                metrics.conntrack_deleted(deleted);
            }
            Err(error) => warn!("stale connections stay: {error}"),
        }
    }
}

/// One dump for each family and protocol that changed, whatever the number of Services.
pub(super) fn sweep_once(sweep: &Sweep) -> Result<usize, ConntrackError> {
    let mut conntrack = ConntrackSocket::open()?;
    let mut deleted = 0;
    for (family, protocol) in sweep.suspects.tables() {
        let is_stale = |flow: &conntrack::Flow| {
            let flow = as_decided_on(flow, protocol);
            sweep
                .suspects
                .is_stale(&flow, |ip| sweep.host.contains(&ip))
        };
        let stale = conntrack.flows(kernel_family(family), kernel_protocol(protocol), &is_stale)?;
        let outcome = conntrack.delete(&stale)?;
        deleted += outcome.deleted;
        for (flow, errno) in outcome.refused {
            let error = std::io::Error::from_raw_os_error(errno);
            warn!(
                "the connection from {} to {} stays: {error}",
                flow.original.src,
                flow.destination()
            );
        }
    }
    Ok(deleted)
}

fn as_decided_on(flow: &conntrack::Flow, protocol: Protocol) -> Flow {
    Flow {
        protocol,
        asked: Target {
            address: flow.original.dst,
            port: flow.original.dport,
        },
        answers: Target {
            address: flow.reply.src,
            port: flow.reply.sport,
        },
    }
}

fn kernel_family(family: Family) -> conntrack::Family {
    match family {
        Family::V4 => conntrack::Family::V4,
        Family::V6 => conntrack::Family::V6,
    }
}

fn kernel_protocol(protocol: Protocol) -> conntrack::Protocol {
    match protocol {
        Protocol::Tcp => conntrack::Protocol::Tcp,
        Protocol::Udp => conntrack::Protocol::Udp,
        Protocol::Sctp => conntrack::Protocol::Sctp,
    }
}
