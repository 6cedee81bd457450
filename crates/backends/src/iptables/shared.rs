//! The chains that Services share, and those that no Service shows in.

use fairlead_kernel::iptables::ruleset::Table;

/// A chain that every Service may have rules in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Shared {
    /// nat `KUBE-SERVICES`: where a connection goes.
    Services,
    /// nat `KUBE-NODEPORTS`: where a connection to a node port goes.
    NodePorts,
    /// filter `KUBE-SERVICES`: cluster IPs that nothing serves.
    Unserved,
    /// filter `KUBE-EXTERNAL-SERVICES`: other addresses that nothing serves.
    UnservedExternal,
    /// filter `KUBE-NODEPORTS`: health check node ports.
    HealthChecks,
    /// filter `KUBE-PROXY-FIREWALL`: who may not use a load balancer.
    Firewall,
}

impl Shared {
    /// All of them.
    pub const ALL: [Shared; 6] = [
        Shared::Unserved,
        Shared::UnservedExternal,
        Shared::HealthChecks,
        Shared::Firewall,
        Shared::Services,
        Shared::NodePorts,
    ];

    /// The table that it is in.
    pub fn table(self) -> Table {
        match self {
            Shared::Services | Shared::NodePorts => Table::Nat,
            _ => Table::Filter,
        }
    }

    /// Its name.
    pub fn chain(self) -> &'static str {
        match self {
            Shared::Services | Shared::Unserved => "KUBE-SERVICES",
            Shared::NodePorts | Shared::HealthChecks => "KUBE-NODEPORTS",
            Shared::UnservedExternal => "KUBE-EXTERNAL-SERVICES",
            Shared::Firewall => "KUBE-PROXY-FIREWALL",
        }
    }
}

/// nat: masquerades what is marked.
pub(super) const POSTROUTING: &str = "KUBE-POSTROUTING";
/// nat: marks what is to be masqueraded.
pub(super) const MARK_MASQ: &str = "KUBE-MARK-MASQ";
/// filter: lets through what belongs to a Service.
pub(super) const FORWARD: &str = "KUBE-FORWARD";
/// filter: shared with the kubelet.
pub(super) const FIREWALL: &str = "KUBE-FIREWALL";
/// All tables: when it is gone, someone flushed them.
pub(super) const CANARY: &str = "KUBE-PROXY-CANARY";
