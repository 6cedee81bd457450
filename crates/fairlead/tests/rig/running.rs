//! Time in which the machine ran.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// So often it is looked whether the machine runs.
const STEP: Duration = Duration::from_millis(10);

/// What there is between two looks at most, of a machine that runs and has more to do.
const LONGEST: Duration = Duration::from_millis(40);

/// A clock that stops while the machine does. Virtual ones stand still now and then, some for a
/// second, and nothing that runs there can be blamed for it.
#[derive(Debug)]
pub(crate) struct Running(Arc<Mutex<Looks>>);

#[derive(Debug, Clone, Copy)]
struct Looks {
    ran: Duration,
    stood: Duration,
    last: Instant,
}

impl Running {
    /// From now on.
    pub(crate) fn start() -> Running {
        let looks = Arc::new(Mutex::new(Looks {
            ran: Duration::ZERO,
            stood: Duration::ZERO,
            last: Instant::now(),
        }));
        let asked = Arc::downgrade(&looks);
        thread::spawn(move || {
            while let Some(looks) = asked.upgrade() {
                look(&looks);
                drop(looks);
                thread::sleep(STEP);
            }
        });
        Running(looks)
    }

    /// For how long it ran.
    pub(crate) fn elapsed(&self) -> Duration {
        look(&self.0).ran
    }

    /// For how long it stood still.
    pub(crate) fn stood(&self) -> Duration {
        look(&self.0).stood
    }
}

/// Whoever looks does so for all.
fn look(looks: &Mutex<Looks>) -> Looks {
    let mut looks = looks.lock().unwrap_or_else(PoisonError::into_inner);
    let step = looks.last.elapsed();
    looks.last += step;
    looks.ran += step.min(LONGEST);
    looks.stood += step.saturating_sub(LONGEST);
    *looks
}
