//! kube-proxy's metrics of iptables mode alone.

use std::fmt;

use fairlead_core::report::RuleCount;
use prometheus::core::Collector;
use prometheus::{IntCounter, IntGauge, Result};

use super::registrar::{Registrar, Served, set};
use super::scraped::{Described, Samples, Scraped};

/// The tables that rules are in.
const TABLES: [&str; 2] = ["nat", "filter"];

const INVALID_DROPPED: Described = Described::counter(
    "kubeproxy_iptables_ct_state_invalid_dropped_packets_total",
    "Packets that were dropped because connection tracking called them invalid",
    &[],
);

const LOCALHOST_ACCEPTED: Described = Described::counter(
    "kubeproxy_iptables_localhost_nodeports_accepted_packets_total",
    "Packets to node ports on localhost that were let through",
    &[],
);

/// See the module.
#[derive(Debug)]
pub(super) struct IptablesMetrics {
    restore_failures: Served<IntCounter>,
    partial_restore_failures: Served<IntCounter>,
    /// By table, as in [`TABLES`].
    total: [Served<IntGauge>; 2],
    written: [Served<IntGauge>; 2],
}

impl IptablesMetrics {
    pub(super) fn new(make: &Registrar<'_>) -> Result<IptablesMetrics> {
        Ok(IptablesMetrics {
            restore_failures: make.counter(
                "kubeproxy_sync_proxy_rules_iptables_restore_failures_total",
                "Syncs that iptables refused",
            )?,
            partial_restore_failures: make.counter(
                "kubeproxy_sync_proxy_rules_iptables_partial_restore_failures_total",
                "Syncs of what had changed alone that iptables refused",
            )?,
            total: make.gauge_by(
                "kubeproxy_sync_proxy_rules_iptables_total",
                "Rules that are ours, by their table",
                ("table", TABLES),
            )?,
            written: make.gauge_by(
                "kubeproxy_sync_proxy_rules_iptables_last",
                "Rules that the last sync wrote, by their table",
                ("table", TABLES),
            )?,
        })
    }

    /// A sync failed: one of everything or of what had changed.
    pub(super) fn failed(&self, full: bool) {
        self.restore_failures.each().for_each(IntCounter::inc);
        if !full {
            let counters = self.partial_restore_failures.each();
            counters.for_each(IntCounter::inc);
        }
    }

    /// A sync succeeded.
    pub(super) fn succeeded(&self, rules: &[RuleCount]) {
        for of in rules {
            let Some(table) = TABLES.iter().position(|name| *name == of.table) else {
                continue;
            };
            for (gauges, count) in [(&self.total, of.total), (&self.written, of.written)] {
                if let Some(gauge) = gauges[table].of(of.family) {
                    set(gauge, count);
                }
            }
        }
    }
}

/// Reads how many packets a rule has met; `None` if nobody knows.
pub(crate) type ReadPackets = Box<dyn Fn() -> Option<u64> + Send + Sync>;

/// What rules of iptables mode count, where the kernel can (nfacct: `xt_nfacct`).
pub(crate) struct CountedPackets {
    /// Packets of no connection that were dropped.
    pub(crate) invalid_dropped: ReadPackets,
    /// Packets to node ports on localhost.
    pub(crate) localhost_accepted: ReadPackets,
}

impl fmt::Debug for CountedPackets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CountedPackets").finish_non_exhaustive()
    }
}

/// The metrics of these counts.
static PACKETS: [Described; 2] = [INVALID_DROPPED, LOCALHOST_ACCEPTED];

/// These counts, read whenever somebody scrapes; and how many metrics that are.
pub(super) fn packets(counted: CountedPackets) -> Result<(impl Collector, usize)> {
    let read = move |samples: &mut Samples| {
        for (metric, read) in PACKETS
            .iter()
            .zip([&counted.invalid_dropped, &counted.localhost_accepted])
        {
            if let Some(packets) = read() {
                samples.count(metric.name, &[], packets);
            }
        }
    };
    Ok((Scraped::new(&PACKETS, read)?, PACKETS.len()))
}
