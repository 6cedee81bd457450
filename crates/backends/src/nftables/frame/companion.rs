//! What a table does besides in ipvs mode, where service addresses are this host's own.

use fairlead_kernel::nft::rule::{Expr, Rule, Statement};

use super::super::schema::{CLUSTER_IPS, DEVICE_IPS, HOST_IPS, Role};
use super::{Frame, rules};

/// The chain that refuses what no Service has.
pub(super) const SERVICE_IPS_CHECK: &str = "service-ips-check";

impl Frame {
    /// What this node sends to a service address has that address as its source, since both are
    /// on this host. No endpoint's answer would come back to it.
    pub(super) fn masquerade_own(&self) -> Option<Rule> {
        let from_cluster_ip = Statement::InSet {
            key: vec![Expr::SourceAddress],
            set: CLUSTER_IPS,
            negate: false,
        };
        (self.role == Role::Companion).then(|| {
            Rule::new([from_cluster_ip, Statement::SetMark(self.mark)])
                .comment("masquerade what this node sends as the service")
        })
    }

    /// What has come so far is for no Service: without this the host's own programs would answer
    /// on service addresses.
    pub(super) fn refuse_service_ips(&self) -> Option<Rule> {
        let check = Statement::Jump(SERVICE_IPS_CHECK.into());
        (self.role == Role::Companion).then(|| Rule::new([check]))
    }
}

/// The rules of [`SERVICE_IPS_CHECK`]. The host may have an address that a Service has, too.
pub(super) fn service_ips_check() -> Vec<Rule> {
    let hosts_own = Rule::new([rules::to(HOST_IPS), Statement::Return]);
    let refuse = rules::service_ips_check(DEVICE_IPS);
    std::iter::once(hosts_own).chain(refuse).collect()
}
