//! What was measured, as tables; docs/PERFORMANCE.md says how to read them.

use std::time::Duration;

use crate::Measured;
use crate::conntrack::Look;
use crate::counting::Costs;
use crate::print::{self, count, factor, mebibytes, time};

/// Prints everything.
pub(crate) fn print(measured: &[Measured], looks: &[Look]) {
    cold_starts(measured);
    restarts(measured);
    changes(measured);
    processes(measured);
    followed(measured);
    stale_connections(looks);
    prices(measured);
}

fn stale_connections(looks: &[Look]) {
    let rows = looks.iter().map(|look| {
        vec![
            look.what.to_owned(),
            count(look.connections),
            count(look.deleted),
            time(look.took),
        ]
    });
    print::table(
        "conntrack: UDP connections that have outlived their endpoints, found and deleted",
        &["looked at", "connections", "deleted", "time"],
        rows,
    );
}

fn cold_starts(measured: &[Measured]) {
    let rows = measured.iter().map(|measured| {
        let Measured { cold, half, .. } = measured;
        let stages = cold.report.stages;
        vec![
            measured.cluster.to_string(),
            time(measured.read_json),
            time(cold.read),
            time(cold.model),
            time(stages.render),
            time(stages.plan),
            time(stages.apply),
            time(cold.total()),
            factor(cold.total(), half.total()),
            factor(stages.apply, half.report.stages.apply),
            count(cold.report.operations),
            count(cold.report.messages),
            mebibytes(cold.report.bytes / 1024),
        ]
    });
    print::table(
        "Cold start: from manifests to the last element acknowledged (JSON is not in the total; x is against half the services)",
        &[
            "services",
            "read JSON",
            "read YAML",
            "model",
            "render",
            "plan",
            "apply",
            "total",
            "x total",
            "x apply",
            "operations",
            "messages",
            "sent",
        ],
        rows,
    );
    let parts = [
        ("read", '░'),
        ("model", '▒'),
        ("render, plan", '▓'),
        ("apply", '█'),
    ];
    let bars: Vec<_> = measured
        .iter()
        .map(|measured| {
            let cold = &measured.cold;
            let stages = cold.report.stages;
            let parts = vec![
                cold.read,
                cold.model,
                stages.render + stages.plan,
                stages.apply,
            ];
            (measured.cluster.to_string(), parts)
        })
        .collect();
    print::bars(&parts, &bars);
}

fn restarts(measured: &[Measured]) {
    let restarts = measured.iter().map(|measured| {
        let (report, total) = &measured.restart;
        let stages = report.stages;
        vec![
            measured.cluster.to_string(),
            time(stages.observe),
            time(stages.render),
            time(stages.plan),
            time(stages.apply),
            time(*total),
            count(report.operations),
        ]
    });
    print::table(
        "Restart: the rules are in place already",
        &[
            "services",
            "observe",
            "render",
            "plan",
            "apply",
            "total",
            "operations",
        ],
        restarts,
    );
}

fn changes(measured: &[Measured]) {
    let rows = measured.iter().flat_map(|measured| {
        measured.changes.iter().map(|(name, series)| {
            vec![
                measured.cluster.to_string(),
                (*name).to_owned(),
                time(series.percentile(50)),
                time(series.percentile(99)),
                count(series.operations),
                count(series.messages),
            ]
        })
    });
    print::table(
        "One change: from the Change to the kernel's acknowledgement",
        &[
            "services",
            "change",
            "median",
            "p99",
            "operations",
            "messages",
        ],
        rows,
    );
}

fn processes(measured: &[Measured]) {
    let rows = measured.iter().map(|measured| {
        let footprint = &measured.footprint;
        vec![
            measured.cluster.to_string(),
            time(footprint.first_answer),
            time(footprint.ready),
            mebibytes(footprint.resident),
            mebibytes(footprint.peak),
            time(footprint.direct),
            time(footprint.through_service),
        ]
    });
    print::table(
        "The process `fairlead run`, from its start; and what a connection takes, to a pod and through the last Service",
        &[
            "services",
            "first answer",
            "ready",
            "resident",
            "peak",
            "pod",
            "Service",
        ],
        rows,
    );
}

fn followed(measured: &[Measured]) {
    let rows = measured.iter().flat_map(|measured| {
        measured.followed.iter().map(|(lists, followed)| {
            let footprint = &followed.footprint;
            vec![
                measured.cluster.to_string(),
                (*lists).to_owned(),
                time(footprint.first_answer),
                time(footprint.ready),
                time(followed.start),
                mebibytes(footprint.resident),
                mebibytes(footprint.peak),
                time(followed.percentile(50)),
                time(followed.percentile(99)),
                time(followed.per_write),
                mebibytes(followed.resident_after),
            ]
        })
    });
    print::table(
        "`fairlead run` following an API server: from its start, and from the write of an EndpointSlice to traffic",
        &[
            "services",
            "lists",
            "first answer",
            "ready",
            "CPU",
            "resident",
            "peak",
            "write median",
            "p99",
            "CPU a write",
            "resident after",
        ],
        rows,
    );
}

fn prices(measured: &[Measured]) {
    let rows = measured.iter().map(|measured| {
        let price = &measured.price;
        let pair = |of: fn(&Costs) -> Duration| {
            let (without, with) = (of(&price.without), of(&price.with));
            [time(without), time(with), factor(with, without)]
        };
        let label = [measured.cluster.to_string()];
        let pairs = [
            pair(|costs| costs.apply),
            pair(|costs| costs.connection),
            pair(|costs| costs.packet),
        ];
        let reading = [time(price.read_idle), time(price.read_used)];
        label
            .into_iter()
            .chain(pairs.concat())
            .chain(reading)
            .collect()
    });
    print::table(
        "What counting costs: without counters, with them, and the factor; and reading them, before and after a connection to every Service",
        &[
            "services",
            "apply",
            "with",
            "",
            "connection",
            "with",
            "",
            "packet",
            "with",
            "",
            "read",
            "used",
        ],
        rows,
    );
}
