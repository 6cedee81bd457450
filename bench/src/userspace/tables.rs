//! What was measured beside HAProxy, as tables and bars.

use super::{LOADS, Measured, Run};
use crate::print::{self, count, mebibytes};

/// Prints everything. The first is compared with the second.
pub(super) fn print(measured: &[Measured]) {
    for (at, (title, unit, of)) in [
        (
            "Connections, 64 at a time, each for a request of 64 bytes and its answer",
            "a second",
            per_second as fn(&Run) -> f64,
        ),
        (
            "Requests of 64 bytes and their answers, on 64 connections that are kept",
            "a second",
            per_second,
        ),
        ("Bytes to clients on 4 connections", "MB/s", |run: &Run| {
            per_second(run) / 1e6
        }),
    ]
    .into_iter()
    .enumerate()
    {
        load(measured, at, title, unit, of);
    }
    idle(measured);
}

fn per_second(run: &Run) -> f64 {
    float(run.done.count) / run.done.took.as_secs_f64()
}

/// Bytes of a run are far from where floats are not exact (2^53).
#[allow(clippy::cast_precision_loss)]
fn float(count: u64) -> f64 {
    count as f64
}

/// Processor time in seconds, of a million connections or requests, or a gigabyte.
fn processor(run: &Run, each: f64) -> f64 {
    run.processor.as_secs_f64() * each / float(run.done.count.max(1))
}

fn load(measured: &[Measured], at: usize, title: &str, unit: &str, of: fn(&Run) -> f64) {
    let (each, whole) = match LOADS[at].name {
        "bulk" => (1e9, "CPU s a GB"),
        _ => (1e6, "CPU µs each"),
    };
    let rates = |one: &Measured| Spread::of(one.runs[at].iter().map(of));
    let processors =
        |one: &Measured| Spread::of(one.runs[at].iter().map(|run| processor(run, each)));
    let against = |of: &dyn Fn(&Measured) -> Spread, one: &Measured| match measured.get(1) {
        Some(other) if other.name != one.name && of(other).median > 0.0 && of(one).median > 0.0 => {
            format!("x {:.2}", of(one).median / of(other).median)
        }
        _ => String::new(),
    };
    let rows = measured.iter().map(|one| {
        let (rate, processor) = (rates(one), processors(one));
        let errors: u64 = one.runs[at].iter().map(|run| run.done.errors).sum();
        vec![
            one.name.to_owned(),
            number(rate.median),
            format!("{} to {}", number(rate.least), number(rate.most)),
            against(&rates, one),
            number(processor.median),
            against(&processors, one),
            count(errors as usize),
        ]
    });
    let columns = ["", unit, "least to most", "x", whole, "x", "errors"];
    print::table(title, &columns, rows);
    let bars: Vec<_> = measured
        .iter()
        .map(|one| (one.name.to_owned(), rates(one).median))
        .collect();
    print::levels(&bars, number);
}

fn idle(measured: &[Measured]) {
    let rows = measured.iter().filter_map(|one| {
        let idle = one.idle.as_ref()?;
        let [before, after] = idle.memory;
        let bytes = after.saturating_sub(before) * 1024 / idle.connections.max(1);
        Some(vec![
            one.name.to_owned(),
            count(idle.connections),
            mebibytes(before),
            mebibytes(after),
            count(bytes),
        ])
    });
    print::table(
        "Idle connections: memory of the process (Pss)",
        &["", "connections", "before", "with them", "bytes each"],
        rows,
    );
}

/// A number, which is not negative, with as many digits as mean something.
#[allow(clippy::cast_sign_loss)]
fn number(value: f64) -> String {
    match value {
        value if value >= 100.0 => count(value.round() as usize),
        value if value >= 1.0 => format!("{value:.1}"),
        value => format!("{value:.3}"),
    }
}

/// The middle and the ends of some numbers.
struct Spread {
    least: f64,
    median: f64,
    most: f64,
}

impl Spread {
    fn of(numbers: impl Iterator<Item = f64>) -> Spread {
        let mut all: Vec<f64> = numbers.collect();
        all.sort_by(f64::total_cmp);
        let at = |index: usize| all.get(index).copied().unwrap_or_default();
        Spread {
            least: at(0),
            median: at(all.len() / 2),
            most: at(all.len().saturating_sub(1)),
        }
    }
}
