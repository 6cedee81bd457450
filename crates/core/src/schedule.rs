//! When to sync: a state machine that is told the time.
//!
//! A change on a quiet node is programmed at once. After a sync there is a pause, in which changes
//! are collected, so that a rollout costs a few syncs and not thousands: a share of time goes to
//! syncs, and the minimum interval is the longest that this pause gets. The first sync, which fills
//! the tables, has none. A sync that failed is tried again soon, then less and less often, at the
//! latest after the retry interval, or soon after something changes. Without any change everything
//! is compared with the kernel once in the maximum interval.

use std::mem;
use std::time::{Duration, Instant};

/// The pause after the first failure. It doubles with each further one.
const FIRST_RETRY: Duration = Duration::from_millis(500);

/// The pause after a sync, by how long that took: a twentieth of the time may go to syncs. One
/// that takes a millisecond may come 50 times a second; one that takes 50 ms, every second.
const PAUSE: u32 = 19;

/// The limits that a schedule keeps to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intervals {
    /// The longest pause after a sync, while changes are waiting (`minSyncPeriod`).
    pub min: Duration,
    /// The longest pause after a sync that failed (`syncPeriod`).
    pub retry: Duration,
    /// The longest time without a sync; `None` if it need not end.
    pub max: Option<Duration>,
}

/// Decides when the next sync is due.
#[derive(Debug, Clone)]
pub struct Schedule {
    intervals: Intervals,
    /// When the oldest request was made that no sync has answered.
    requested: Option<Instant>,
    /// Whether anything was asked for since the last sync began.
    news: bool,
    began: Option<Instant>,
    ended: Option<Ended>,
    /// Whether the tables were filled once.
    filled: bool,
    failures: u32,
}

/// How the last sync went.
#[derive(Debug, Clone, Copy)]
struct Ended {
    at: Instant,
    took: Duration,
}

/// Why a sync is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Something changed, or a sync failed.
    Requested,
    /// Nothing did for long.
    Routine,
}

impl Schedule {
    /// A schedule that nothing has been asked of yet.
    pub fn new(intervals: Intervals) -> Schedule {
        Schedule {
            intervals,
            requested: None,
            news: false,
            began: None,
            ended: None,
            filled: false,
            failures: 0,
        }
    }

    /// Keeps to other limits from now on.
    pub fn set_intervals(&mut self, intervals: Intervals) {
        self.intervals = intervals;
    }

    /// Something changed.
    pub fn request(&mut self, now: Instant) {
        self.requested.get_or_insert(now);
        self.news = true;
    }

    /// When the next sync is due, and why; `None` before anything was asked for.
    pub fn due(&self) -> Option<(Instant, Cause)> {
        match (self.requested, self.ended) {
            (Some(requested), None) => Some((requested, Cause::Requested)),
            (Some(requested), Some(ended)) => {
                let earliest = ended.at + self.pause(ended.took);
                Some((earliest.max(requested), Cause::Requested))
            }
            (None, Some(ended)) => Some((ended.at + self.intervals.max?, Cause::Routine)),
            (None, None) => None,
        }
    }

    /// A sync begins: it answers all requests so far. Returns when the oldest was made.
    pub fn begin(&mut self, now: Instant) -> Option<Instant> {
        self.began = Some(now);
        self.news = false;
        self.requested.take()
    }

    /// The sync ended well.
    pub fn succeeded(&mut self, now: Instant) {
        if !mem::replace(&mut self.filled, true) {
            // The first fills the tables. What comes after is small and need not pay for it.
            self.began = Some(now);
        }
        self.end(now);
        self.failures = 0;
    }

    /// The sync failed; what it was to answer, since `requested`, is still asked.
    pub fn failed(&mut self, requested: Option<Instant>, now: Instant) {
        self.end(now);
        self.failures = self.failures.saturating_add(1);
        self.requested = requested.or(self.requested).or(Some(now));
    }

    /// When the oldest request was made that is not answered yet.
    pub fn waiting_since(&self) -> Option<Instant> {
        self.requested
    }

    fn end(&mut self, now: Instant) {
        let began = self.began.take().unwrap_or(now);
        let took = now.saturating_duration_since(began);
        self.ended = Some(Ended { at: now, took });
    }

