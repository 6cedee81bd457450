//! All metrics that there are. `compatibility` compares them with what there should be.

use std::time::{Duration, Instant};

use fairlead_core::address::Family;
use fairlead_core::api::Kind;
use fairlead_source::cluster::WatchStatus;

use crate::config::{Gates, Mode};

use super::super::Metrics;
use super::exposition::{Exposition, parse};
use super::iptables::counted;
use super::node::Node;
use super::userspace::counts;

/// What there is in a mode when everything has happened once.
pub(crate) fn everything(mode: Mode) -> Exposition {
    let mut node = Node::in_mode(mode);
    node.queue_and_sync();
    match mode {
        Mode::Nftables => node.count_traffic(10),
        Mode::Iptables => node.metrics.packets(counted(Some(1))).unwrap(),
        Mode::Ipvs => {}
        Mode::Userspace => {
            let counts = counts(&[("web", "", Family::V4, 1)]);
            let read = Box::new(move || counts.clone());
            node.metrics.relayed(read, 10).unwrap();
        }
    }
    let metrics = &node.metrics;
    metrics.features(&Gates::default());
    metrics.proxy_mode(mode, mode);
    metrics.rest_client_answered("GET", "192.0.2.1:6443", "200", Duration::from_millis(3));
    let watch = || WatchStatus {
        kind: Kind::Service,
        heard: Some(Instant::now()),
        connected: true,
        synced: true,
        failure: None,
    };
    metrics.watches(move || vec![watch()]).unwrap();
    parse(&metrics.text().unwrap())
}

#[test]
fn every_family_that_is_served_has_its_own() {
    let all = Mode::ALL.map(everything);
    for (name, metric) in all.iter().flatten() {
        let of_family = |family: Family| {
            let word = format!("ip_family={family}");
            metric
                .samples
                .keys()
                .filter(|key| key.contains(&word))
                .count()
        };
        let [v4, v6] = Family::BOTH.map(of_family);
        assert_eq!(v4, v6, "{name}");
        assert_eq!(
            v4 > 0,
            metric
                .labels
                .iter()
                .flatten()
                .any(|label| label == "ip_family")
        );
    }
    for mode in Mode::ALL {
        let only = Metrics::new(mode, &[Family::V4]).unwrap();
        assert!(!only.text().unwrap().contains("IPv6"));
    }
}

#[test]
fn every_metric_says_what_it_is() {
    let found = everything(Mode::Nftables);
    assert_eq!(found["kubernetes_build_info"].samples.len(), 1);
    let build = found["kubernetes_build_info"]
        .samples
        .keys()
        .next()
        .unwrap();
    assert!(build.contains("git_version=v1.36.0+fairlead-"), "{build}");
    for (name, metric) in Mode::ALL.map(everything).iter().flatten() {
        assert!(metric.help.len() > 5, "{name}: {:?}", metric.help);
    }
}

#[test]
fn only_metrics_of_kube_proxy_count_as_registered() {
    for found in Mode::ALL.map(everything) {
        let of_kube_proxy = found.keys().filter(|name| name.starts_with("kubeproxy_"));
        let count = of_kube_proxy.count();
        let told: Vec<f64> = found["registered_metrics_total"]
            .samples
            .values()
            .copied()
            .collect();
        assert_eq!(told, [f64::from(u32::try_from(count).unwrap())]);
    }
}
