//! What is told in userspace mode alone: what the relay carries, and what it could not.
//!
//! The relay is asked when somebody scrapes.

mod places;

use std::sync::{Mutex, PoisonError};

use fairlead_relay::counts::{Counts, Present, Refused, Sums};
use prometheus::core::Collector;
use prometheus::{IntCounter, Result};

use super::registrar::{Registrar, Served};
use super::scraped::{Described, Samples, Scraped};
use places::Places;

/// See the module.
#[derive(Debug)]
pub(super) struct UserspaceMetrics {
    failures: Served<IntCounter>,
}

impl UserspaceMetrics {
    pub(super) fn new(make: &Registrar<'_>) -> Result<UserspaceMetrics> {
        Ok(UserspaceMetrics {
            failures: make.counter(
                "fairlead_userspace_sync_failures_total",
                "Syncs that the kernel refused",
            )?,
        })
    }

    /// A sync failed.
    pub(super) fn failed(&self) {
        self.failures.each().for_each(IntCounter::inc);
    }
}

const SERVICE: &[&str] = &["namespace", "service"];

const CONNECTIONS: Described = Described::counter(
    "fairlead_userspace_connections_total",
    "TCP connections that were carried to an endpoint of a Service",
    SERVICE,
);

const OPEN: Described = Described::gauge(
    "fairlead_userspace_connections",
    "TCP connections that are carried now",
    SERVICE,
);

const MOST: Described = Described::gauge(
    "fairlead_userspace_max_connections",
    "How many connections may be carried at a time, of all Services together",
    &[],
);

const SESSIONS_EVER: Described = Described::counter(
    "fairlead_userspace_udp_sessions_total",
    "UDP clients that got an endpoint of a Service, each time they did",
    SERVICE,
);

const SESSIONS: Described = Described::gauge(
    "fairlead_userspace_udp_sessions",
    "UDP clients that are remembered now",
    SERVICE,
);

const BYTES: Described = Described::counter(
    "fairlead_userspace_bytes_total",
    "Bytes within TCP and UDP that were carried: original, from clients, or reply, to them",
    &["namespace", "service", "direction"],
);

const DIAL_FAILURES: Described = Described::counter(
    "fairlead_userspace_dial_failures_total",
    "Tries to reach an endpoint of a Service that failed",
    SERVICE,
);

const DIAL_RETRIES: Described = Described::counter(
    "fairlead_userspace_dial_retries_total",
    "Tries to reach an endpoint of a Service after another one had failed",
    SERVICE,
);

const REFUSED: Described = Described::counter(
    "fairlead_userspace_refused_total",
    "Connections and UDP clients that were carried nowhere, by the reason",
    &["namespace", "service", "reason"],
);

const SET_ASIDE: Described = Described::gauge(
    "fairlead_userspace_endpoints_set_aside",
    "Endpoints that failed and are tried by nobody for a while",
    SERVICE,
);

/// Takes a snapshot of what the relay has counted.
pub(crate) type ReadCounts = Box<dyn Fn() -> Counts + Send + Sync>;

/// What a relay counts. At most `services` Services are told one by one.
pub(super) fn relayed(read: ReadCounts, services: usize) -> Result<impl Collector> {
    static METRICS: [Described; 10] = [
        CONNECTIONS,
        OPEN,
        MOST,
        SESSIONS_EVER,
        SESSIONS,
        BYTES,
        DIAL_FAILURES,
        DIAL_RETRIES,
        REFUSED,
        SET_ASIDE,
    ];
    let places = Mutex::new(Places::new(services));
    Scraped::new(&METRICS, move |samples| {
        let counts = read();
        // Nothing in there is half done when somebody panics; sums are no worse for it.
        let mut places = places.lock().unwrap_or_else(PoisonError::into_inner);
        places.take(&counts);
        for (name, sums, now) in places.services() {
            add(samples, name, sums, now);
        }
        // No Service is without a namespace, so this one is nobody's.
        let (sums, now) = places.others();
        add(samples, ["", "others"], sums, now);
        samples.count(MOST.name, &[], counts.max_connections as u64);
    })
}

fn add(samples: &mut Samples, name: [&str; 2], sums: Sums, now: Present) {
    for (metric, count) in [
        (CONNECTIONS, sums.connections),
        (OPEN, now.connections as u64),
        (SESSIONS_EVER, sums.sessions),
        (SESSIONS, now.sessions as u64),
        (DIAL_FAILURES, sums.dial_failures),
        (DIAL_RETRIES, sums.dial_retries),
        (SET_ASIDE, now.set_aside as u64),
    ] {
        samples.count(metric.name, &name, count);
    }
    let [namespace, service] = name;
    for (direction, bytes) in [
        ("original", sums.bytes_from_clients),
        ("reply", sums.bytes_to_clients),
    ] {
        samples.count(BYTES.name, &[namespace, service, direction], bytes);
    }
    for reason in Refused::ALL {
        let name = [namespace, service, reason.name()];
        samples.count(REFUSED.name, &name, sums.refused[reason.rank()]);
    }
}
