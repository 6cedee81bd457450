//! Durations as Go writes them: `30s`, `1m30s`, `1.5h`, `0`; and `1m0s` for a minute.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

/// The units, the longest first, in nanoseconds. Microseconds have three spellings.
const UNITS: [(&str, i64); 8] = [
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ns", 1),
];

/// A duration, which may be negative, to the nanosecond. Longer ones than 292 years are not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct GoDuration(i64);

impl GoDuration {
    /// None at all.
    pub(crate) const ZERO: GoDuration = GoDuration(0);

    /// So many seconds.
    pub(crate) const fn from_secs(seconds: i64) -> GoDuration {
        GoDuration(seconds * 1_000_000_000)
    }

    /// So many nanoseconds.
    pub(crate) const fn from_nanos(nanos: i64) -> GoDuration {
        GoDuration(nanos)
    }

    /// As the standard library has it; nothing if it is negative.
    pub(crate) fn positive(self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0).unwrap_or(0))
    }

    /// This, or another where this is zero.
    pub(crate) fn or(self, other: GoDuration) -> GoDuration {
        if self == GoDuration::ZERO {
            other
        } else {
            self
        }
    }
}

impl FromStr for GoDuration {
    type Err = String;

    fn from_str(text: &str) -> Result<GoDuration, String> {
        let hint = || format!("{text:?} is not a duration; write it like 30s, 1m30s or 500ms");
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        if unsigned == "0" {
            return Ok(GoDuration::ZERO);
        }
        let nanos = nanos(unsigned).ok_or_else(hint)?;
        let nanos = i64::try_from(nanos).map_err(|_| hint())?;
        Ok(GoDuration(if text.starts_with('-') {
            -nanos
        } else {
            nanos
        }))
    }
}

/// The sum of numbers with units.
fn nanos(mut text: &str) -> Option<i128> {
    let mut sum = 0;
    if text.is_empty() {
        return None;
    }
    while !text.is_empty() {
        let end = text.find(|c: char| c != '.' && !c.is_ascii_digit())?;
        let (number, rest) = text.split_at(end);
        let end = rest
            .find(|c: char| c == '.' || c.is_ascii_digit())
            .unwrap_or(rest.len());
        let (unit, rest) = rest.split_at(end);
        let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit)?;
        sum += scaled(number, i128::from(*scale))?;
        text = rest;
    }
    Some(sum)
}

/// A number, with a fraction or without, times a unit. What is smaller than a nanosecond is cut off.
fn scaled(number: &str, scale: i128) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let digits = |text: &str| match text {
        "" => Some(0),
        // No unit needs more digits than that, and no duration is longer.
        text if text.len() > 18 => None,
        text => text.parse::<i128>().ok(),
    };
    let fraction = &fraction[..fraction.len().min(18)];
    let part = digits(fraction)? * scale / 10i128.pow(fraction.len() as u32);
    Some(digits(whole)? * scale + part)
}

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let nanos = self.0.unsigned_abs();
        let (seconds, rest) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
        match nanos {
            0 => f.write_str("0s"),
            1..1_000 => write!(f, "{sign}{nanos}ns"),
            1_000..1_000_000 => write!(f, "{sign}{}\u{b5}s", decimal(nanos, 1_000)),
            1_000_000..1_000_000_000 => write!(f, "{sign}{}ms", decimal(nanos, 1_000_000)),
            _ => {
                let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
                let seconds = decimal(seconds % 60 * 1_000_000_000 + rest, 1_000_000_000);
                match (hours, minutes) {
                    (0, 0) => write!(f, "{sign}{seconds}s"),
                    (0, _) => write!(f, "{sign}{minutes}m{seconds}s"),
                    _ => write!(f, "{sign}{hours}h{minutes}m{seconds}s"),
                }
            }
        }
    }
}

/// A quotient by a power of ten, without zeros at its end.
fn decimal(nanos: u64, scale: u64) -> String {
    let width = scale.ilog10() as usize;
    let text = format!("{}.{:0width$}", nanos / scale, nanos % scale);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl Serialize for GoDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<GoDuration, D::Error> {
        struct Written;

        impl Visitor<'_> for Written {
            type Value = GoDuration;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration like 30s, 1m30s or 500ms")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<GoDuration, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_in_go() {
        for (text, nanos) in [
            ("0", 0),
            ("0s", 0),
            ("-0", 0),
            ("30s", 30_000_000_000),
            ("+30s", 30_000_000_000),
            ("-1s", -1_000_000_000),
            ("1m30s", 90_000_000_000),
            ("2h22m", 8_520_000_000_000),
            ("500ms", 500_000_000),
            ("1.5s", 1_500_000_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("164.645\u{b5}s", 164_645),
            ("1us", 1_000),
            ("7ns", 7),
        ] {
            assert_eq!(text.parse(), Ok(GoDuration(nanos)), "{text}");
        }
    }

    #[test]
    fn what_go_does_not_read_is_refused() {
        for text in [
            "",
            "30",
            "s",
            ".s",
            "-",
            "soon",
            "1 s",
            "1d",
            "1s ",
            "1..5s",
            "9999999h",
            "99999999999999999999s",
        ] {
            assert!(text.parse::<GoDuration>().is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_written_as_in_go() {
        for text in [
            "0s",
            "1s",
            "1m0s",
            "15m0s",
            "1h0m0s",
            "24h0m0s",
            "1m30s",
            "1.5s",
            "500ms",
            "1.25ms",
            "250\u{b5}s",
            "7ns",
            "-1h0m5s",
        ] {
            assert_eq!(text.parse::<GoDuration>().unwrap().to_string(), text);
        }
    }
}
