//! What can go wrong with the server itself.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use fairlead_kernel::error::CallError;
use thiserror::Error;

/// The server could not be started, or not do what it was told.
#[derive(Debug, Error)]
pub enum ApiServerError {
    /// It cannot listen.
    #[error("listen on {address}: {error}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        error: io::Error,
    },
    /// Its thread could not be started.
    #[error("start the server's thread: {0}")]
    Thread(io::Error),
    /// A network namespace cannot be entered.
    #[error(transparent)]
    Call(#[from] CallError),
    /// A certificate could not be made.
    #[error("make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// TLS does not take the certificate.
    #[error("set up TLS: {0}")]
    Tls(#[from] tokio_rustls::rustls::Error),
    /// TLS does not take the authority for clients.
    #[error("set up TLS for clients: {0}")]
    Verifier(String),
    /// A file could not be written.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What happened.
        error: io::Error,
    },
    /// An object that cannot be stored.
    #[error("an object with the kind {kind:?} and the name {name:?}: {why}")]
    Object {
        /// Its kind, empty if it has none.
        kind: String,
        /// Its name, empty if it has none.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
}
