//! What is told in iptables mode alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fairlead_core::address::Family::{self, V4, V6};
use fairlead_core::report::{Report, RuleCount};

use super::node::{Node, service};
use crate::config::Mode;
use crate::metrics::CountedPackets;

const FAILURES: &str = "kubeproxy_sync_proxy_rules_iptables_restore_failures_total";
const PARTIAL_FAILURES: &str = "kubeproxy_sync_proxy_rules_iptables_partial_restore_failures_total";
const TOTAL: &str = "kubeproxy_sync_proxy_rules_iptables_total";
const LAST: &str = "kubeproxy_sync_proxy_rules_iptables_last";
const INVALID: &str = "kubeproxy_iptables_ct_state_invalid_dropped_packets_total";
const LOCALHOST: &str = "kubeproxy_iptables_localhost_nodeports_accepted_packets_total";

/// As many packets of each kind.
pub(super) fn counted(packets: Option<u64>) -> CountedPackets {
    CountedPackets {
        invalid_dropped: Box::new(move || packets),
        localhost_accepted: Box::new(move || packets),
    }
}

fn node() -> Node {
    Node::in_mode(Mode::Iptables)
}

#[test]
fn syncs_that_fail_are_counted_and_those_of_what_changed_apart() {
    let mut node = node();
    node.fail(true);
    node.queue_and_sync();
    node.fail(false);
    node.queue_and_sync();
    node.fail(true);
    node.tell(service("web", "10.96.0.1", false));
    node.queue_and_sync();
    let both = |name| Family::BOTH.map(|family| node.value(name, &format!("ip_family={family}")));
    assert_eq!(both(FAILURES), [2.0; 2]);
    assert_eq!(both(PARTIAL_FAILURES), [1.0; 2]);
}

#[test]
fn rules_are_told_by_family_and_table() {
    let node = node();
    let rules = |family, table, total, written| RuleCount {
        family,
        table,
        total,
        written,
    };
    let sync = |rules: &[RuleCount]| {
        let report = Report {
            rules: rules.to_vec(),
            ..Report::default()
        };
        node.metrics.synced(&report, std::time::Duration::ZERO, &[]);
    };
    let told = |family, table| {
        let series = format!("ip_family={family},table={table}");
        (node.value(TOTAL, &series), node.value(LAST, &series))
    };
    sync(&[
        rules(V4, "nat", 20, 20),
        rules(V4, "filter", 4, 4),
        rules(V6, "nat", 5, 5),
        rules(V6, "mangle", 9, 9),
    ]);
    assert_eq!(told(V4, "nat"), (20.0, 20.0));
    assert_eq!(told(V4, "filter"), (4.0, 4.0));
    assert_eq!(told(V6, "nat"), (5.0, 5.0));
    assert_eq!(told(V6, "filter"), (0.0, 0.0));
    sync(&[rules(V4, "nat", 17, 8)]);
    assert_eq!(told(V4, "nat"), (17.0, 8.0));
    assert_eq!(told(V4, "filter"), (4.0, 4.0));
}

#[test]
fn packets_are_read_when_somebody_scrapes() {
    let node = node();
    let dropped = Arc::new(AtomicU64::new(3));
    let read = Arc::clone(&dropped);
    let counted = CountedPackets {
        invalid_dropped: Box::new(move || Some(read.load(Ordering::Relaxed))),
        localhost_accepted: Box::new(|| None),
    };
    node.metrics.packets(counted).unwrap();
    assert_eq!(node.value(INVALID, ""), 3.0);
    dropped.store(4, Ordering::Relaxed);
    assert_eq!(node.value(INVALID, ""), 4.0);
    // What nobody knows is not told, rather than told to be nothing.
    assert!(!node.metrics.text().unwrap().contains(LOCALHOST));
}

#[test]
fn each_mode_tells_of_itself_alone() {
    let text = |mode| Node::in_mode(mode).metrics.text().unwrap();
    let (nftables, iptables) = (text(Mode::Nftables), text(Mode::Iptables));
    for name in [FAILURES, PARTIAL_FAILURES, TOTAL, LAST] {
        assert!(iptables.contains(name) && !nftables.contains(name));
    }
    assert!(nftables.contains("nftables_sync_failures_total"));
    assert!(!iptables.contains("nftables"), "{iptables}");
    // Where the kernel cannot count packets, nobody is told that there were none.
    assert!(!iptables.contains(INVALID) && !iptables.contains(LOCALHOST));
}