    fn pause(&self, took: Duration) -> Duration {
        match self.failures {
            0 => took.saturating_mul(PAUSE).min(self.intervals.min),
            failures => {
                let pause = FIRST_RETRY
                    .saturating_mul(1 << (failures - 1).min(16))
                    .min(self.intervals.retry);
                match self.news {
                    // What changed may be what it failed of.
                    true => pause.min(self.intervals.min.max(FIRST_RETRY)),
                    false => pause,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MS: Duration = Duration::from_millis(1);

    fn schedule() -> (Schedule, Instant) {
        let intervals = Intervals {
            min: SECOND,
            retry: 30 * SECOND,
            max: Some(3600 * SECOND),
        };
        (Schedule::new(intervals), Instant::now())
    }

    /// One whose tables are full.
    fn running() -> (Schedule, Instant) {
        let (mut schedule, start) = schedule();
        schedule.request(start);
        sync(&mut schedule, start, SECOND);
        (schedule, start + SECOND)
    }

    /// A sync of everything asked for.
    fn sync(schedule: &mut Schedule, at: Instant, took: Duration) -> Option<Instant> {
        let requested = schedule.begin(at);
        schedule.succeeded(at + took);
        requested
    }

    fn asked(at: Instant) -> (Instant, Cause) {
        (at, Cause::Requested)
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
        assert_eq!(schedule.due(), Some(asked(start)));
        sync(&mut schedule, start, SECOND);
        schedule.request(start + 5 * SECOND);
        assert_eq!(schedule.due(), Some(asked(start + 5 * SECOND)));
    }

    #[test]
    fn what_comes_after_the_first_sync_does_not_wait_for_it() {
        let (mut schedule, filled) = running();
        schedule.request(filled + MS);
        assert_eq!(schedule.due(), Some(asked(filled + MS)));
        sync(&mut schedule, filled + MS, SECOND);
        schedule.request(filled + SECOND + MS);
        assert_eq!(schedule.due(), Some(asked(filled + 2 * SECOND + MS)));
    }

    #[test]
    fn changes_soon_after_a_long_sync_wait_together() {
        let (mut schedule, start) = running();
        schedule.request(start);
        sync(&mut schedule, start, SECOND);
        let ended = start + SECOND;
        schedule.request(ended + SECOND / 10);
        schedule.request(ended + SECOND / 2);
        assert_eq!(schedule.due(), Some(asked(ended + SECOND)));
        let requested = schedule.begin(ended + SECOND);
        assert_eq!(requested, Some(ended + SECOND / 10));
        schedule.succeeded(ended + SECOND);
        assert_eq!(schedule.waiting_since(), None);
    }

    #[test]
    fn a_short_sync_earns_a_short_pause() {
        for (took, pause) in [(MS, 19 * MS), (10 * MS, 190 * MS), (100 * MS, SECOND)] {
            let (mut schedule, start) = running();
            schedule.request(start);
            sync(&mut schedule, start, took);
            schedule.request(start + took);
            assert_eq!(schedule.due(), Some(asked(start + took + pause)));
        }
    }

    #[test]
    fn a_failure_is_tried_again_soon_then_seldom() {
        let (mut schedule, start) = schedule();
        schedule.request(start);
        let mut pauses = Vec::new();
        for _ in 0..9 {
            let requested = schedule.begin(start);
            assert_eq!(requested, Some(start));
            schedule.failed(requested, start);
            pauses.push(schedule.due().unwrap().0 - start);
        }
        let seconds: Vec<f32> = pauses.iter().map(Duration::as_secs_f32).collect();
        assert_eq!(seconds, [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]);
        sync(&mut schedule, start, MS);
        assert_eq!(schedule.waiting_since(), None);
    }

    #[test]
    fn a_change_is_tried_soon_however_often_syncs_failed() {
        let (mut schedule, start) = running();
        schedule.request(start);
        for _ in 0..9 {
            let requested = schedule.begin(start);
            schedule.failed(requested, start);
        }
        assert_eq!(schedule.due(), Some(asked(start + 30 * SECOND)));
        schedule.request(start + 5 * SECOND);
        assert_eq!(schedule.due(), Some(asked(start + SECOND)));
        assert_eq!(schedule.begin(start + 5 * SECOND), Some(start));
        schedule.failed(Some(start), start + 5 * SECOND);
        assert_eq!(schedule.due(), Some(asked(start + 35 * SECOND)));
    }

    #[test]
    fn a_request_during_a_sync_is_answered_by_the_next() {
        let (mut schedule, start) = running();
        schedule.request(start);
        schedule.begin(start);
        schedule.request(start + SECOND / 10);
        schedule.succeeded(start + SECOND / 5);
        assert_eq!(schedule.due(), Some(asked(start + SECOND / 5 + SECOND)));
    }

    #[test]
    fn without_changes_there_is_one_in_the_maximum_interval() {
        let (mut schedule, start) = schedule();
        schedule.request(start);
        sync(&mut schedule, start, MS);
        let hour = start + MS + 3600 * SECOND;
        assert_eq!(schedule.due(), Some((hour, Cause::Routine)));
    }

    #[test]
    fn other_limits_count_at_once() {
        let (mut schedule, start) = running();
        schedule.request(start);
        sync(&mut schedule, start, SECOND);
        schedule.request(start + SECOND);
        schedule.set_intervals(Intervals {
            min: Duration::ZERO,
            retry: SECOND,
            max: None,
        });
        assert_eq!(schedule.due(), Some(asked(start + SECOND)));
    }
}
