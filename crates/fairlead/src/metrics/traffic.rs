//! What Services are used for and what is refused, as the kernel counts it.
//!
//! Read when somebody scrapes, and not more often than the kernel's answer is worth: see
//! [`Traffic`].

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use fairlead_backends::nftables::{Reason, Totals, Traffic};
use fairlead_core::address::Family;
use fairlead_kernel::nft::counters::ReadCounters;
use prometheus::Result;
use prometheus::core::Collector;
use tracing::warn;

use super::scraped::{Described, Samples, Scraped};

const SERVICE: &[&str] = &["namespace", "service"];
const DIRECTED: &[&str] = &["namespace", "service", "direction"];

const CONNECTIONS: Described = Described::counter(
    "fairlead_service_connections_total",
    "Connections that were sent to an endpoint of a Service",
    SERVICE,
);

const PACKETS: Described = Described::counter(
    "fairlead_service_packets_total",
    "Packets of connections to a Service: original, from its clients, or reply, to them",
    DIRECTED,
);

const BYTES: Described = Described::counter(
    "fairlead_service_bytes_total",
    "Bytes of these packets, from the IP header on",
    DIRECTED,
);

const REFUSED: Described = Described::counter(
    "fairlead_service_refused_packets_total",
    "Packets to a Service that were refused for want of an endpoint",
    SERVICE,
);

const DROPPED: Described = Described::counter(
    "fairlead_dropped_packets_total",
    "Packets that were rejected or dropped, by the reason",
    &["reason"],
);

const TOOK: Described = Described::gauge(
    "fairlead_traffic_read_duration_seconds",
    "How long it took to read what the kernel counts, the last time",
    &[],
);

/// What the tables of these families count, read by a handle of their own. At most `services`
/// Services are told one by one.
pub(super) fn traffic<R: ReadCounters + Send + 'static>(
    from: R,
    families: &[Family],
    services: usize,
) -> Result<impl Collector + use<R>> {
    static METRICS: [Described; 6] = [CONNECTIONS, PACKETS, BYTES, REFUSED, DROPPED, TOOK];
    let reader = Mutex::new((from, Traffic::new(families, services)));
    Scraped::new(&METRICS, move |samples| {
        // Nothing in there is half done when somebody panics; sums are no worse for it.
        let mut reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
        let (from, traffic) = &mut *reader;
        if let Err(error) = traffic.read(from, Instant::now()) {
            warn!("/metrics tells of traffic what was counted earlier: {error}");
        }
        tell(traffic, samples);
    })
}

fn tell(traffic: &Traffic, samples: &mut Samples) {
    for (name, totals) in traffic.services() {
        if let Some((namespace, service)) = name.split_once('/') {
            add(samples, [namespace, service], totals);
        }
    }
    // No Service is without a namespace, so this one is nobody's.
    add(samples, ["", "others"], traffic.others());
    for reason in Reason::ALL {
        let packets = traffic.refused(reason);
        samples.count(DROPPED.name, &[reason.name()], packets);
    }
    samples.add(TOOK.name, &[], traffic.took().as_secs_f64());
}

fn add(samples: &mut Samples, [namespace, service]: [&str; 2], totals: Totals) {
    let name = [namespace, service];
    samples.count(CONNECTIONS.name, &name, totals.connections);
    samples.count(REFUSED.name, &name, totals.refused);
    for (direction, counts) in [("original", totals.original), ("reply", totals.reply)] {
        let name = [namespace, service, direction];
        samples.count(PACKETS.name, &name, counts.packets);
        samples.count(BYTES.name, &name, counts.bytes);
    }
}
