//! What was refused, as a line of an error has it.

use std::fmt::Display;

/// More would not be read.
const LISTED: usize = 5;

/// The first few, and how many more there are.
pub(crate) fn list(refused: &[impl Display]) -> String {
    let first = refused.iter().take(LISTED).map(ToString::to_string);
    let first = first.collect::<Vec<_>>().join("; ");
    match refused.len().saturating_sub(LISTED) {
        0 => first,
        more => format!("{first}; and {more} more"),
    }
}
