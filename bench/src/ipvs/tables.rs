//! What was measured of ipvs mode, as tables.

use std::time::Duration;

use super::Measured;
use crate::cluster::ENDPOINTS;
use crate::print::{self, count, factor, mebibytes, time};

/// Prints everything. Of nftables mode, each row is what the next one is compared with.
pub(super) fn print(measured: &[Measured]) {
    println!("{ENDPOINTS} endpoints a service. x is against nftables mode on the same kernel.");
    cold_starts(measured);
    changes(measured);
    restarts(measured);
    processes(measured);
    println!(
        "\nkube-router was reported to need 16 s to sync 2,700 services, on other hardware: a remark, no comparison."
    );
}

fn cold_starts(measured: &[Measured]) {
    let rows = measured.iter().map(|one| {
        let (cold, stages) = (&one.cold, one.cold.report.stages);
        vec![
            name(one),
            time(cold.model),
            time(stages.observe),
            time(stages.render),
            time(stages.plan),
            time(stages.apply),
            time(synced(one)),
            beside(measured, one, synced),
            count(cold.report.operations),
            count(cold.report.messages),
            mebibytes(cold.report.bytes / 1024),
        ]
    });
    print::table(
        "Cold start, once the manifests are read (the total is without the model)",
        &[
            "services",
            "model",
            "observe",
            "render",
            "plan",
            "apply",
            "total",
            "x",
            "operations",
            "messages",
            "sent",
        ],
        rows,
    );
}

fn synced(one: &Measured) -> Duration {
    let stages = one.cold.report.stages;
    stages.observe + stages.render + stages.plan + stages.apply
}

fn changes(measured: &[Measured]) {
    let rows = measured.iter().flat_map(|one| {
        let of_kind = move |(at, (what, series)): (usize, &(&str, super::Series))| {
            vec![
                format!("{}, {what}", name(one)),
                time(series.percentile(50)),
                time(series.percentile(99)),
                beside(measured, one, |one| one.changes[at].1.percentile(50)),
                count(series.operations),
                count(series.messages),
                count(series.bytes),
            ]
        };
        one.changes.iter().enumerate().map(of_kind)
    });
    print::table(
        "One change, from the Change until it is in effect (operations, messages and bytes: the most that one took)",
        &[
            "change",
            "median",
            "p99",
            "x",
            "operations",
            "messages",
            "bytes",
        ],
        rows,
    );
}

fn restarts(measured: &[Measured]) {
    let rows = measured.iter().map(|one| {
        let (report, stages) = (&one.restart, one.restart.stages);
        let total = |one: &Measured| {
            let stages = one.restart.stages;
            stages.observe + stages.render + stages.plan + stages.apply
        };
        vec![
            name(one),
            time(stages.observe),
            time(stages.render),
            time(stages.plan),
            time(stages.apply),
            time(total(one)),
            beside(measured, one, total),
            count(report.operations),
            time(one.left.stages.observe + one.left.stages.apply),
            count(one.left.operations),
        ]
    });
    print::table(
        "Restart on an unchanged kernel; and a look at the endpoints that were replaced, which then go",
        &[
            "services",
            "observe",
            "render",
            "plan",
            "apply",
            "total",
            "x",
            "operations",
            "look",
            "operations",
        ],
        rows,
    );
}

fn processes(measured: &[Measured]) {
    let rows = measured.iter().map(|one| {
        let footprint = &one.footprint;
        vec![
            name(one),
            time(footprint.first_answer),
            mebibytes(footprint.resident),
            mebibytes(footprint.peak),
            time(footprint.direct),
            time(footprint.through_service),
        ]
    });
    print::table(
        "The process following files: first answer from its start, memory (VmRSS, VmHWM), a connection to a pod and through the last Service",
        &[
            "services", "answer", "resident", "at most", "pod", "Service",
        ],
        rows,
    );
}

fn name(one: &Measured) -> String {
    format!("{}, {}", count(one.services as usize), one.mode)
}

/// A duration beside that of the first mode with as many Services; nothing for that one itself.
fn beside(measured: &[Measured], one: &Measured, of: impl Fn(&Measured) -> Duration) -> String {
    let first = measured
        .iter()
        .find(|other| other.services == one.services)
        .filter(|first| first.mode != one.mode);
    first.map_or(String::new(), |first| factor(of(one), of(first)))
}
