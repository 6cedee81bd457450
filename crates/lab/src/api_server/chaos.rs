//! Faults by chance, the same for the same seed and the same requests.

use std::time::Duration;

use super::asked::Verb;
use super::faults::{Fault, Point};

/// What strikes, and how often.
#[derive(Debug)]
pub(super) struct Chaos {
    state: u64,
    /// Of 2^32 opportunities.
    rate: u64,
}

impl Chaos {
    /// `rate`: how many of all opportunities, from 0 to 1. A request is one, and so is each line
    /// of a watch.
    pub(super) fn new(seed: u64, rate: f64) -> Chaos {
        let scaled = rate.clamp(0.0, 1.0) * f64::from(u32::MAX);
        Chaos {
            state: seed,
            // Not negative and no more than 32 bits, by the above.
            #[allow(clippy::cast_sign_loss)]
            rate: scaled as u64,
        }
    }

    /// What goes wrong now, if anything.
    pub(super) fn strike(&mut self, verb: Verb, point: Point) -> Option<Fault> {
        // Nothing happens to a watch of itself: how often it pauses depends on the clock. And of
        // the many lines that it may begin with, one is enough: no watch would ever get through.
        if matches!(point, Point::Pause | Point::Initial) || (self.next() >> 32) >= self.rate {
            return None;
        }
        let number = self.next();
        Some(match (point, verb) {
            (Point::Answer, Verb::Watch) => open(number),
            (Point::Answer, _) => answer(number),
            _ => line(number),
        })
    }

    /// SplitMix64 (Steele, Lea and Flood, 2014).
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// What may happen to any request.
fn answer(number: u64) -> Fault {
    match number % 9 {
        0 => Fault::Garbage,
        1 => Fault::Html,
        2 => Fault::Cut,
        3 => Fault::Slow {
            bytes: 16 << 10,
            pause: Duration::from_millis(1),
        },
        _ => open(number >> 8),
    }
}

/// What may happen to a watch before it is one.
fn open(number: u64) -> Fault {
    let retry_after = (number & 0x100 != 0).then_some(1);
    match number % 8 {
        0 => Fault::Reset,
        1 => Fault::Close,
        2 => Fault::Stall(Duration::from_millis(200)),
        3 => Fault::Error {
            code: 500,
            retry_after: None,
        },
        4 => Fault::PlainError {
            code: 500,
            retry_after: None,
        },
        5 => Fault::Error {
            code: 429,
            retry_after,
        },
        6 => Fault::PlainError {
            code: 503,
            retry_after,
        },
        _ => Fault::Error {
            code: 410,
            retry_after: None,
        },
    }
}

/// What may happen in the midst of a watch.
fn line(number: u64) -> Fault {
    match number % 6 {
        0 => Fault::EndWatch,
        1 => Fault::ResetWatch,
        2 => Fault::FailWatch(410),
        3 => Fault::FailWatch(500),
        4 => Fault::Garbage,
        _ => Fault::Cut,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_strikes_as_often_as_asked_and_the_same_again() {
        let strikes = |rate| {
            let mut chaos = Chaos::new(7, rate);
            let strike = |_| chaos.strike(Verb::List, Point::Answer);
            (0..1000).map(strike).collect::<Vec<_>>()
        };
        let some = strikes(0.1);
        assert_eq!(some, strikes(0.1));
        assert!((50..150).contains(&some.iter().flatten().count()));
        assert_eq!(strikes(0.0).iter().flatten().count(), 0);
        assert_eq!(strikes(1.0).iter().flatten().count(), 1000);
    }
}
