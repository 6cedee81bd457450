//! Deletes tracked connections that have outlived what they were made for.

use std::time::{Duration, Instant};

use fairlead_core::address::{Family, Protocol};
use fairlead_core::conntrack::{Flow, NodePortReach, Search, Suspects};
use fairlead_core::model::Destination;
use fairlead_core::route::Target;
use fairlead_kernel::conntrack::{self, Conntrack, ConntrackError, Query};

/// What came of looking through the connections of a family.
#[derive(Debug)]
pub struct Swept {
    /// How many were deleted.
    pub deleted: usize,
    /// Those that are stale and still there, with the error number (errno(3)).
    pub refused: Vec<(conntrack::Flow, i32)>,
    /// How long it took.
    pub took: Duration,
}

/// Deletes the stale connections of a family. What it costs depends on the number of connections,
/// not on that of Services.
///
/// # Errors
/// The table of connections cannot be read or written. Some may be deleted by then; to do it
/// again does no harm.
pub fn sweep(
    conntrack: &mut impl Conntrack,
    family: Family,
    suspects: &Suspects,
    node_ports: &NodePortReach,
) -> Result<Swept, ConntrackError> {
    let started = Instant::now();
    let (mut deleted, mut refused) = (0, Vec::new());
    let connections = conntrack.count()?;
    for search in suspects.searches(family, connections) {
        let query = query(family, search);
        let stale = conntrack.flows(&query, &|flow| {
            suspects.is_stale(&as_decided_on(flow), node_ports)
        })?;
        let outcome = conntrack.delete(&stale)?;
        deleted += outcome.deleted;
        refused.extend(outcome.refused);
    }
    let took = started.elapsed();
    Ok(Swept {
        deleted,
        refused,
        took,
    })
}

fn query(of: Family, search: Search) -> Query {
    let of = kernel_family(of);
    match search {
        Search::All(protocol) => Query::all(of, kernel_protocol(protocol)),
        Search::Destination(Destination::Address(address, protocol, port)) => Query {
            address: Some(address),
            port: Some(port),
            ..Query::all(of, kernel_protocol(protocol))
        },
        Search::Destination(Destination::NodePort(_, protocol, port)) => Query {
            port: Some(port),
            ..Query::all(of, kernel_protocol(protocol))
        },
    }
}

fn as_decided_on(flow: &conntrack::Flow) -> Flow {
    Flow {
        protocol: match flow.protocol {
            conntrack::Protocol::Tcp => Protocol::Tcp,
            conntrack::Protocol::Udp => Protocol::Udp,
            conntrack::Protocol::Sctp => Protocol::Sctp,
        },
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
