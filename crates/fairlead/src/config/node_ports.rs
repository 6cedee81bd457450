//! `nodePortAddresses`, and what the mode makes of it.

use fairlead_core::address::parse_net;
use fairlead_core::settings::NodePortAddresses;

use super::mode::Mode;
use super::v1alpha1::KubeProxyConfiguration;
use super::validate::Findings;

/// The field of each word and network.
const FIELD: &str = "nodePortAddresses";

/// Where node ports answer. Nothing at all means `primary` in nftables mode and every address in
/// all other modes, as in kube-proxy. On loopback ipvs mode never answers: the kernel has no
/// way from there to an endpoint (ip_vs_out_route).
pub(super) fn of(
    config: &KubeProxyConfiguration,
    mode: Mode,
    findings: &mut Findings<'_>,
) -> NodePortAddresses {
    let entries = config.node_port_addresses.as_deref().unwrap_or_default();
    let given = read(entries, findings);
    let is_nothing = given == NodePortAddresses::default();
    match mode {
        Mode::Nftables if is_nothing => NodePortAddresses::primary(),
        Mode::Nftables => given,
        // kube-proxy's userspace mode answered on every address.
        Mode::Userspace => NodePortAddresses {
            all: given.all || is_nothing,
            ..given
        },
        Mode::Ipvs => {
            if given.localhost {
                let message = "node ports cannot answer on localhost in ipvs mode";
                findings.refuse(FIELD, message);
            }
            NodePortAddresses {
                all: given.all || is_nothing,
                ..given
            }
        }
        Mode::Iptables => {
            let loopback = config.iptables.localhost_node_ports.unwrap_or(true);
            if given.localhost && !loopback {
                let message =
                    "the word localhost contradicts iptables.localhostNodePorts, which is false";
                findings.refuse(FIELD, message);
            }
            NodePortAddresses {
                all: given.all || is_nothing,
                loopback,
                ..given
            }
        }
    }
}

/// Reads the words and networks; they add up.
fn read(entries: &[String], findings: &mut Findings<'_>) -> NodePortAddresses {
    let mut addresses = NodePortAddresses::default();
    for (index, entry) in entries.iter().enumerate() {
        match entry.trim() {
            "primary" => addresses.primary = true,
            "localhost" => addresses.localhost = true,
            "all" => addresses.all = true,
            network => match parse_net(network) {
                Ok(net) => addresses.networks.push(net),
                Err(_) => findings.refuse(
                    &format!("{FIELD}[{index}]"),
                    format!(
                        "{network:?} is neither a network in CIDR notation nor one of primary, localhost, all"
                    ),
                ),
            },
        }
    }
    addresses
}
