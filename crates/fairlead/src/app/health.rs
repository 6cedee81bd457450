//! Whether the node's rules are up to date.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};

/// What the engine's task tells and the health server asks.
#[derive(Debug)]
pub(super) struct Health {
    /// How long a change may wait.
    patience: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last_synced: Option<Timestamp>,
    waiting_since: Option<Instant>,
    failure: Option<String>,
}

impl Health {
    /// Unhealthy until the first sync, and when a change has waited longer than `patience`.
    pub(super) fn new(patience: Duration) -> Health {
        Health {
            patience,
            state: Mutex::default(),
        }
    }

    /// A sync ended, well or not.
    pub(super) fn synced(&self, result: Result<(), String>) {
        self.with(|state| match result {
            Ok(()) => {
                state.last_synced = Some(Timestamp::now());
                state.failure = None;
            }
            Err(failure) => state.failure = Some(failure),
        });
    }

    /// Since when a change waits, if one does.
    pub(super) fn waiting_since(&self, since: Option<Instant>) {
        self.with(|state| state.waiting_since = since);
    }

    /// Whether all is well, and the answer's body: kube-proxy's fields, and the failure if
    /// there is one.
    pub(super) fn answer(&self, now: Instant) -> (bool, Value) {
        self.with(|state| {
            let waits = |since: Instant| now.saturating_duration_since(since) >= self.patience;
            let healthy = state.last_synced.is_some() && !state.waiting_since.is_some_and(waits);
            let current = Timestamp::now();
            let updated = if healthy {
                Some(current)
            } else {
                state.last_synced
            };
            let mut body = json!({
                "lastUpdated": updated.map(|time| time.to_string()).unwrap_or_default(),
                "currentTime": current.to_string(),
                "healthy": healthy,
            });
            if let Some(failure) = &state.failure {
                body["failure"] = json!(failure);
            }
            (healthy, body)
        })
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_mins(1);

    #[test]
    fn healthy_only_after_the_first_sync() {
        let health = Health::new(PATIENCE);
        assert!(!health.answer(Instant::now()).0);
        health.synced(Err("no".to_owned()));
        let (healthy, body) = health.answer(Instant::now());
        assert!(!healthy);
        assert_eq!(body["failure"], "no");
        health.synced(Ok(()));
        let (healthy, body) = health.answer(Instant::now());
        assert!(healthy);
        assert_eq!(body["lastUpdated"], body["currentTime"]);
        assert!(body.get("failure").is_none());
    }

    #[test]
    fn a_change_that_waits_too_long_is_unhealthy() {
        let (health, now) = (Health::new(PATIENCE), Instant::now());
        health.synced(Ok(()));
        health.waiting_since(Some(now));
        assert!(health.answer(now + PATIENCE / 2).0);
        assert!(!health.answer(now + PATIENCE).0);
        health.waiting_since(None);
        assert!(health.answer(now + PATIENCE).0);
    }
}
