//! Makes metrics and registers them: one call a metric, with its name and help in one place.

use std::cell::Cell;

use fairlead_core::address::Family;
use prometheus::core::{Collector, MetricVec, MetricVecBuilder};
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, Result,
};

/// What the names of kube-proxy's own metrics begin with.
const KUBE_PROXY: &str = "kubeproxy_";

/// The label that tells the families apart.
const FAMILY: &str = "ip_family";

/// Where metrics are registered, and the families that there is one of each for.
#[derive(Debug)]
pub(super) struct Registrar<'a> {
    registry: &'a Registry,
    families: &'a [Family],
    /// How many metrics of kube-proxy's own were registered.
    registered: Cell<usize>,
}

/// One metric for each family that is served.
#[derive(Debug)]
pub(super) struct Served<T>(Vec<(Family, T)>);

impl<T> Served<T> {
    /// The metric of a family, if that is served.
    pub(super) fn of(&self, family: Family) -> Option<&T> {
        let (_, metric) = self.0.iter().find(|(of, _)| *of == family)?;
        Some(metric)
    }

    /// Those of all families that are served: what one transaction does is done for each.
    pub(super) fn each(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|(_, metric)| metric)
    }

    /// The families with their metrics.
    pub(super) fn by_family(&self) -> impl Iterator<Item = (Family, &T)> {
        self.0.iter().map(|(family, metric)| (*family, metric))
    }
}

impl<'a> Registrar<'a> {
    pub(super) fn new(registry: &'a Registry, families: &'a [Family]) -> Registrar<'a> {
        Registrar {
            registry,
            families,
            registered: Cell::new(0),
        }
    }

    /// How many metrics of kube-proxy's own were registered.
    pub(super) fn registered(&self) -> usize {
        self.registered.get()
    }

    pub(super) fn histogram(
        &self,
        name: &str,
        help: &str,
        buckets: &[f64],
    ) -> Result<Served<Histogram>> {
        let metrics = self.histograms(name, help, &[FAMILY], buckets)?;
        Ok(self.served(&metrics, &[]))
    }

    pub(super) fn counter(&self, name: &str, help: &str) -> Result<Served<IntCounter>> {
        let metrics = self.counters(name, help, &[FAMILY])?;
        Ok(self.served(&metrics, &[]))
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> Result<Served<IntGauge>> {
        let metrics = self.gauges(name, help, &[FAMILY])?;
        Ok(self.served(&metrics, &[]))
    }

    /// One for each family and each value of another label.
    pub(super) fn gauge_by(
        &self,
        name: &str,
        help: &str,
        (label, values): (&str, [&str; 2]),
    ) -> Result<[Served<IntGauge>; 2]> {
        let metrics = self.gauges(name, help, &[FAMILY, label])?;
        Ok(values.map(|value| self.served(&metrics, &[value])))
    }

    /// A time, which has no value until there was one: zero would be long ago.
    pub(super) fn time(&self, name: &str, help: &str) -> Result<Time> {
        let gauges = self.register(GaugeVec::new(Opts::new(name, help), &[FAMILY])?)?;
        Ok(Time {
            families: self.families.to_vec(),
            gauges,
        })
    }

    pub(super) fn histograms(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        buckets: &[f64],
    ) -> Result<HistogramVec> {
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.register(HistogramVec::new(options, labels)?)
    }

    pub(super) fn counters(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntCounterVec> {
        self.register(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    pub(super) fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec> {
        self.register(IntGaugeVec::new(Opts::new(name, help), labels)?)
    }

    pub(super) fn one_counter(&self, name: &str, help: &str) -> Result<IntCounter> {
        self.register(IntCounter::new(name, help)?)
    }

    pub(super) fn one_gauge(&self, name: &str, help: &str) -> Result<IntGauge> {
        self.register(IntGauge::new(name, help)?)
    }

    fn register<C: Collector + Clone + 'static>(&self, collector: C) -> Result<C> {
        self.registry.register(Box::new(collector.clone()))?;
        let described = collector.desc().into_iter();
        let of_kube_proxy = described.filter(|metric| metric.fq_name.starts_with(KUBE_PROXY));
        self.registered
            .set(self.registered.get() + of_kube_proxy.count());
        Ok(collector)
    }

    fn served<B: MetricVecBuilder>(&self, metrics: &MetricVec<B>, values: &[&str]) -> Served<B::M> {
        let metric = |family: &Family| {
            let name = family.to_string();
            let values: Vec<&str> = std::iter::once(&*name)
                .chain(values.iter().copied())
                .collect();
            (*family, metrics.with_label_values(&values))
        };
        Served(self.families.iter().map(metric).collect())
    }
}

/// When something happened last, for all families that are served.
#[derive(Debug)]
pub(super) struct Time {
    families: Vec<Family>,
    gauges: GaugeVec,
}

impl Time {
    /// It happened, in seconds since 1970.
    pub(super) fn set(&self, seconds: f64) {
        for family in &self.families {
            self.gauge(*family).set(seconds);
        }
    }

    fn gauge(&self, family: Family) -> Gauge {
        self.gauges.with_label_values(&[family.to_string()])
    }
}

/// Makes a counter say what was counted elsewhere. Only one thread may do so.
pub(super) fn raise(counter: &IntCounter, to: u64) {
    counter.inc_by(to.saturating_sub(counter.get()));
}

/// Sets a gauge to a number of things.
pub(super) fn set(gauge: &IntGauge, count: usize) {
    gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
}
