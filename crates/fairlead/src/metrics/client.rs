//! What the API server answered, and when its watches were last heard: client-go's metrics, and
//! ours.

use std::time::{Duration, Instant};

use fairlead_core::api::Kind as Object;
use fairlead_source::cluster::WatchStatus;
use prometheus::core::Collector;
use prometheus::{HistogramVec, IntCounterVec, Result};

use super::registrar::Registrar;
use super::scraped::{Described, Scraped};

/// Bounds in seconds, as in Kubernetes' component-base.
const LATENCIES: [f64; 12] = [
    0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0,
];

/// See the module.
#[derive(Debug)]
pub(super) struct ClientMetrics {
    requests: IntCounterVec,
    durations: HistogramVec,
}

impl ClientMetrics {
    pub(super) fn new(make: &Registrar<'_>) -> Result<ClientMetrics> {
        Ok(ClientMetrics {
            requests: make.counters(
                "rest_client_requests_total",
                "Requests to the API server by the code of the answer, method and host",
                &["code", "method", "host"],
            )?,
            durations: make.histograms(
                "rest_client_request_duration_seconds",
                "How long the API server took to answer, by method and host",
                &["verb", "host"],
                &LATENCIES,
            )?,
        })
    }

    pub(super) fn answered(&self, method: &str, host: &str, code: &str, took: Duration) {
        self.requests.with_label_values(&[code, method, host]).inc();
        self.durations
            .with_label_values(&[method, host])
            .observe(took.as_secs_f64());
    }
}

const HEARD: Described = Described::gauge(
    "fairlead_watch_last_heard_seconds",
    "How long ago the API server was last heard of a resource, in seconds",
    &["resource"],
);

const CONNECTED: Described = Described::gauge(
    "fairlead_watch_connected",
    "Whether a watch or a list of a resource is under way",
    &["resource"],
);

/// How the watches fare whenever it is asked.
pub(super) fn watches(
    read: impl Fn() -> Vec<WatchStatus> + Send + Sync + 'static,
) -> Result<impl Collector> {
    static METRICS: [Described; 2] = [HEARD, CONNECTED];
    Scraped::new(&METRICS, move |samples| {
        let now = Instant::now();
        for status in read() {
            let resource = [resource(status.kind)];
            let connected = f64::from(u8::from(status.connected));
            samples.add(CONNECTED.name, &resource, connected);
            // A resource that was never heard of has no age.
            if let Some(heard) = status.heard {
                let silence = now.saturating_duration_since(heard);
                samples.add(HEARD.name, &resource, silence.as_secs_f64());
            }
        }
    })
}

/// The plural that URLs have.
fn resource(kind: Object) -> &'static str {
    match kind {
        Object::Service => "services",
        Object::EndpointSlice => "endpointslices",
        Object::Node => "nodes",
        Object::ServiceCidr => "servicecidrs",
    }
}
