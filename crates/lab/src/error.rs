//! What can go wrong with the lab itself. What goes wrong with a probe is an answer.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use fairlead_core::address::AddressError;
use fairlead_kernel::error::CallError;
use fairlead_kernel::sysctl::SysctlError;
use thiserror::Error;

use crate::iptables::SavedError;

/// The lab could not be built, or a case not be run.
#[derive(Debug, Error)]
pub enum LabError {
    /// The process may neither make namespaces nor become root in namespaces of its own.
    #[error("a lab needs root, or to become root in namespaces of its own: {cause}; {hint}")]
    Privilege {
        /// The call that was refused.
        cause: CallError,
        /// What an administrator can do about it.
        hint: &'static str,
    },
    /// The kernel refused something.
    #[error(transparent)]
    Call(#[from] CallError),
    /// A kernel parameter could not be set.
    #[error(transparent)]
    Sysctl(#[from] SysctlError),
    /// An object has an address that is none.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// A pod cannot be reached by the others, with no proxy in between.
    #[error("the pod {pod} does not answer: the links of the lab carry nothing")]
    Unreachable {
        /// Where it should answer.
        pod: SocketAddr,
    },
    /// A file could not be read or written.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What happened.
        error: io::Error,
    },
    /// A recorded file does not hold what it should.
    #[error("{}: {error}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        error: serde_json::Error,
    },
    /// Saved rules are not as `iptables-save` prints them.
    #[error(transparent)]
    Saved(#[from] SavedError),
    /// A command could not be started.
    #[error("{command}: {error}")]
    Start {
        /// The command line.
        command: String,
        /// Why not.
        error: io::Error,
    },
    /// A command failed.
    #[error("{command}: {status}\n{stderr}")]
    Command {
        /// The command line.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// What it said.
        stderr: String,
    },
}

impl LabError {
    /// For `map_err` of what reads or writes `path`.
    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> LabError {
        |error| LabError::File {
            path: path.to_owned(),
            error,
        }
    }
}
