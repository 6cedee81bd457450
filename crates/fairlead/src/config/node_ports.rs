//! `nodePortAddresses`.

use fairlead_core::address::parse_net;
use fairlead_core::settings::NodePortAddresses;

/// Reads the words and networks; they add up. Nothing at all means `primary`. What is wrong comes
/// with its index.
pub(super) fn read(entries: &[String], errors: &mut Vec<(usize, String)>) -> NodePortAddresses {
    let mut addresses = NodePortAddresses::default();
    for (index, entry) in entries.iter().enumerate() {
        match entry.trim() {
            "primary" => addresses.primary = true,
            "localhost" => addresses.localhost = true,
            "all" => addresses.all = true,
            network => match parse_net(network) {
                Ok(net) => addresses.networks.push(net),
                Err(_) => errors.push((
                    index,
                    format!(
                        "{network:?} is neither a network in CIDR notation nor one of primary, localhost, all"
                    ),
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
