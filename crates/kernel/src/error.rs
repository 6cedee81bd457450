//! How a system call's failure is told: what was called, on what, and the errno.

use std::io;

use thiserror::Error;

/// A system call that failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{call} {object}: {}", io::Error::from_raw_os_error(*.errno))]
pub struct CallError {
    /// What was called.
    pub call: &'static str,
    /// On what.
    pub object: String,
    /// The error number (errno(3)).
    pub errno: i32,
}

impl CallError {
    /// The error that the calling thread's last system call left in `errno`.
    pub fn last(call: &'static str, object: impl Into<String>) -> CallError {
        CallError::from_io(call, object, &io::Error::last_os_error())
    }

    /// A failure of the standard library's; `EIO` when it has no errno.
    pub fn from_io(call: &'static str, object: impl Into<String>, error: &io::Error) -> CallError {
        CallError {
            call,
            object: object.into(),
            errno: error.raw_os_error().unwrap_or(libc::EIO),
        }
    }
}
