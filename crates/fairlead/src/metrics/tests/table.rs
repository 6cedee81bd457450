//! The metrics that there are, compared with the lists of what there should be.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use fairlead_core::address::Family;
use fairlead_core::api::Kind;
use fairlead_source::cluster::WatchStatus;

use crate::config::Gates;

use super::exposition::{Exposition, parse};
use super::node::Node;

const KUBE_PROXY: &str = include_str!("../../../tests/metrics/kube-proxy.txt");
const FAIRLEAD: &str = include_str!("../../../tests/metrics/fairlead.txt");
const MODE: &str = "nftables";

/// A line of a list.
struct Row {
    name: &'static str,
    kind: &'static str,
    labels: Vec<String>,
    buckets: Vec<String>,
}

/// The rows of a list: those that are to be there, and the names of those that are not.
fn rows(list: &'static str) -> (Vec<Row>, BTreeSet<&'static str>) {
    let mut buckets: BTreeMap<&str, Vec<String>> = BTreeMap::from([("-", Vec::new())]);
    let (mut there, mut absent) = (Vec::new(), BTreeSet::new());
    let lines = list.lines().filter(|line| !line.starts_with('#'));
    for line in lines.filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        if words[0] == "buckets" {
            let bounds = words[2..].iter().map(ToString::to_string).collect();
            buckets.insert(words[1], bounds);
            continue;
        }
        let [name, kind, labels, bounds, modes] = words[..] else {
            panic!("{line:?} does not have five columns");
        };
        let in_mode = modes == "all" || modes.split(',').any(|mode| mode == MODE);
        if let Some(name) = name.strip_prefix('!') {
            absent.insert(name);
        } else if !in_mode {
            absent.insert(name);
        } else {
            let labels = labels.split(',').filter(|label| *label != "-");
            there.push(Row {
                name,
                kind,
                labels: labels.map(str::to_owned).collect(),
                buckets: buckets[bounds].clone(),
            });
        }
    }
    (there, absent)
}

/// What there is when everything has happened once.
fn everything() -> Exposition {
    let mut node = Node::new();
    node.queue_and_sync();
    node.count_traffic(10);
    let metrics = &node.metrics;
    metrics.features(&Gates::default());
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
fn every_metric_is_as_listed_and_every_other_is_not_there() {
    let found = everything();
    let mut listed = BTreeSet::new();
    for list in [KUBE_PROXY, FAIRLEAD] {
        let (there, absent) = rows(list);
        for row in there {
            let metric = found.get(row.name);
            let metric = metric.unwrap_or_else(|| panic!("{} is missing", row.name));
            assert_eq!(metric.kind, row.kind, "{}", row.name);
            let labels: Vec<_> = metric.labels.iter().collect();
            assert_eq!(labels, [&row.labels], "{}", row.name);
            for (series, buckets) in &metric.buckets {
                assert_eq!(*buckets, row.buckets, "{} {series}", row.name);
            }
            assert_eq!(metric.buckets.is_empty(), row.kind != "histogram");
            assert!(listed.insert(row.name), "{} is listed twice", row.name);
        }
        for name in absent {
            assert!(!found.contains_key(name), "{name} is not of this mode");
        }
    }
    let unlisted = found.keys().filter(|name| !listed.contains(name.as_str()));
    assert_eq!(unlisted.collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn every_family_that_is_served_has_its_own() {
    let found = everything();
    for (name, metric) in &found {
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
    let only = super::super::Metrics::new(&[Family::V4]).unwrap();
    assert!(!only.text().unwrap().contains("IPv6"));
}

#[test]
fn every_metric_says_what_it_is() {
    let found = everything();
    assert_eq!(found["kubernetes_build_info"].samples.len(), 1);
    let build = found["kubernetes_build_info"]
        .samples
        .keys()
        .next()
        .unwrap();
    assert!(build.contains("git_version=v1.36.0+fairlead-"), "{build}");
    for (name, metric) in &found {
        assert!(metric.help.len() > 5, "{name}: {:?}", metric.help);
    }
}

#[test]
fn only_metrics_of_kube_proxy_count_as_registered() {
    let found = everything();
    let (there, _) = rows(KUBE_PROXY);
    let count = there
        .iter()
        .filter(|row| row.name.starts_with("kubeproxy_"))
        .count();
    let told: Vec<f64> = found["registered_metrics_total"]
        .samples
        .values()
        .copied()
        .collect();
    assert_eq!(told, [f64::from(u32::try_from(count).unwrap())]);
}
