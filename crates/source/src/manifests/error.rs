//! Why manifests cannot be read at all.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why there is no reading manifests from a path.
#[derive(Debug, Error)]
pub enum SourceError {
    /// There is nothing at the path.
    #[error("{0} does not exist: name a manifest file, or a folder of .yaml, .yml and .json files")]
    Missing(PathBuf),
    /// The path may not be read.
    #[error("{0} may not be read: allow it to the user that Fairlead runs as")]
    Denied(PathBuf),
    /// The path is that of a pipe, a socket or a device.
    #[error(
        "{0} is neither a file nor a folder: manifests are read again and again, give a regular file"
    )]
    NotAFile(PathBuf),
    /// Looking at the path failed otherwise.
    #[error("{path} cannot be read: {source}")]
    Unreadable {
        /// The path.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel does not tell of changes.
    #[error(
        "changes of {path} cannot be watched: {source} (inotify; the limits are \
         fs.inotify.max_user_instances and fs.inotify.max_user_watches)"
    )]
    Unwatched {
        /// The folder.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

impl SourceError {
    pub(super) fn of(path: &Path, source: io::Error) -> SourceError {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound => SourceError::Missing(path),
            io::ErrorKind::PermissionDenied => SourceError::Denied(path),
            _ => SourceError::Unreadable { path, source },
        }
    }
}
