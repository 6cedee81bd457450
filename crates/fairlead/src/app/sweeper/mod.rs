//! Deletes stale connections, off the sync path.
//!
//! What several syncs ask for while one sweep runs is done in one. What a sweep could not do is
//! asked again, together with what came meanwhile.

mod backlog;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Instant;

use anyhow::{Context, anyhow};
use tracing::{debug, info, warn};

use fairlead_backends::sweep::sweep;
use fairlead_kernel::conntrack::{Conntrack, ConntrackSocket, Flow};

use crate::metrics::Metrics;
use backlog::Backlog;
pub(super) use backlog::Sweep;

/// Starts the thread that sweeps, and returns where to send what has to be looked at.
pub(super) fn start(metrics: Arc<Metrics>) -> std::io::Result<Sender<Sweep>> {
    let (sender, receiver) = channel();
    thread::Builder::new()
        .name("conntrack".to_owned())
        .spawn(move || sweep_all(&receiver, &metrics))?;
    Ok(sender)
}

fn sweep_all(receiver: &Receiver<Sweep>, metrics: &Metrics) {
    let mut backlog = Backlog::new();
    while gather(receiver, &mut backlog) {
        let now = Instant::now();
        if let Some(sweep) = backlog.begin(now) {
            let result = sweep_once(&sweep, metrics);
            if let Err(error) = &result {
                warn!("stale connections stay, trying again: {error:#}");
            }
            backlog.end(sweep, result.is_ok(), Instant::now());
        }
    }
}

/// Takes in all that is there, or waits until something is to be done. `false` when nobody can
/// ask any more.
fn gather(receiver: &Receiver<Sweep>, backlog: &mut Backlog) -> bool {
    let now = Instant::now();
    let first = match backlog.due() {
        None => receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
        Some(due) => receiver.recv_timeout(due.saturating_duration_since(now)),
    };
    match first {
        Ok(sweep) => backlog.add(sweep, now),
        Err(RecvTimeoutError::Timeout) => {}
        Err(RecvTimeoutError::Disconnected) => return false,
    }
    for sweep in receiver.try_iter() {
        backlog.add(sweep, now);
    }
    true
}

/// Sweeps both families. A failure in one does not keep the other from being swept.
pub(super) fn sweep_once(sweep: &Sweep, metrics: &Metrics) -> anyhow::Result<()> {
    if sweep.suspects.is_empty() {
        return Ok(());
    }
    let mut conntrack = ConntrackSocket::open()?;
    sweep_families(&mut conntrack, sweep, metrics)
}

fn sweep_families(
    conntrack: &mut impl Conntrack,
    asked: &Sweep,
    metrics: &Metrics,
) -> anyhow::Result<()> {
    let mut result = Ok(());
    for family in asked.suspects.families() {
        match sweep(conntrack, family, &asked.suspects, &asked.node_ports) {
            Ok(swept) => {
                match swept.deleted {
                    0 => debug!("no stale {family} connection, in {:?}", swept.took),
                    some => info!(
                        "deleted {some} stale {family} connections in {:?}",
                        swept.took
                    ),
                }
                metrics.swept(family, swept.took, swept.deleted);
                if let [first, ..] = swept.refused[..] {
                    result = Err(refusal(first, swept.refused.len()));
                }
            }
            Err(error) => result = Err(error).context(format!("{family} connections")),
        }
    }
    result
}

fn refusal((flow, errno): (Flow, i32), of: usize) -> anyhow::Error {
    let error = std::io::Error::from_raw_os_error(errno);
    let (from, to) = (flow.original.src, flow.destination());
    anyhow!("the kernel keeps {of}, one of them from {from} to {to}: {error}")
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use fairlead_core::address::Family;
    use fairlead_kernel::conntrack::{self, ConntrackError, FakeConntrack, Tuple};
    use fairlead_kernel::error::CallError;

    use super::backlog::tests::{dns, endpoint, served_by};
    use super::*;
    use crate::config::Mode;

    fn flow(client: &str, asked: &str, answers: &str) -> conntrack::Flow {
        let parse = |text: &str| -> IpAddr { text.parse().unwrap() };
        let tuple = |src, dst, sport, dport| Tuple {
            src: parse(src),
            dst: parse(dst),
            sport,
            dport,
        };
        conntrack::Flow {
            protocol: conntrack::Protocol::Udp,
            original: tuple(client, asked, 999, 53),
            reply: tuple(answers, client, 53, 999),
            dnat: asked != answers,
            zone: 0,
            id: None,
        }
    }

    fn failure() -> ConntrackError {
        ConntrackError::Call(CallError {
            call: "IPCTNL_MSG_CT_GET",
            object: "flows".into(),
            errno: 105,
        })
    }

    #[test]
    fn a_family_that_fails_does_not_keep_the_other_from_being_swept() {
        let metrics = Metrics::new(Mode::Nftables, &Family::BOTH).unwrap();
        let mut sweep = served_by(Family::V4, &["10.244.0.1"]);
        let six = vec![endpoint("fd00:10::1")];
        sweep.suspects.insert([dns(Family::V6)], six);
        let mut table = FakeConntrack::default();
        table.insert(flow("10.244.0.9", "10.96.0.10", "10.244.0.2"));
        table.insert(flow("fd00:10::9", "fd00::10", "fd00:10::2"));
        let kept = table.insert(flow("fd00:10::8", "fd00::10", "fd00:10::1"));
        table.fault = Some(failure());
        let error = sweep_families(&mut table, &sweep, &metrics).unwrap_err();
        assert!(
            format!("{error:#}").contains("IPv4 connections"),
            "{error:#}"
        );
        assert_eq!(table.all().len(), 2);
        sweep_families(&mut table, &sweep, &metrics).unwrap();
        assert_eq!(table.all(), kept.as_slice());
    }

    #[test]
    fn a_connection_that_the_kernel_keeps_is_a_failure() {
        let metrics = Metrics::new(Mode::Nftables, &Family::BOTH).unwrap();
        let mut table = FakeConntrack::default();
        table.refuse_deletions = Some(16);
        table.insert(flow("10.244.0.9", "10.96.0.10", "10.244.0.2"));
        let sweep = served_by(Family::V4, &["10.244.0.1"]);
        let error = sweep_families(&mut table, &sweep, &metrics).unwrap_err();
        assert!(error.to_string().contains("10.96.0.10:53"), "{error}");
        table.refuse_deletions = None;
        sweep_families(&mut table, &sweep, &metrics).unwrap();
        assert_eq!(table.all(), []);
    }
}
