//! Schedulers that look at open connections.

use fairlead_lab::Lab;
use libtest_mimic::Failed;
use nix::sys::signal::Signal;

use super::held::{self, Held, counts};
use super::node::{scheduled, start, web, weigh};
use crate::rig::{Folder, Proxy};
use crate::watch::eventually;

const PODS: [&str; 3] = ["10.244.1.150", "10.244.1.151", "10.244.1.152"];

const TO: &str = "10.96.41.1:80";

const SERVER: &str = "-t 10.96.41.1:80";

/// `lc` and `wlc`: who has the fewest open connections gets the next.
pub(super) fn the_one_with_fewest_connections_gets_the_next() -> Result<(), Failed> {
    for scheduler in ["lc", "wlc"] {
        with(scheduler, &PODS, |lab, proxy| {
            let mut held = Held::connect_all(lab, TO, 6)?;
            expect(proxy, scheduler, counts(&held, PODS), [2, 2, 2])?;
            // One pod loses both of its own, and gets the next two.
            let (gone, kept): (Vec<_>, Vec<_>) =
                held.drain(..).partition(|held| held.pod == PODS[1]);
            for held in gone {
                held.reset()?;
            }
            eventually("they are closed", || {
                let reals = super::node::reals(lab, SERVER)?.unwrap_or_default();
                Ok(reals.values().map(|real| real.active).sum::<u32>() == 4)
            })?;
            let next = Held::connect_all(lab, TO, 2)?;
            expect(proxy, scheduler, counts(&next, PODS), [0, 2, 0])?;
            drop(kept);
            Ok(())
        })?;
    }
    Ok(())
}

/// `wlc`: in proportion to the weights.
pub(super) fn wlc_looks_at_weights() -> Result<(), Failed> {
    with("wlc", &PODS, |lab, proxy| {
        weigh_pod(lab, PODS[2], 2)?;
        let held = Held::connect_all(lab, TO, 8)?;
        expect(proxy, "wlc", counts(&held, PODS), [2, 2, 4])
    })
}

/// `sed` and `nq` wait for the fastest, but `nq` lets nobody be idle.
pub(super) fn sed_prefers_the_fastest_and_nq_the_idle() -> Result<(), Failed> {
    for (scheduler, expected) in [("sed", [0, 2]), ("nq", [1, 1])] {
        let pods = [PODS[0], PODS[1]];
        with(scheduler, &pods, |lab, proxy| {
            weigh_pod(lab, PODS[1], 3)?;
            let held = Held::connect_all(lab, TO, 2)?;
            expect(proxy, scheduler, counts(&held, pods), expected)
        })?;
    }
    Ok(())
}

/// `fo`: the greatest weight has all, as long as it is there.
pub(super) fn fo_fails_over() -> Result<(), Failed> {
    with("fo", &PODS, |lab, proxy| {
        weigh_pod(lab, PODS[0], 2)?;
        weigh_pod(lab, PODS[1], 9)?;
        let held = Held::connect_all(lab, TO, 4)?;
        expect(proxy, "fo", counts(&held, PODS), [0, 4, 0])?;
        weigh_pod(lab, PODS[1], 0)?;
        let held = Held::connect_all(lab, TO, 4)?;
        expect(proxy, "fo", counts(&held, PODS), [4, 0, 0])
    })
}

/// `ovf`: the greatest weight gets connections until it has more than that, then the next.
pub(super) fn ovf_flows_over() -> Result<(), Failed> {
    with("ovf", &PODS, |lab, proxy| {
        weigh_pod(lab, PODS[2], 3)?;
        weigh_pod(lab, PODS[0], 2)?;
        let held = Held::connect_all(lab, TO, 8)?;
        expect(proxy, "ovf", counts(&held, PODS), [3, 1, 4])
    })
}

/// `dh`, `lblc`, `lblcr`: a destination has one endpoint for everybody. Of the latter two it has
/// another when that one is overloaded, with more connections than its weight.
pub(super) fn a_destination_has_one_endpoint() -> Result<(), Failed> {
    for (scheduler, others) in [("dh", 0), ("lblc", 1), ("lblcr", 1)] {
        with(scheduler, &PODS, |lab, proxy| {
            let first = Held::connect(lab, TO)?;
            let pod = first.pod.clone();
            first.reset()?;
            for _ in 0..10 {
                let next = Held::connect(lab, TO)?;
                if next.pod != pod {
                    return Err(proxy.failed(&format!("{scheduler}: {pod} and {}", next.pod)));
                }
                next.reset()?;
            }
            let held = Held::connect_all(lab, TO, 3)?;
            let elsewhere = held.iter().filter(|held| held.pod != pod).count();
            expect(proxy, scheduler, [elsewhere], [others])
        })?;
    }
    Ok(())
}

fn with(
    scheduler: &str,
    pods: &[&str],
    see: impl Fn(&Lab, &Proxy<'_>) -> Result<(), Failed>,
) -> Result<(), Failed> {
    let lab = Lab::new()?;
    held::listen(&lab, pods)?;
    let [service, endpoints] = web("web", "10.96.41.1", pods, held::PORT);
    let mut folder = Folder::new(&[scheduled(service, scheduler), endpoints])?;
    let proxy = start(&lab, &mut folder, &[])?;
    see(&lab, &proxy)?;
    proxy.end(Signal::SIGTERM)
}

fn weigh_pod(lab: &Lab, pod: &str, weight: u32) -> Result<(), Failed> {
    weigh(lab, SERVER, &format!("{pod}:{}", held::PORT), weight)
}

fn expect<const N: usize>(
    proxy: &Proxy<'_>,
    scheduler: &str,
    got: [usize; N],
    expected: [usize; N],
) -> Result<(), Failed> {
    match got == expected {
        true => Ok(()),
        false => Err(proxy.failed(&format!("{scheduler}: expected {expected:?}, got {got:?}"))),
    }
}
