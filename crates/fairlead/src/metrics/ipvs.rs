//! What is told in ipvs mode alone: kube-proxy's metric, and how much there is in IPVS.

use fairlead_core::report::IpvsCount;
use prometheus::{IntCounter, IntGauge, Result};

use super::registrar::{Registrar, Served, set};

/// See the module.
#[derive(Debug)]
pub(super) struct IpvsMetrics {
    failures: Served<IntCounter>,
    virtual_servers: Served<IntGauge>,
    real_servers: Served<IntGauge>,
    leaving: Served<IntGauge>,
}

impl IpvsMetrics {
    pub(super) fn new(make: &Registrar<'_>) -> Result<IpvsMetrics> {
        Ok(IpvsMetrics {
            // Alerts know it by this name, whatever it is that refuses.
            failures: make.counter(
                "kubeproxy_sync_proxy_rules_iptables_restore_failures_total",
                "Syncs that the kernel refused",
            )?,
            virtual_servers: make.gauge(
                "fairlead_ipvs_virtual_servers",
                "Virtual servers in IPVS: an address and port of a Service each",
            )?,
            real_servers: make.gauge(
                "fairlead_ipvs_real_servers",
                "Real servers in IPVS, as often as virtual servers have them",
            )?,
            leaving: make.gauge(
                "fairlead_ipvs_leaving_real_servers",
                "Real servers that take no new connection and wait for their last one to end",
            )?,
        })
    }

    /// A sync failed.
    pub(super) fn failed(&self) {
        self.failures.each().for_each(IntCounter::inc);
    }

    /// A sync succeeded.
    pub(super) fn succeeded(&self, counts: &[IpvsCount]) {
        for count in counts {
            for (gauges, number) in [
                (&self.virtual_servers, count.virtual_servers),
                (&self.real_servers, count.real_servers),
                (&self.leaving, count.leaving),
            ] {
                if let Some(gauge) = gauges.of(count.family) {
                    set(gauge, number);
                }
            }
        }
    }
}
