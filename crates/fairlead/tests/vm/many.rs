//! Many tests in one machine: to switch it on and load modules takes longer than most of them.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use libtest_mimic::Failed;

use crate::{Test, is_wanted};

/// So many at once: the machine is slow, and a question must be answered in time.
const THREADS: usize = 3;

/// Runs those tests that are wanted, and says which failed.
pub(crate) fn all(tests: &[Test]) -> Result<(), Failed> {
    let all = tests.iter();
    each(all.map(|(name, test)| (*name, test)), |test| test())
}

/// Does something with all items whose names are wanted, and says with which it failed.
pub(crate) fn each<Name: AsRef<str> + Send, Item: Send>(
    items: impl Iterator<Item = (Name, Item)>,
    run: impl Fn(Item) -> Result<(), Failed> + Sync,
) -> Result<(), Failed> {
    let wanted: Vec<_> = items.filter(|(name, _)| is_wanted(name.as_ref())).collect();
    let left = Mutex::new(wanted.into_iter());
    let failures = Mutex::new(Vec::new());
    let next = || held(&left).next();
    let work = || {
        while let Some((name, item)) = next() {
            if let Err(failed) = run(item) {
                let said = failed.message().unwrap_or_default();
                held(&failures).push(format!("{}: {said}", name.as_ref()));
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(work);
        }
    });
    let failures = held(&failures);
    match failures.is_empty() {
        true => Ok(()),
        false => Err(failures.join("\n").into()),
    }
}

fn held<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
