//! A cluster of a given size, as the manifests that describe it: what `kubectl get -o yaml` would
//! print, with all the fields that a proxy has to read past.

use std::fmt;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::{Value, json};

use crate::print::count;

/// The node that the proxy is on.
pub(crate) const NODE: &str = "node-0";
/// The node's address.
pub(crate) const NODE_IP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
/// All pods of the cluster.
pub(crate) const PODS: &str = "10.128.0.0/9";
/// All cluster IPs.
pub(crate) const CLUSTER_IPS: &str = "10.96.0.0/12";
/// What every Service has.
pub(crate) const ENDPOINTS: u32 = 10;
/// The port that all pods listen on.
pub(crate) const POD_PORT: u16 = 8080;

const SERVICE_PORT: u16 = 80;
const NODES: u32 = 100;
/// The first of the API server's default range.
const NODE_PORTS: u32 = 30_000;

/// What Services make use of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Features {
    /// Cluster IPs.
    Plain,
    /// A tenth each: load balancers with source ranges, node ports, session affinity, and load
    /// balancers with a Local policy. The rest is plain.
    Mixed,
}

/// A cluster of Services with ten endpoints each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cluster {
    pub(crate) services: u32,
    pub(crate) features: Features,
}

impl fmt::Display for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&count(self.services as usize))?;
        match self.features {
            Features::Plain => Ok(()),
            Features::Mixed => f.write_str(" mixed"),
        }
    }
}

impl Cluster {
    /// Where the last Service is reached.
    pub(crate) fn last_service(self) -> SocketAddr {
        Cluster::service(self.services - 1)
    }

    /// Where a Service is reached.
    pub(crate) fn service(index: u32) -> SocketAddr {
        SocketAddr::from((cluster_ip(index), SERVICE_PORT))
    }

    /// The first pod of the last Service.
    pub(crate) fn last_pod(self) -> SocketAddr {
        SocketAddr::from((pod_ip((self.services - 1) * ENDPOINTS), POD_PORT))
    }

    /// Writes one YAML file with a document for each object.
    pub(crate) fn write_yaml(self, folder: &Path) -> anyhow::Result<PathBuf> {
        self.write(folder, "yaml", |file, objects| {
            for object in objects {
                writeln!(file, "---")?;
                yaml_serde::to_writer(&mut *file, &object)?;
            }
            Ok(())
        })
    }

    /// Writes one JSON file with a list of all objects.
    pub(crate) fn write_json(self, folder: &Path) -> anyhow::Result<PathBuf> {
        self.write(folder, "json", |file, objects| {
            let items: Vec<Value> = objects.collect();
            let list = json!({ "apiVersion": "v1", "kind": "List", "items": items });
            Ok(serde_json::to_writer(file, &list)?)
        })
    }

    fn write(
        self,
        folder: &Path,
        extension: &str,
        print: impl Fn(&mut BufWriter<File>, &mut dyn Iterator<Item = Value>) -> anyhow::Result<()>,
    ) -> anyhow::Result<PathBuf> {
        let path = folder.join(format!("cluster.{extension}"));
        let mut file = BufWriter::new(File::create(&path)?);
        print(&mut file, &mut self.objects())
            .and_then(|()| Ok(file.flush()?))
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    /// Every object, the Node first.
    pub(crate) fn objects(self) -> impl Iterator<Item = Value> {
        let features = self.features;
        let services =
            (0..self.services).flat_map(move |index| [service(index, features), slice(index)]);
        std::iter::once(node()).chain(services)
    }
}

/// The slice of a Service, with these endpoints and no others.
pub(crate) fn slice_of(service: u32, endpoints: &[Ipv4Addr]) -> Value {
    let mut slice = slice(service);
    let endpoints = endpoints.iter().map(|ip| {
        let mut endpoint = endpoint(service, 0);
        endpoint["addresses"] = json!([ip]);
        endpoint
    });
    slice["endpoints"] = endpoints.collect();
    slice
}

/// An address of a pod that no Service has.
pub(crate) fn spare_pod_ip(index: u32) -> Ipv4Addr {
    nth(Ipv4Addr::new(10, 192, 0, 0), index)
}

/// An address that no Service has.
pub(crate) fn spare_cluster_ip(index: u32) -> Ipv4Addr {
    nth(Ipv4Addr::new(10, 104, 0, 0), index)
}

/// The cluster IP of a Service.
pub(crate) fn cluster_ip(service: u32) -> Ipv4Addr {
    nth(Ipv4Addr::new(10, 96, 1, 0), service)
}

/// The address of a pod.
pub(crate) fn pod_ip(pod: u32) -> Ipv4Addr {
    nth(Ipv4Addr::new(10, 128, 1, 0), pod)
}

fn nth(first: Ipv4Addr, index: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(first.to_bits() + index)
}

fn node() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": { "name": NODE, "labels": { "topology.kubernetes.io/zone": "zone-a" } },
        "spec": { "podCIDR": "10.128.0.0/24", "podCIDRs": ["10.128.0.0/24"] },
        "status": { "addresses": [
            { "type": "InternalIP", "address": NODE_IP },
            { "type": "Hostname", "address": NODE },
        ]},
    })
}

