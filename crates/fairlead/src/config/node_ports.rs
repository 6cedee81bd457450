//! `--nodeport-addresses`.

use fairlead_core::address::parse_net;
use fairlead_core::settings::NodePortAddresses;

/// Reads the words and networks; they add up. Nothing at all means `primary`.
pub(super) fn read(entries: &[String], errors: &mut Vec<String>) -> NodePortAddresses {
    let mut addresses = NodePortAddresses::default();
    for entry in entries
        .iter()
        .map(|entry| entry.trim())
        .filter(|entry| !entry.is_empty())
    {
        match entry {
            "primary" => addresses.primary = true,
            "localhost" => addresses.localhost = true,
            "all" => addresses.all = true,
            network => match parse_net(network) {
                Ok(net) => addresses.networks.push(net),
                Err(_) => errors.push(format!(
                    "--nodeport-addresses: {network:?} is neither a network in CIDR notation nor one of primary, \
                     localhost, all"
                )),
            },
        }
    }
    if addresses == NodePortAddresses::default() {
        NodePortAddresses::primary()
    } else {
        addresses
    }
}
