//! When to sync: a state machine that is told the time.
//!
//! A change on a quiet node is programmed at once. After a sync, changes are collected for the
//! minimum interval, so that a rollout costs a few syncs and not thousands. A sync that failed
//! is tried again soon, then less and less often, at the latest after the retry interval.

use std::time::{Duration, Instant};

/// The pause after the first failure. It doubles with each further one.
const FIRST_RETRY: Duration = Duration::from_millis(500);

/// Decides when the next sync is due.
#[derive(Debug, Clone)]
pub struct Schedule {
    min_interval: Duration,
    max_retry: Duration,
    /// When the oldest request was made that no sync has answered.
    requested: Option<Instant>,
    ended: Option<Instant>,
    failures: u32,
}

impl Schedule {
    /// A schedule that leaves at least `min_interval` between two syncs and at most `max_retry`
    /// between the attempts of one.
    pub fn new(min_interval: Duration, max_retry: Duration) -> Schedule {
        Schedule {
            min_interval,
            max_retry,
            requested: None,
            ended: None,
            failures: 0,
        }
    }

    /// Something changed.
    pub fn request(&mut self, now: Instant) {
        self.requested.get_or_insert(now);
    }

    /// When the next sync is due; `None` if nothing asks for one.
    pub fn due(&self) -> Option<Instant> {
        let requested = self.requested?;
        let earliest = self.ended.map(|ended| ended + self.pause());
        Some(earliest.map_or(requested, |earliest| earliest.max(requested)))
    }

    /// A sync begins: it answers all requests so far. Returns when the oldest was made.
    pub fn begin(&mut self) -> Option<Instant> {
        self.requested.take()
    }

    /// The sync ended well.
    pub fn succeeded(&mut self, now: Instant) {
        self.ended = Some(now);
        self.failures = 0;
    }

    /// The sync failed; what it was to answer, since `requested`, is still asked.
    pub fn failed(&mut self, requested: Option<Instant>, now: Instant) {
        self.ended = Some(now);
        self.failures = self.failures.saturating_add(1);
        self.requested = requested.or(self.requested).or(Some(now));
    }

    /// When the oldest request was made that is not answered yet.
    pub fn waiting_since(&self) -> Option<Instant> {
        self.requested
    }

    fn pause(&self) -> Duration {
        match self.failures {
            0 => self.min_interval,
            failures => FIRST_RETRY
                .saturating_mul(1 << (failures - 1).min(16))
                .min(self.max_retry),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn schedule() -> (Schedule, Instant) {
        (Schedule::new(SECOND, 30 * SECOND), Instant::now())
    }

    #[test]
    fn nothing_is_due_unasked() {
        let (schedule, _) = schedule();
        assert_eq!(schedule.due(), None);
    }

    #[test]
    fn a_change_on_a_quiet_node_is_due_at_once() {
        let (mut schedule, start) = schedule();
        schedule.request(start);
        assert_eq!(schedule.due(), Some(start));
        schedule.begin();
        schedule.succeeded(start);
        schedule.request(start + 5 * SECOND);
        assert_eq!(schedule.due(), Some(start + 5 * SECOND));
    }

    #[test]
    fn changes_soon_after_a_sync_wait_together() {
        let (mut schedule, start) = schedule();
        schedule.request(start);
        schedule.begin();
        schedule.succeeded(start);
        schedule.request(start + SECOND / 10);
        schedule.request(start + SECOND / 2);
        assert_eq!(schedule.due(), Some(start + SECOND));
        assert_eq!(schedule.begin(), Some(start + SECOND / 10));
        assert_eq!(schedule.due(), None);
    }

    #[test]
    fn a_failure_is_tried_again_soon_then_seldom() {
        let (mut schedule, start) = schedule();
        schedule.request(start);
        let mut pauses = Vec::new();
        for _ in 0..9 {
            let requested = schedule.begin();
            assert_eq!(requested, Some(start));
            schedule.failed(requested, start);
            pauses.push(schedule.due().unwrap() - start);
        }
        let seconds: Vec<f32> = pauses.iter().map(Duration::as_secs_f32).collect();
        assert_eq!(seconds, [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]);
        schedule.begin();
        schedule.succeeded(start);
        assert_eq!(schedule.waiting_since(), None);
    }

    #[test]
    fn a_request_during_a_sync_is_answered_by_the_next() {
        let (mut schedule, start) = schedule();
        schedule.request(start);
        schedule.begin();
        schedule.request(start + SECOND / 10);
        schedule.succeeded(start + SECOND / 5);
        assert_eq!(schedule.due(), Some(start + SECOND / 5 + SECOND));
    }
}
