//! What Prometheus reads, taken apart.

use std::collections::{BTreeMap, BTreeSet};

/// Metrics by their names.
pub(crate) type Exposition = BTreeMap<String, Metric>;

/// A metric as it was told.
#[derive(Debug, Default)]
pub(crate) struct Metric {
    pub(crate) help: String,
    pub(crate) kind: String,
    /// What each sample is called, and its value.
    pub(crate) samples: BTreeMap<String, f64>,
    /// The names of the labels of each sample, without the bound of a bucket.
    pub(crate) labels: BTreeSet<Vec<String>>,
    /// The bounds of the buckets of each histogram, in order and without +Inf.
    pub(crate) buckets: BTreeMap<String, Vec<String>>,
}

/// Takes the text format 0.0.4 apart. Panics when it is not that.
pub(crate) fn parse(text: &str) -> Exposition {
    let mut metrics = Exposition::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').unwrap();
            name.clone_into(&mut current);
            metrics.entry(current.clone()).or_default().help = help.to_owned();
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert_eq!(name, current, "every metric has a help");
            metrics.get_mut(name).unwrap().kind = kind.to_owned();
        } else {
            let metric = metrics.get_mut(&current).unwrap();
            sample(line, &current, metric);
        }
    }
    metrics
}

fn sample(line: &str, name: &str, metric: &mut Metric) {
    let (series, value) = line.rsplit_once(' ').unwrap();
    let value: f64 = value.parse().unwrap();
    let (called, labels) = match series.split_once('{') {
        Some((called, labels)) => (called, labels.strip_suffix('}').unwrap()),
        None => (series, ""),
    };
    let suffix = called.strip_prefix(name).unwrap();
    let is_histogram = metric.kind == "histogram";
    assert!(suffix.is_empty() != is_histogram, "{line}");
    let mut pairs: BTreeMap<&str, &str> = BTreeMap::new();
    for pair in labels.split("\",").filter(|pair| !pair.is_empty()) {
        let (label, value) = pair.split_once("=\"").unwrap();
        pairs.insert(label, value.strip_suffix('"').unwrap_or(value));
    }
    let bound = pairs.remove("le").filter(|_| is_histogram);
    let names = pairs.keys().map(|label| (*label).to_owned()).collect();
    metric.labels.insert(names);
    let words = pairs
        .iter()
        .map(|(label, value)| format!("{label}={value}"));
    let series = words.collect::<Vec<_>>().join(",");
    match (suffix, bound) {
        ("_bucket", Some("+Inf")) => {}
        ("_bucket", Some(bound)) => {
            let bounds = metric.buckets.entry(series).or_default();
            bounds.push(bound.to_owned());
        }
        _ => {
            let key = [suffix, &series].concat();
            assert_eq!(metric.samples.insert(key, value), None, "{line} twice");
        }
    }
}
