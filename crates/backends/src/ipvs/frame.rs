//! What there is in one family whatever Services there are.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use fairlead_core::address::Family;
use fairlead_core::model::Model;

use crate::nftables::{self, Role};

/// What one family's part is made of besides Services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The companion table's.
    pub rules: nftables::Frame,
    /// Where node ports have virtual servers.
    pub node_ips: BTreeSet<IpAddr>,
    /// Networks in which virtual servers are others'.
    pub excluded: Vec<IpNet>,
}

impl Frame {
    /// The frame of a family.
    pub(super) fn of(family: Family, model: &Model, host: &[IpAddr]) -> Frame {
        let rules = nftables::Frame::of(family, model, host, Role::Companion);
        let node_ips = match rules.node_ports.all {
            true => rules.host_ips.iter().copied().filter(answers).collect(),
            false => rules.node_ports.addresses.clone(),
        };
        Frame {
            rules,
            node_ips,
            excluded: model.settings().ipvs.exclude_cidrs.clone(),
        }
    }

    pub(super) fn family(&self) -> Family {
        self.rules.family
    }

    /// Whether an address is the host's without any Service.
    pub(super) fn is_hosts(&self, ip: &IpAddr) -> bool {
        self.rules.host_ips.contains(ip)
    }
}

/// Nobody outside the link could address a link-local address.
fn answers(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(_) => true,
        IpAddr::V6(ip) => !ip.is_unicast_link_local(),
    }
}