fn service(index: u32, features: Features) -> Value {
    let name = name(index);
    let ip = cluster_ip(index);
    let mut service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": name,
            "namespace": "shop",
            "labels": { "app.kubernetes.io/name": name },
            "creationTimestamp": "2025-03-01T12:00:00Z",
            "resourceVersion": (100_000 + index).to_string(),
            "uid": uid("5e7a1ce0", index),
        },
        "spec": {
            "type": "ClusterIP",
            "clusterIP": ip,
            "clusterIPs": [ip],
            "internalTrafficPolicy": "Cluster",
            "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack",
            "ports": [{ "name": "http", "port": SERVICE_PORT, "protocol": "TCP", "targetPort": "http" }],
            "selector": { "app.kubernetes.io/name": name },
            "sessionAffinity": "None",
        },
        "status": { "loadBalancer": {} },
    });
    if features == Features::Mixed {
        mix(&mut service, index);
    }
    service
}

fn mix(service: &mut Value, index: u32) {
    let node_port = NODE_PORTS + index / 10 * 4;
    let load_balancer_ip = nth(Ipv4Addr::new(192, 168, 0, 0), index);
    match index % 10 {
        0 => {
            expose(service, "LoadBalancer", node_port);
            service["spec"]["loadBalancerSourceRanges"] =
                json!(["198.51.100.0/24", "203.0.113.0/25"]);
            service["status"]["loadBalancer"]["ingress"] = json!([{ "ip": load_balancer_ip }]);
        }
        1 => expose(service, "NodePort", node_port + 1),
        2 => {
            service["spec"]["sessionAffinity"] = json!("ClientIP");
            service["spec"]["sessionAffinityConfig"] =
                json!({ "clientIP": { "timeoutSeconds": 10_800 } });
        }
        3 => {
            expose(service, "LoadBalancer", node_port + 2);
            service["spec"]["externalTrafficPolicy"] = json!("Local");
            service["spec"]["healthCheckNodePort"] = json!(node_port + 3);
            service["status"]["loadBalancer"]["ingress"] = json!([{ "ip": load_balancer_ip }]);
        }
        _ => {}
    }
}

fn expose(service: &mut Value, kind: &str, node_port: u32) {
    service["spec"]["type"] = json!(kind);
    service["spec"]["externalTrafficPolicy"] = json!("Cluster");
    service["spec"]["ports"][0]["nodePort"] = json!(node_port);
}

fn slice(index: u32) -> Value {
    let name = name(index);
    let endpoints: Vec<Value> = (0..ENDPOINTS).map(|nth| endpoint(index, nth)).collect();
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": format!("{name}-x7k2p"),
            "namespace": "shop",
            "labels": {
                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
                "kubernetes.io/service-name": name,
            },
            "ownerReferences": [{
                "apiVersion": "v1",
                "blockOwnerDeletion": true,
                "controller": true,
                "kind": "Service",
                "name": name,
                "uid": uid("5e7a1ce0", index),
            }],
            "resourceVersion": (200_000 + index).to_string(),
            "uid": uid("51ce0000", index),
        },
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": [{ "name": "http", "port": POD_PORT, "protocol": "TCP" }],
    })
}

fn endpoint(service: u32, nth: u32) -> Value {
    let pod = service * ENDPOINTS + nth;
    json!({
        "addresses": [pod_ip(pod)],
        "conditions": { "ready": true, "serving": true, "terminating": false },
        "nodeName": format!("node-{}", (service / 10 + nth) % NODES),
        "targetRef": {
            "kind": "Pod",
            "name": format!("{}-{pod:x}", name(service)),
            "namespace": "shop",
            "uid": uid("90d00000", pod),
        },
        "zone": "zone-a",
    })
}

fn name(index: u32) -> String {
    format!("web-{index:05}")
}

fn uid(kind: &str, index: u32) -> String {
    format!("{kind}-0000-4000-8000-{index:012x}")
}
