//! Whether a configuration suits the IP families of the node, once they are known.

use ipnet::IpNet;

use fairlead_core::address::{Family, parse_ip, parse_net};

use super::address::socket;
use super::mode::Mode;
use super::v1alpha1::KubeProxyConfiguration;

/// At the start they are waited for; while the proxy runs the mode can become another.
const NO_POD_CIDRS: &str = "detectLocalMode is NodeCIDR but the Node has no spec.podCIDRs: no traffic is taken for that \
                            of local pods until it has";

/// What is known of the node.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NodeFamilies<'a> {
    /// The family of the node's first address.
    pub(crate) primary: Family,
    /// Whether the node and its kernel have both.
    pub(crate) dual_stack: bool,
    /// The Node's pod CIDRs.
    pub(crate) pod_cidrs: &'a [IpNet],
}

/// What is to be said of a configuration on a node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Judgement {
    /// What may not be meant so.
    pub(crate) warnings: Vec<String>,
    /// What cannot work.
    pub(crate) errors: Vec<String>,
}

/// As in kube-proxy, whose users of iptables and ipvs mode know it.
const NODE_PORTS_EVERYWHERE: &str = "nodePortAddresses is not set: node ports answer on all local addresses; \
                                     primary limits them to those of the Node";

/// Compares the families in a configuration with the node's. Not all modes answer on as many
/// addresses where none are given.
pub(crate) fn judge(
    config: &KubeProxyConfiguration,
    running: Mode,
    node: &NodeFamilies<'_>,
) -> Judgement {
    let mut judgement = Judgement::default();
    node_ports(config, running, node, &mut judgement.warnings);
    if config.detect_local_mode == "NodeCIDR" && node.pod_cidrs.is_empty() {
        judgement.warnings.push(NO_POD_CIDRS.to_owned());
    }
    wrong_family(config, node, &mut judgement);
    judgement
}

/// Node ports of a family that nobody thought of answer on all of the node's addresses.
fn node_ports(
    config: &KubeProxyConfiguration,
    running: Mode,
    node: &NodeFamilies<'_>,
    warnings: &mut Vec<String>,
) {
    let entries = config.node_port_addresses.as_deref().unwrap_or_default();
    // Words mean addresses of both families, and so does nothing, which is a word's worth.
    if entries.is_empty() && running != Mode::Nftables {
        warnings.push(NODE_PORTS_EVERYWHERE.to_owned());
    }
    if entries.is_empty() || entries.iter().any(|entry| parse_net(entry.trim()).is_err()) {
        return;
    }
    let of_primary = entries
        .iter()
        .filter(|entry| family(entry) == Some(node.primary))
        .count();
    let (primary, secondary) = (node.primary, other(node.primary));
    if of_primary == 0 {
        warnings.push(format!(
            "the node is {primary}-primary but nodePortAddresses has only {secondary} networks: node ports answer on \
             all local {primary} addresses"
        ));
    } else if of_primary == entries.len() && looks_dual(config, node) {
        warnings.push(format!(
            "the cluster appears to be dual-stack but nodePortAddresses has only {primary} networks: node ports \
             answer on all local {secondary} addresses"
        ));
    }
}

/// Whether anything is given for both families.
fn looks_dual(config: &KubeProxyConfiguration, node: &NodeFamilies<'_>) -> bool {
    let excluded = config.ipvs.exclude_cidrs.as_deref().unwrap_or_default();
    let pods = node.pod_cidrs.iter().copied().map(Family::of_net).collect();
    [families(&cluster_cidrs(config)), families(excluded), pods]
        .iter()
        .any(|list| Family::BOTH.iter().all(|family| list.contains(family)))
}

fn wrong_family(
    config: &KubeProxyConfiguration,
    node: &NodeFamilies<'_>,
    judgement: &mut Judgement,
) {
    let wrong = other(node.primary);
    let kind = if node.dual_stack { "primary" } else { "only" };
    let only = |what: &str| {
        format!(
            "the node is {}-{kind} but {what} has only {wrong} addresses",
            node.primary
        )
    };
    let all_wrong =
        |list: &[Family]| !list.is_empty() && list.iter().all(|family| *family == wrong);
    let mode = config.detect_local_mode.as_str();
    if all_wrong(&families(&cluster_cidrs(config))) {
        let fatal = mode == "ClusterCIDR" && !node.dual_stack;
        judgement.add(fatal, mode, only("clusterCIDR"));
    }
    let pods: Vec<_> = node.pod_cidrs.iter().copied().map(Family::of_net).collect();
    if all_wrong(&pods) {
        let fatal = mode == "NodeCIDR";
        judgement.add(fatal, mode, only("the Node's spec.podCIDRs"));
    }
    if family(&config.winkernel.source_vip) == Some(wrong) {
        judgement.warnings.push(only("winkernel.sourceVip"));
    }
    if node.dual_stack {
        return;
    }
    let excluded = config.ipvs.exclude_cidrs.as_deref().unwrap_or_default();
    if all_wrong(&families(excluded)) {
        judgement.warnings.push(only("ipvs.excludeCIDRs"));
    }
    for (field, address) in [
        ("healthzBindAddress", &config.healthz_bind_address),
        ("metricsBindAddress", &config.metrics_bind_address),
    ] {
        // On all addresses is right in either family's words.
        let bound = socket(address).map(|socket| socket.ip());
        if bound.is_ok_and(|ip| !ip.is_unspecified() && Family::of(ip) == wrong) {
            judgement.warnings.push(only(field));
        }
    }
}

impl Judgement {
    /// What is fatal is so because of how local traffic is detected.
    fn add(&mut self, fatal: bool, mode: &str, message: String) {
        if fatal {
            self.errors.push(format!(
                "{message}, and detectLocalMode {mode} needs the other family"
            ));
        } else {
            self.warnings.push(message);
        }
    }
}

fn cluster_cidrs(config: &KubeProxyConfiguration) -> Vec<String> {
    let parts = config.cluster_cidr.split(',').map(str::trim);
    parts
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect()
}

fn families(texts: &[String]) -> Vec<Family> {
    texts.iter().filter_map(|text| family(text)).collect()
}

/// The family of an address or network.
fn family(text: &str) -> Option<Family> {
    let text = text.trim();
    let net = parse_net(text).ok().map(Family::of_net);
    net.or_else(|| parse_ip(text).ok().map(Family::of))
}

fn other(family: Family) -> Family {
    match family {
        Family::V4 => Family::V6,
        Family::V6 => Family::V4,
    }
}

#[cfg(test)]
mod tests;
