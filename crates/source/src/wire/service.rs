//! v1 Service.

use fairlead_core::address::{Family, Protocol};
use fairlead_core::api::{self, IpMode, ObjectName, ServiceType, SessionAffinity, TrafficPolicy};
use serde::Deserialize;

use super::field::{Int, Word, Words, spec};
use super::metadata::{Labels, Metadata};

/// A v1 Service.
#[derive(Debug, Deserialize)]
#[serde(expecting = "a mapping (a Service)")]
pub struct Service {
    metadata: Option<Metadata>,
    #[serde(deserialize_with = "spec")]
    spec: Spec,
    status: Option<Status>,
}

#[derive(Debug, Deserialize)]
#[serde(
    rename_all = "camelCase",
    expecting = "a mapping (the spec of a Service)"
)]
struct Spec {
    r#type: Option<Word<ServiceType>>,
    #[serde(rename = "clusterIP")]
    cluster_ip: Option<String>,
    #[serde(rename = "clusterIPs")]
    cluster_ips: Option<Vec<String>>,
    ip_families: Option<Vec<Word<Family>>>,
    #[serde(rename = "externalIPs")]
    external_ips: Option<Vec<String>>,
    load_balancer_source_ranges: Option<Vec<String>>,
    external_traffic_policy: Option<Word<TrafficPolicy>>,
    internal_traffic_policy: Option<Word<TrafficPolicy>>,
    session_affinity: Option<Word<Affinity>>,
    session_affinity_config: Option<AffinityConfig>,
    health_check_node_port: Option<Int>,
    ports: Option<Vec<PortEntry>>,
}

#[derive(Debug, Clone, Copy)]
enum Affinity {
    None,
    ClientIp,
}

impl Words for Affinity {
    const WORDS: &'static [(&'static str, Affinity)] =
        &[("None", Affinity::None), ("ClientIP", Affinity::ClientIp)];
    const EMPTY: Option<Affinity> = Some(Affinity::None);
}

#[derive(Debug, Deserialize)]
#[serde(expecting = "a mapping with clientIP")]
struct AffinityConfig {
    #[serde(rename = "clientIP")]
    client_ip: Option<ClientIp>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "a mapping with timeoutSeconds")]
struct ClientIp {
    timeout_seconds: Option<Int>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "a mapping with a port")]
struct PortEntry {
    name: Option<String>,
    protocol: Option<Word<Protocol>>,
    port: Int,
    node_port: Option<Int>,
}

#[derive(Debug, Deserialize)]
#[serde(
    rename_all = "camelCase",
    expecting = "a mapping (the status of a Service)"
)]
struct Status {
    load_balancer: Option<LoadBalancer>,
}

#[derive(Debug, Deserialize)]
#[serde(expecting = "a mapping with ingress")]
struct LoadBalancer {
    ingress: Option<Vec<Ingress>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "a mapping with an ip")]
struct Ingress {
    ip: Option<String>,
    ip_mode: Option<Word<IpMode>>,
}

impl Service {
    pub(super) fn metadata(&self) -> Option<&Metadata> {
        self.metadata.as_ref()
    }

    pub(super) fn into_api(mut self, name: ObjectName) -> api::Service {
        let created = self.metadata.as_ref().and_then(Metadata::created);
        let labels = Labels::take(&mut self.metadata);
        let scheduler = self.metadata.as_mut().and_then(Metadata::take_scheduler);
        let spec = self.spec;
        let ingress = self
            .status
            .and_then(|status| status.load_balancer)
            .and_then(|balancer| balancer.ingress);
        api::Service {
            name,
            created,
            other_proxy: labels.other_proxy,
            scheduler,
            kind: spec.r#type.map(|Word(kind)| kind).unwrap_or_default(),
            affinity: affinity(spec.session_affinity, spec.session_affinity_config),
            cluster_ip: spec.cluster_ip.unwrap_or_default(),
            cluster_ips: spec.cluster_ips.unwrap_or_default(),
            ip_families: each(spec.ip_families, |Word(family)| family),
            external_ips: spec.external_ips.unwrap_or_default(),
            ingress: each(ingress, Ingress::into_api),
            source_ranges: spec.load_balancer_source_ranges.unwrap_or_default(),
            external_policy: spec
                .external_traffic_policy
                .map(|Word(policy)| policy)
                .unwrap_or_default(),
            internal_policy: spec
                .internal_traffic_policy
                .map(|Word(policy)| policy)
                .unwrap_or_default(),
            health_check_node_port: spec.health_check_node_port.map_or(0, |Int(port)| port),
            ports: each(spec.ports, PortEntry::into_api),
        }
    }
}

fn affinity(word: Option<Word<Affinity>>, config: Option<AffinityConfig>) -> SessionAffinity {
    match word {
        None | Some(Word(Affinity::None)) => SessionAffinity::None,
        Some(Word(Affinity::ClientIp)) => {
            let timeout = config
                .and_then(|config| config.client_ip)
                .and_then(|client| client.timeout_seconds);
            SessionAffinity::ClientIp {
                timeout_seconds: timeout.map(|Int(seconds)| seconds),
            }
        }
    }
}

impl PortEntry {
    fn into_api(self) -> api::ServicePort {
        api::ServicePort {
            name: self.name.unwrap_or_default(),
            protocol: self
                .protocol
                .map_or(Protocol::Tcp, |Word(protocol)| protocol),
            port: self.port.0,
            node_port: self.node_port.map_or(0, |Int(port)| port),
        }
    }
}

impl Ingress {
    fn into_api(self) -> api::Ingress {
        api::Ingress {
            ip: self.ip.unwrap_or_default(),
            mode: self.ip_mode.map(|Word(mode)| mode).unwrap_or_default(),
        }
    }
}

/// Converts the elements of a list that may be absent.
pub(super) fn each<T, U>(list: Option<Vec<T>>, convert: impl FnMut(T) -> U) -> Vec<U> {
    list.unwrap_or_default().into_iter().map(convert).collect()
}
