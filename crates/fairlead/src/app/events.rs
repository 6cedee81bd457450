//! The events that are recorded: kube-proxy's, by their names.

use fairlead_core::api::ObjectName;
use fairlead_core::report::Unmet;
use tracing::warn;

use fairlead_source::cluster::{Event, EventKind, Recorder, Regarding};

use crate::http::{HardFailure, Server, ServiceHealthFailure};

/// What is said of an event whatever happened in particular.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Occasion {
    pub(crate) kind: EventKind,
    pub(crate) reason: &'static str,
    pub(crate) action: &'static str,
}

const STARTED: Occasion = Occasion {
    kind: EventKind::Normal,
    reason: "Starting",
    action: "StartKubeProxy",
};

const NO_HEALTH_SERVER: Occasion = Occasion {
    kind: EventKind::Warning,
    reason: "FailedToStartProxierHealthcheck",
    ..STARTED
};

const NO_METRICS_SERVER: Occasion = Occasion {
    kind: EventKind::Warning,
    reason: "FailedToStartMetricServer",
    ..STARTED
};

const NO_SERVICE_HEALTH: Occasion = Occasion {
    kind: EventKind::Warning,
    reason: "FailedToStartServiceHealthcheck",
    action: "Listen",
};

/// A Service asks for a scheduler that there is not.
const NO_SCHEDULER: Occasion = Occasion {
    kind: EventKind::Warning,
    reason: "SchedulerNotUsed",
    action: "UseDefaultScheduler",
};

/// A port of a Service cannot be served in this mode, or on this node.
const NO_PORT: Occasion = Occasion {
    kind: EventKind::Warning,
    reason: "PortNotServed",
    action: "RefuseConnections",
};

/// All there are, with the kind of object that each is on.
#[cfg(test)]
pub(crate) const ALL: [(Occasion, &str); 6] = [
    (STARTED, "Node"),
    (NO_HEALTH_SERVER, "Node"),
    (NO_METRICS_SERVER, "Node"),
    (NO_SERVICE_HEALTH, "Service"),
    (NO_SCHEDULER, "Service"),
    (NO_PORT, "Service"),
];

/// Records events, if there is where to.
#[derive(Debug, Clone)]
pub(super) struct Events(Option<Recorder>);

impl Events {
    /// Events go there; of files there is nobody to tell.
    pub(super) fn to(recorder: Option<Recorder>) -> Events {
        Events(recorder)
    }

    /// The proxy started.
    pub(super) fn started(&self) {
        self.record(STARTED, String::new(), Regarding::Node);
    }

    /// A server of which there is one cannot listen, and the process ends.
    pub(super) fn cannot_listen(&self, failure: &HardFailure) {
        let occasion = match failure.server {
            Server::Health => NO_HEALTH_SERVER,
            Server::Metrics => NO_METRICS_SERVER,
        };
        self.record(occasion, failure.to_string(), Regarding::Node);
    }

    /// The health check node port of a Service cannot be had on this node.
    pub(super) fn cannot_check(&self, node: &str, failure: &ServiceHealthFailure) {
        let service = Regarding::Service(failure.service.clone());
        self.record(NO_SERVICE_HEALTH, note(node, failure), service);
    }

    /// A Service does without what it asks for.
    pub(super) fn does_without(&self, node: &str, service: &ObjectName, what: &Unmet) {
        let occasion = match what {
            Unmet::Scheduler(_) => NO_SCHEDULER,
            Unmet::Port(_) => NO_PORT,
        };
        let regarding = Regarding::Service(service.clone());
        self.record(occasion, format!("node {node}: {what}"), regarding);
    }

    fn record(&self, occasion: Occasion, note: String, regarding: Regarding) {
        let Some(recorder) = &self.0 else { return };
        let Occasion {
            kind,
            reason,
            action,
        } = occasion;
        let event = Event {
            kind,
            reason,
            action,
            note,
            regarding,
        };
        if !recorder.record(event) {
            warn!("too many events at once; {reason} was not recorded");
        }
    }
}

/// The Service is the same on all nodes, so the event says which of them it is about.
fn note(node: &str, failure: &ServiceHealthFailure) -> String {
    format!("node {node} {failure}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_cannot_be_had_is_told_in_kube_proxys_words() {
        let failure = ServiceHealthFailure {
            service: ObjectName::new("shop", "edge"),
            port: 30_999,
            error: "address in use".to_owned(),
        };
        assert_eq!(
            note("node-1", &failure),
            "node node-1 failed to start healthcheck \"shop/edge\" on port 30999: address in use"
        );
    }
}
