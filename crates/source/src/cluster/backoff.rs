//! How long to wait before asking again: pure, with chance as a number.

use std::time::Duration;

use super::patience::Pauses;

/// A wait that the server asked for is obeyed up to this.
const LONGEST_RETRY_AFTER: Duration = Duration::from_mins(5);

/// Pauses that double from failure to failure.
#[derive(Debug)]
pub(super) struct Backoff {
    pauses: Pauses,
    next: Duration,
}

impl Backoff {
    pub(super) fn new(pauses: Pauses) -> Backoff {
        Backoff {
            pauses,
            next: pauses.first,
        }
    }

    /// The pause after a failure. `chance`, from 0 to 1, makes it up to twice as long, so that the
    /// nodes of a cluster do not come back all at once.
    pub(super) fn pause(&mut self, chance: f64) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.pauses.longest / 2);
        pause.mul_f64(1.0 + chance.clamp(0.0, 1.0))
    }

    /// The pause after a failure with which the server said when to come back.
    pub(super) fn pause_at_least(&mut self, asked: Option<Duration>, chance: f64) -> Duration {
        let own = self.pause(chance);
        let Some(asked) = asked else { return own };
        // Later rather than sooner, and not all at the same instant.
        own.max(asked.min(LONGEST_RETRY_AFTER) + self.pauses.first.mul_f64(chance.clamp(0.0, 1.0)))
    }

    /// Starts with the shortest pause again.
    pub(super) fn reset(&mut self) {
        self.next = self.pauses.first;
    }

    /// How long something has to go well until the failures before it are forgotten.
    pub(super) fn proof(&self) -> Duration {
        self.pauses.longest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(pauses: impl IntoIterator<Item = Duration>) -> Vec<f64> {
        pauses
            .into_iter()
            .map(|pause| (pause.as_secs_f64() * 10.0).round() / 10.0)
            .collect()
    }

    #[test]
    fn pauses_double_and_chance_lengthens_them_up_to_the_longest() {
        let mut backoff = Backoff::new(Pauses::default());
        let shortest = seconds((0..7).map(|_| backoff.pause(0.0)));
        assert_eq!(shortest, [0.8, 1.6, 3.2, 6.4, 12.8, 15.0, 15.0]);
        backoff.reset();
        let longest = seconds((0..7).map(|_| backoff.pause(1.0)));
        assert_eq!(longest, [1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0]);
    }

    #[test]
    fn what_the_server_asks_for_is_obeyed_within_reason() {
        let mut backoff = Backoff::new(Pauses::default());
        let asked = |seconds| Some(Duration::from_secs(seconds));
        let pauses = [
            backoff.pause_at_least(asked(7), 0.0),
            backoff.pause_at_least(asked(7), 1.0),
            backoff.pause_at_least(asked(0), 0.0),
            backoff.pause_at_least(asked(86_400), 0.0),
            backoff.pause_at_least(None, 0.0),
        ];
        assert_eq!(seconds(pauses), [7.0, 7.8, 3.2, 300.0, 12.8]);
    }
}
