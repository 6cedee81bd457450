//! Clients that connect all the time while something is done.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fairlead_core::address::Protocol;
use fairlead_lab::{Client, Lab};
use libtest_mimic::Failed;

/// So often each client has to have connected: otherwise nothing was seen.
const ENOUGH: usize = 50;

/// A moment.
const BEAT: Duration = Duration::from_millis(20);
/// What lasts so long is no moment any more: an emulated machine stood still while its host had
/// something else to do.
const STANDSTILL: Duration = Duration::from_millis(300);

/// Lets each client connect to its address over and over until the work is done. That one of them
/// meets nobody once is an error, unless the machine stood still meanwhile: then nothing is known of
/// those who asked just then.
pub(crate) fn while_asking<T>(
    lab: &Lab,
    asked: &[(Client, &str)],
    work: impl FnOnce() -> Result<T, Failed>,
) -> Result<T, Failed> {
    let (over, standstills) = (&AtomicBool::new(false), &AtomicUsize::new(0));
    let (done, met) = thread::scope(|scope| {
        scope.spawn(|| count_standstills(over, standstills));
        let ask = |asked| scope.spawn(move || ask_until(lab, asked, over, standstills));
        let askers: Vec<_> = asked.iter().copied().map(ask).collect();
        let done = work();
        over.store(true, Ordering::Relaxed);
        let join = |asker: thread::ScopedJoinHandle<'_, _>| {
            asker.join().unwrap_or_else(|panic| resume_unwind(panic))
        };
        (done, askers.into_iter().map(join).collect::<Vec<_>>())
    });
    let done = done?;
    for ((client, to), met) in asked.iter().zip(met) {
        match met? {
            (tries, lost) if tries >= ENOUGH && lost.is_empty() => {}
            (tries, lost) => {
                let stood = standstills.load(Ordering::Relaxed);
                let met = format!("{client} -> {to}, {tries} times: {lost:?}");
                return Err(format!("{met}; the machine stood still {stood} times").into());
            }
        }
    }
    Ok(done)
}

fn count_standstills(over: &AtomicBool, standstills: &AtomicUsize) {
    while !over.load(Ordering::Relaxed) {
        let started = Instant::now();
        thread::sleep(BEAT);
        if started.elapsed() > STANDSTILL {
            standstills.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Returns how often it connected, and what went wrong.
fn ask_until(
    lab: &Lab,
    (client, to): (Client, &str),
    over: &AtomicBool,
    standstills: &AtomicUsize,
) -> Result<(usize, Vec<String>), Failed> {
    let (to, mut tries, mut lost) = (to.parse()?, 0, Vec::new());
    while !over.load(Ordering::Relaxed) || tries < ENOUGH && lost.is_empty() {
        let stood_before = standstills.load(Ordering::Relaxed);
        let series = lab.ask(client, Protocol::Tcp, to, 10)?;
        if !series.errors.is_empty() {
            // Those that wait longest are seen last.
            thread::sleep(STANDSTILL);
            if standstills.load(Ordering::Relaxed) != stood_before {
                continue;
            }
        }
        tries += 10;
        lost.extend(series.errors.keys().map(ToString::to_string));
    }
    Ok((tries, lost))
}
