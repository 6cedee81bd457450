//! SCTP, with sockets of the kernel at both ends.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use fairlead_core::address::Protocol;
use fairlead_lab::{Client, Lab, Outcome, Source};
use libtest_mimic::Failed;
use serde_json::{Value, json};

use crate::rig::proxy::ruleset;
use crate::rig::{FAIRLEAD, Folder, Mode};

/// One on the node and one elsewhere, in each family.
const PODS: [&str; 4] = [
    "10.244.1.130:8080",
    "10.244.2.5:8080",
    "[fd00:10:244:1:8000::1]:8080",
    "[fd00:10:244:2::5]:8080",
];

/// The cluster IPs and node ports of one Service.
const DESTINATIONS: [&str; 4] = [
    "10.96.0.1:3868",
    "192.0.2.10:30868",
    "[fd00:10:96::1]:3868",
    "[2001:db8:2::10]:30868",
];

/// Of two endpoints one is missed by chance in two of a million times.
const TRIES: usize = 20;

pub(crate) fn is_forwarded() -> Result<(), Failed> {
    is_forwarded_in(Mode::Nftables)
}

pub(crate) fn is_forwarded_by_ipvs() -> Result<(), Failed> {
    is_forwarded_in(Mode::Ipvs)
}

fn is_forwarded_in(mode: Mode) -> Result<(), Failed> {
    let mut lab = Lab::new()?;
    let folder = Folder::new(&objects())?;
    let mut fairlead = Command::new(FAIRLEAD);
    fairlead.args(["run", "--once", "--hostname-override=node1"]);
    fairlead.args(mode.flags());
    fairlead.args([
        "--cluster-cidr=10.244.0.0/16,fd00:10:244::/48",
        "--manifests",
    ]);
    lab.run_on_node(fairlead.arg(folder.path()))?;
    // A node has rules for SCTP without speaking it; whoever does loads the module.
    assert!(!is_loaded()?, "the module was loaded for the rules");
    for pod in PODS {
        lab.answer_sctp(pod.parse()?)?;
    }
    assert!(is_loaded()?);

    let mut differences = Vec::new();
    for to in DESTINATIONS {
        for client in [Client::Pod, Client::Node, Client::Outside] {
            let mut met = lab
                .ask(client, Protocol::Sctp, to.parse()?, TRIES)?
                .outcome();
            let expected = expected(client, to.parse()?);
            if client == Client::Node {
                // Which of its own addresses the node uses says nothing.
                met.source.clear();
            }
            if met != expected {
                differences.push(format!("{client} -> {to}: expected {expected}, got {met}"));
            }
        }
    }
    match differences.is_empty() {
        true => Ok(()),
        false => Err(format!("{}\n{}", differences.join("\n"), ruleset(&lab)).into()),
    }
}

/// Whether the kernel's module is loaded.
fn is_loaded() -> Result<bool, Failed> {
    let modules = fs::read_to_string("/proc/modules")?;
    Ok(modules.lines().any(|line| line.starts_with("sctp ")))
}

/// All endpoints of the family; and a pod's own address at a cluster IP, where it is not hidden.
fn expected(client: Client, to: SocketAddr) -> Outcome {
    let pods = PODS.iter().filter_map(|pod| pod.parse().ok());
    let of_family = pods.filter(|pod: &SocketAddr| pod.is_ipv4() == to.is_ipv4());
    let source = match (client, to.port()) {
        (Client::Node, _) => None,
        (Client::Pod, 3868) => Some(Source::Kept),
        _ => Some(Source::Masqueraded),
    };
    Outcome {
        endpoints: of_family
            .map(|pod| format!("{} {}", pod.ip(), pod.port()))
            .collect(),
        source: source.into_iter().collect(),
        errors: BTreeSet::new(),
    }
}

fn objects() -> [Value; 3] {
    let ports = json!([{"name": "diameter", "protocol": "SCTP", "port": 8080}]);
    let slice = |name: &str, family: &str, addresses: [&str; 2]| {
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": name, "namespace": "tests",
                         "labels": {"kubernetes.io/service-name": "subscribers"}},
            "addressType": family, "ports": ports,
            "endpoints": addresses.map(|address| json!({"addresses": [address]})),
        })
    };
    [
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "subscribers", "namespace": "tests"},
            "spec": {
                "type": "NodePort",
                "clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1", "fd00:10:96::1"],
                "ipFamilies": ["IPv4", "IPv6"],
                "ports": [{"name": "diameter", "protocol": "SCTP", "port": 3868,
                           "targetPort": 8080, "nodePort": 30868}],
            },
        }),
        slice("subscribers-4", "IPv4", ["10.244.1.130", "10.244.2.5"]),
        slice(
            "subscribers-6",
            "IPv6",
            ["fd00:10:244:1:8000::1", "fd00:10:244:2::5"],
        ),
    ]
}
