//! What a relay is told of services.

use std::net::SocketAddr;
use std::sync::Arc;

use fairlead_core::address::{Family, Protocol};
use fairlead_core::api::ObjectName;
use fairlead_core::model::ServicePortName;
use fairlead_core::route::{Pool, Target};
use fairlead_core::scheduling::Scheduler;
use fairlead_relay::handle::{Listener, Source, Upstream, UpstreamName};

/// The upstream of a service, by its number.
pub(crate) fn name(service: u16, protocol: Protocol, family: Family) -> UpstreamName {
    UpstreamName {
        port: ServicePortName {
            service: ObjectName {
                namespace: "test".into(),
                name: format!("service-{service}").into(),
            },
            port: "port".into(),
            protocol,
        },
        family,
    }
}

pub(crate) fn target(endpoint: SocketAddr) -> Target {
    Target {
        address: endpoint.ip(),
        port: endpoint.port(),
    }
}

/// These endpoints in turn.
pub(crate) fn upstream(endpoints: impl IntoIterator<Item = SocketAddr>) -> Upstream {
    let mut cluster: Vec<Target> = endpoints.into_iter().map(target).collect();
    cluster.sort();
    Upstream {
        cluster: cluster.into(),
        local: Arc::default(),
        here: Arc::default(),
        scheduler: Scheduler::Rr,
        affinity_seconds: None,
    }
}

/// A listener for all endpoints of an upstream, which see this node.
pub(crate) fn listener(upstream: UpstreamName) -> Listener {
    Listener {
        upstream,
        pool: Pool::Cluster,
        source: Source::Node,
    }
}
