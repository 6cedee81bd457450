//! kube-proxy's metrics of nftables mode alone. Every mode has a module like this one.

use prometheus::{IntCounter, Result};

use super::registrar::{Registrar, Served};

/// See the module.
#[derive(Debug)]
pub(super) struct NftablesMetrics {
    sync_failures: Served<IntCounter>,
    cleanup_failures: Served<IntCounter>,
}

impl NftablesMetrics {
    pub(super) fn new(make: &Registrar<'_>) -> Result<NftablesMetrics> {
        Ok(NftablesMetrics {
            sync_failures: make.counter(
                "kubeproxy_sync_proxy_rules_nftables_sync_failures_total",
                "Syncs that the kernel refused",
            )?,
            cleanup_failures: make.counter(
                "kubeproxy_sync_proxy_rules_nftables_cleanup_failures_total",
                "Syncs of nothing but leftovers that the kernel refused",
            )?,
        })
    }

    /// A sync failed, which was a clean-up if nothing had changed.
    pub(super) fn failed(&self, cleanup: bool) {
        let counters = match cleanup {
            true => &self.cleanup_failures,
            false => &self.sync_failures,
        };
        counters.each().for_each(IntCounter::inc);
    }
}
