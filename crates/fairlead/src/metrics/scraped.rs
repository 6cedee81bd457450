//! Metrics whose values are read at the moment somebody scrapes them.

use std::collections::HashMap;
use std::fmt;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

/// What a metric is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Described {
    /// Its name. A counter's ends in `_total`.
    pub(crate) name: &'static str,
    /// What it says.
    pub(crate) help: &'static str,
    /// Whether it can fall.
    pub(crate) kind: Kind,
    /// The names of its labels.
    pub(crate) labels: &'static [&'static str],
}

impl Described {
    /// A counter.
    pub(super) const fn counter(
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
    ) -> Described {
        Described {
            name,
            help,
            kind: Kind::Counter,
            labels,
        }
    }

    /// A gauge.
    pub(super) const fn gauge(
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
    ) -> Described {
        Described {
            kind: Kind::Gauge,
            ..Described::counter(name, help, labels)
        }
    }
}

/// The type of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It grows as long as the process lives.
    Counter,
    /// It comes and goes.
    Gauge,
}

/// Metrics that a function reads.
pub(crate) struct Scraped<F> {
    described: &'static [Described],
    descriptions: Vec<Desc>,
    read: F,
}

impl<F: Fn(&mut Samples) + Send + Sync> Scraped<F> {
    /// These metrics, whose values `read` adds whenever it is asked. It holds up who scrapes and
    /// nobody else.
    pub(crate) fn new(described: &'static [Described], read: F) -> prometheus::Result<Scraped<F>> {
        let description = |metric: &Described| {
            let labels = metric.labels.iter().map(ToString::to_string).collect();
            Desc::new(
                metric.name.into(),
                metric.help.into(),
                labels,
                HashMap::new(),
            )
        };
        Ok(Scraped {
            described,
            descriptions: described
                .iter()
                .map(description)
                .collect::<Result<_, _>>()?,
            read,
        })
    }
}

impl<F> fmt::Debug for Scraped<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scraped")
            .field("described", &self.described)
            .finish_non_exhaustive()
    }
}

impl<F: Fn(&mut Samples) + Send + Sync> Collector for Scraped<F> {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut samples = Samples {
            described: self.described,
            metrics: vec![Vec::new(); self.described.len()],
        };
        (self.read)(&mut samples);
        let both = self.described.iter().zip(samples.metrics);
        both.map(|(described, metrics)| family(described, metrics))
            .collect()
    }
}

/// The values that one scrape reads.
#[derive(Debug)]
pub(crate) struct Samples {
    described: &'static [Described],
    metrics: Vec<Vec<Metric>>,
}

impl Samples {
    /// Adds a count, as [`Samples::add`] does. Prometheus has floats alone, which are exact up to
    /// 2^53: months at 1 GB/s.
    #[allow(clippy::cast_precision_loss)]
    pub(crate) fn count(&mut self, name: &str, values: &[&str], count: u64) {
        self.add(name, values, count as f64);
    }

    /// Adds a value of the metric of this name, with the values of its labels in their order.
    /// Each combination of values may be added once.
    pub(crate) fn add(&mut self, name: &str, values: &[&str], value: f64) {
        let Some(rank) = self.described.iter().position(|of| of.name == name) else {
            debug_assert!(false, "{name} is not described");
            return;
        };
        let described = &self.described[rank];
        debug_assert_eq!(described.labels.len(), values.len(), "{name}");
        let labels = described.labels.iter().zip(values);
        let mut metric =
            Metric::from_label(labels.map(|(name, value)| pair(name, value)).collect());
        match described.kind {
            Kind::Counter => {
                let mut counter = Counter::default();
                counter.set_value(value);
                metric.set_counter(counter);
            }
            Kind::Gauge => {
                let mut gauge = Gauge::default();
                gauge.set_value(value);
                metric.set_gauge(gauge);
            }
        }
        self.metrics[rank].push(metric);
    }
}

fn pair(name: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}

fn family(described: &Described, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(described.name.to_owned());
    family.set_help(described.help.to_owned());
    family.set_field_type(match described.kind {
        Kind::Counter => MetricType::COUNTER,
        Kind::Gauge => MetricType::GAUGE,
    });
    family.set_metric(metrics);
    family
}
