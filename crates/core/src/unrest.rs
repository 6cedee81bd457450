//! Others change what is ours: when to mend it.
//!
//! Whoever flushes tables takes several steps (`iptables -F; iptables -X`), and each of them fails
//! on what came back in between. So mending waits for a moment of quiet, but not for long.

use std::time::{Duration, Instant};

/// The longest that mending is put off, however much others go on.
const LIMIT: Duration = Duration::from_secs(2);

/// Changes by others that are not mended yet.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unrest(Option<Span>);

#[derive(Debug, Clone, Copy)]
struct Span {
    first: Instant,
    last: Instant,
}

impl Unrest {
    /// Others changed something.
    pub fn note(&mut self, now: Instant) {
        let first = self.0.map_or(now, |span| span.first);
        self.0 = Some(Span { first, last: now });
    }

    /// When to mend it, if there is something to mend: after so much quiet.
    pub fn due(&self, quiet: Duration) -> Option<Instant> {
        let span = self.0?;
        Some((span.last + quiet).min(span.first + LIMIT))
    }

    /// Whether it is time to mend it. Once only: it is taken for mended then.
    pub fn ends(&mut self, quiet: Duration, now: Instant) -> bool {
        let is_due = self.due(quiet).is_some_and(|due| due <= now);
        if is_due {
            self.0 = None;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Duration = Duration::from_millis(250);
    const STEP: Duration = Duration::from_millis(100);

    #[test]
    fn it_waits_for_quiet_after_the_last_change() {
        let (mut unrest, begin) = (Unrest::default(), Instant::now());
        assert!(!unrest.ends(QUIET, begin));
        unrest.note(begin);
        unrest.note(begin + STEP);
        assert_eq!(unrest.due(QUIET), Some(begin + STEP + QUIET));
        assert!(!unrest.ends(QUIET, begin + QUIET));
        assert!(unrest.ends(QUIET, begin + STEP + QUIET));
        assert_eq!(unrest.due(QUIET), None);
    }

    #[test]
    fn it_does_not_wait_for_ever() {
        let (mut unrest, begin) = (Unrest::default(), Instant::now());
        (0..100).for_each(|n| unrest.note(begin + n * STEP));
        assert_eq!(unrest.due(QUIET), Some(begin + LIMIT));
    }

    #[test]
    fn without_a_need_for_quiet_it_is_mended_at_once() {
        let (mut unrest, now) = (Unrest::default(), Instant::now());
        unrest.note(now);
        assert!(unrest.ends(Duration::ZERO, now));
    }
}
