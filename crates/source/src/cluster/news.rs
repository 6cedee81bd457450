//! What an operator should know of the conversation with the API server.

use std::fmt;
use std::time::{Duration, Instant};

/// How many different failures are remembered, so that those that take turns are told once each.
const REMEMBERED: usize = 8;

/// Something to log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// How much it matters.
    pub weight: Weight,
    /// What is the matter, where, and what to do.
    pub text: String,
}

/// How much [`News`] matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// Good to know.
    Info,
    /// Something does not work as it should.
    Warning,
}

impl News {
    pub(super) fn info(text: impl Into<String>) -> News {
        News {
            weight: Weight::Info,
            text: text.into(),
        }
    }

    pub(super) fn warning(text: impl Into<String>) -> News {
        News {
            weight: Weight::Warning,
            text: text.into(),
        }
    }
}

impl fmt::Display for News {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A failure that goes on, and what was said of it: pure, with time as an argument.
#[derive(Debug)]
pub(super) struct Trouble {
    /// How long the same is not told again.
    quiet: Duration,
    since: Option<Instant>,
    /// What was told, the latest last. It outlives the recovery, so that a failure that comes and
    /// goes is not told each time.
    told: Vec<(String, Instant)>,
    /// Whether something was told since it began.
    announced: bool,
}

impl Trouble {
    pub(super) fn new(quiet: Duration) -> Trouble {
        Trouble {
            quiet,
            since: None,
            told: Vec::new(),
            announced: false,
        }
    }

    /// Takes note of a failure. True when it is to be told.
    pub(super) fn failed(&mut self, text: &str, now: Instant) -> bool {
        self.since.get_or_insert(now);
        let quiet = self.quiet;
        self.told
            .retain(|(_, at)| now.saturating_duration_since(*at) < quiet);
        if self.told.iter().any(|(told, _)| told == text) {
            return false;
        }
        if self.told.len() == REMEMBERED {
            self.told.remove(0);
        }
        self.told.push((text.to_owned(), now));
        self.announced = true;
        true
    }

    /// Takes note that it works. Returns how long it did not, if that is to be told.
    pub(super) fn recovered(&mut self, now: Instant) -> Option<Duration> {
        let since = self.since.take()?;
        std::mem::take(&mut self.announced).then(|| now.saturating_duration_since(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_once_when_it_changes_and_every_few_minutes() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut trouble = Trouble::new(Duration::from_mins(5));
        let told = [
            (0, "refused", true),
            (10, "refused", false),
            (20, "timed out", true),
            (30, "refused", false),
            (299, "timed out", false),
            (300, "refused", true),
        ];
        for (second, text, expected) in told {
            assert_eq!(
                trouble.failed(text, at(second)),
                expected,
                "{second} {text}"
            );
        }
        let lasted = Some(Duration::from_secs(342));
        assert_eq!(trouble.recovered(at(342)), lasted);
        assert_eq!(trouble.recovered(at(343)), None);
    }

    #[test]
    fn what_comes_and_goes_is_not_told_each_time() {
        let now = Instant::now();
        let mut trouble = Trouble::new(Duration::from_mins(5));
        assert!(trouble.failed("reset", now));
        assert!(trouble.recovered(now).is_some());
        assert!(!trouble.failed("reset", now));
        assert_eq!(trouble.recovered(now), None);
    }
}
