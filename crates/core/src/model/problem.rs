//! What is wrong with an object.

use std::fmt;

/// A part of an object that cannot be followed. The rest of the object counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The object, as `Kind namespace/name`.
    pub object: String,
    /// The path of the field.
    pub field: String,
    /// What is wrong with it, and what follows from that.
    pub message: String,
}

impl Problem {
    /// A problem with a field of an object.
    pub fn new(
        object: impl Into<String>,
        field: impl Into<String>,
        message: impl Into<String>,
    ) -> Problem {
        Problem {
            object: object.into(),
            field: field.into(),
            message: message.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.object, self.field, self.message)
    }
}
