//! Durations as kube-proxy's flags take them: `30s`, `1m30s`, `500ms`, `0`.

use std::time::Duration;

use jiff::SignedDuration;

/// Reads a duration that is not negative.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let hint = || format!("{text:?} is not a duration; write it like 30s, 1m30s or 500ms");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let signed: SignedDuration = text.parse().map_err(|_| hint())?;
    Duration::try_from(signed).map_err(|_| hint())
}
