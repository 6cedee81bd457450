//! What is told in ipvs mode alone.

use std::time::Duration;

use fairlead_core::address::Family::{self, V4, V6};
use fairlead_core::report::{IpvsCount, Report};

use super::node::Node;
use crate::config::Mode;

const FAILURES: &str = "kubeproxy_sync_proxy_rules_iptables_restore_failures_total";

#[test]
fn syncs_that_fail_are_counted_by_the_name_that_alerts_know() {
    let mut node = Node::in_mode(Mode::Ipvs);
    node.fail(true);
    node.queue_and_sync();
    let both = Family::BOTH.map(|family| node.value(FAILURES, &format!("ip_family={family}")));
    assert_eq!(both, [1.0; 2]);
}

#[test]
fn servers_are_told_by_family() {
    let node = Node::in_mode(Mode::Ipvs);
    let count = |family, virtual_servers, real_servers, leaving| IpvsCount {
        family,
        virtual_servers,
        real_servers,
        leaving,
    };
    let sync = |ipvs: &[IpvsCount]| {
        let report = Report {
            ipvs: ipvs.to_vec(),
            ..Report::default()
        };
        node.metrics.synced(&report, Duration::ZERO, &[]);
    };
    let told = |family: Family| {
        let series = format!("ip_family={family}");
        ["virtual_servers", "real_servers", "leaving_real_servers"]
            .map(|what| node.value(&format!("fairlead_ipvs_{what}"), &series))
    };
    sync(&[count(V4, 3, 30, 2), count(V6, 1, 5, 0)]);
    assert_eq!(told(V4), [3.0, 30.0, 2.0]);
    assert_eq!(told(V6), [1.0, 5.0, 0.0]);
    sync(&[count(V4, 2, 20, 0)]);
    assert_eq!(told(V4), [2.0, 20.0, 0.0]);
    assert_eq!(told(V6), [1.0, 5.0, 0.0]);
}

#[test]
fn the_mode_that_runs_is_told_beside_the_one_that_was_asked_for() {
    let node = Node::in_mode(Mode::Nftables);
    node.metrics.proxy_mode(Mode::Ipvs, Mode::Nftables);
    let series = "configured=ipvs,running=nftables";
    assert_eq!(node.value("fairlead_proxy_mode", series), 1.0);
}
