//! Clients that connect all the time while something is done.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use fairlead_core::address::Protocol;
use fairlead_lab::{Client, Lab};
use libtest_mimic::Failed;

use crate::watch::Running;

/// While the machine stands still for so long, nobody is answered in time.
const PAUSE: Duration = Duration::from_millis(100);

/// So often each client has to have connected: otherwise nothing was seen.
const ENOUGH: usize = 50;

/// Lets each client connect to its address over and over until the work is done. That one of them
/// meets nobody once is an error.
pub(crate) fn while_asking<T>(
    lab: &Lab,
    asked: &[(Client, &str)],
    work: impl FnOnce() -> Result<T, Failed>,
) -> Result<T, Failed> {
    let over = &AtomicBool::new(false);
    let (done, met) = thread::scope(|scope| {
        let ask = |asked| scope.spawn(move || ask_until(lab, asked, over));
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
                return Err(format!("{client} -> {to}, {tries} times: {lost:?}").into());
            }
        }
    }
    Ok(done)
}

/// Returns how often it connected, and what went wrong.
fn ask_until(
    lab: &Lab,
    (client, to): (Client, &str),
    over: &AtomicBool,
) -> Result<(usize, Vec<String>), Failed> {
    let (to, mut tries, mut lost) = (to.parse()?, 0, Vec::new());
    let clock = Running::start();
    while !over.load(Ordering::Relaxed) || tries < ENOUGH && lost.is_empty() {
        let before = clock.stood();
        let series = lab.ask(client, Protocol::Tcp, to, 10)?;
        if clock.stood() < before + PAUSE {
            tries += 10;
            lost.extend(series.errors.keys().map(ToString::to_string));
        }
    }
    Ok((tries, lost))
}
