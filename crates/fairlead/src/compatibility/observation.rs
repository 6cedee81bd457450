//! What is to be seen of the program: metrics, pages, events; and what it reads of objects.

use std::collections::{BTreeMap, BTreeSet};

use fairlead_backends::nftables::Reason;
use fairlead_relay::counts::Refused;
use fairlead_source::cluster::EventKind;

use super::{Row, cells, compare, hold, list, table};
use crate::app::EVENTS;
use crate::config::Mode;
use crate::http::paths;
use crate::metrics::{Metric, everything};

const METRICS: &str = include_str!("../../tests/kube-proxy/metrics.txt");
const PAGES: &str = include_str!("../../tests/kube-proxy/pages.txt");
const EVENTS_LIST: &str = include_str!("../../tests/kube-proxy/events.txt");
const MARKS: &str = include_str!("../../tests/kube-proxy/marks.txt");

/// What reads labels and annotations, and what asks the API for some alone.
const READERS: [&str; 2] = [
    include_str!("../../../source/src/wire/metadata.rs"),
    include_str!("../../../source/src/cluster/resource.rs"),
];

/// What knows the taint.
const NODE: &str = include_str!("../../../core/src/model/node.rs");

/// The bounds of buckets by name.
fn buckets() -> BTreeMap<String, Vec<String>> {
    let bounds = |row: Vec<String>| {
        let [name, bounds] = &row[..] else {
            panic!("{row:?}")
        };
        let bounds = bounds.split(' ').map(str::to_owned).collect();
        (name.clone(), bounds)
    };
    cells("Buckets").into_iter().map(bounds).collect()
}

#[test]
fn buckets_are_those_of_kube_proxy() {
    for row in list(METRICS).iter().filter(|row| row[0] == "buckets") {
        assert_eq!(buckets()[&row[1]], row[2..], "{}", row[1]);
    }
}

/// Whether a metric is one of a mode.
fn is_in(row: &Row, mode: Mode) -> bool {
    let mut modes = row.facts[4].split(',');
    let is_named = modes.any(|word| word == "all" || word == mode.name());
    // kube-proxy has no userspace mode any more. What all of its modes have is there too.
    is_named || mode == Mode::Userspace && row.facts[4] == "iptables,ipvs,nftables"
}

#[test]
fn metrics_are_those_of_kube_proxy_and_ours() {
    let is_metric = |row: &Vec<String>| row[0] != "buckets";
    let listed = list(METRICS).into_iter().filter(is_metric);
    let mut rows = hold("Metrics", listed.collect());
    rows.extend(table("Metrics of Fairlead"));
    for row in &rows {
        let can_be = Mode::ALL.into_iter().any(|mode| is_in(row, mode));
        assert!(can_be || !row.verdict.is_there(), "{}", row.name());
    }
    let bounds = buckets();
    let with_bounds = |row: Row| {
        let [name, kind, labels, buckets, _] = &row.facts[..] else {
            panic!("{row:?}")
        };
        let bounds = bounds.get(buckets).map(|bounds| bounds.join(" "));
        let bounds = bounds.unwrap_or_default();
        Row {
            facts: vec![name.clone(), kind.clone(), labels.clone(), bounds],
            ..row
        }
    };
    for mode in Mode::ALL {
        let of_mode = rows.iter().filter(|row| is_in(row, mode)).cloned();
        let of_mode: Vec<Row> = of_mode.map(with_bounds).collect();
        compare(&format!("Metrics, {mode}"), &of_mode, &told(mode));
    }
}

/// The metrics that the program has in a mode: type, labels and buckets by name.
fn told(mode: Mode) -> BTreeMap<String, Vec<String>> {
    let all = |values: BTreeSet<String>| values.into_iter().collect::<Vec<_>>().join(" or ");
    let facts = |(name, metric): (String, Metric)| {
        let labels = metric.labels.iter().map(|labels| labels.join(","));
        let bounds = metric.buckets.values().map(|bounds| bounds.join(" "));
        let facts = vec![metric.kind, all(labels.collect()), all(bounds.collect())];
        (name, facts)
    };
    everything(mode).into_iter().map(facts).collect()
}

#[test]
fn all_reasons_of_dropped_packets_are_named() {
    let rows = cells("Metrics of Fairlead");
    let row = rows
        .iter()
        .find(|row| row[0] == "fairlead_dropped_packets_total")
        .expect("its row");
    let reasons = Reason::ALL.map(Reason::name).join(",");
    assert_eq!(row[6], format!("reason is one of {reasons}"));
}

#[test]
fn all_reasons_of_refused_clients_are_named() {
    let rows = cells("Metrics of Fairlead");
    let row = rows
        .iter()
        .find(|row| row[0] == "fairlead_userspace_refused_total")
        .expect("its row");
    let reasons = Refused::ALL.map(Refused::name).join(",");
    assert_eq!(row[6], format!("reason is one of {reasons}"));
}

#[test]
fn pages_are_those_of_kube_proxy_and_ours() {
    let mut rows = hold("Pages", list(PAGES));
    rows.extend(table("Pages of Fairlead"));
    let named = |server: &str, path: &str| format!("{server} {path}");
    let rows: Vec<Row> = rows
        .into_iter()
        .map(|row| Row {
            facts: vec![named(&row.facts[1], &row.facts[0])],
            ..row
        })
        .collect();
    let program = paths()
        .into_iter()
        .map(|(server, path)| (named(server, path), Vec::new()));
    compare("Pages", &rows, &program.collect());
}

#[test]
fn events_are_those_of_kube_proxy_and_ours() {
    let mut rows = hold("Events", list(EVENTS_LIST));
    rows.extend(table("Events of Fairlead"));
    let program = EVENTS.map(|(occasion, on)| {
        let kind = match occasion.kind {
            EventKind::Normal => "Normal",
            EventKind::Warning => "Warning",
        };
        let facts = [kind, occasion.action, on].map(str::to_owned);
        (occasion.reason.to_owned(), facts.into())
    });
    compare("Events", &rows, &program.into());
}

#[test]
fn labels_and_annotations_are_those_of_kube_proxy_and_ours() {
    let mut rows = hold("Labels, annotations and taints", list(MARKS));
    rows.extend(table("Annotations of Fairlead"));
    let words = READERS.iter().flat_map(|text| text.split('"'));
    let mut read: BTreeSet<&str> = words
        .filter(|word| word.contains("kubernetes.io/") || word.starts_with("fairlead.dev/"))
        .filter(|word| !word.starts_with('/'))
        .map(|word| word.trim_start_matches('!'))
        .filter(|word| {
            word.chars()
                .all(|c| c.is_ascii_alphanumeric() || ".-/".contains(c))
        })
        .collect();
    let taints = rows.iter().filter(|row| row.facts[1] == "taint");
    read.extend(
        taints
            .map(Row::name)
            .filter(|taint| NODE.contains(&format!("{taint:?}"))),
    );
    let there = rows.iter().filter(|row| row.verdict.is_there());
    let told: BTreeSet<&str> = there.map(Row::name).collect();
    assert_eq!(told, read);
}
