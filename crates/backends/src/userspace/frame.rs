//! What there is in one family whatever Services there are.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use fairlead_core::address::Family;
use fairlead_core::model::Model;
use fairlead_relay::handle::ListenerAddress;

use crate::nftables::{self, Role};

/// What one family's part is made of besides Services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The table's.
    pub rules: nftables::Frame,
    /// The host's own addresses: endpoints that have one of them answer without being asked by
    /// rules what they may.
    pub host_ips: BTreeSet<IpAddr>,
    /// The ports that listeners may have.
    pub ports: RangeInclusive<u16>,
    /// Those of them that somebody else has.
    pub busy: Arc<BTreeSet<ListenerAddress>>,
}

impl Frame {
    /// The frame of a family.
    pub(super) fn of(
        family: Family,
        model: &Model,
        host: &[IpAddr],
        busy: &Arc<BTreeSet<ListenerAddress>>,
    ) -> Frame {
        let host_ips = host.iter().filter(|ip| Family::of(**ip) == family);
        Frame {
            rules: nftables::Frame::of(family, model, host, Role::Portal),
            host_ips: host_ips.copied().collect(),
            ports: model.settings().userspace.ports.clone(),
            busy: Arc::clone(busy),
        }
    }

    pub(super) fn family(&self) -> Family {
        self.rules.family
    }

    /// The ports that listeners could have, if somebody else did not have them.
    pub(super) fn busy(&self) -> impl Iterator<Item = ListenerAddress> {
        let ours =
            |at: &&ListenerAddress| at.family == self.family() && self.ports.contains(&at.port);
        self.busy.iter().filter(ours).copied()
    }
}
