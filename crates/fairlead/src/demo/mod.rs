//! A node in a box: network namespaces with pods that answer, the proxy, and real connections.
//!
//! ```text
//!  cluster ──what should be──┐
//!  path ─────what is there───┼──▶ picture ──▶ screen
//!  lab ──────what happens────┘
//! ```
//!
//! The proxy is a process of its own, told nothing but its flags. All is gone when it ends, however
//! it ends.

mod cluster;
mod entrance;
mod events;
mod flags;
mod nginx;
mod own;
mod path;
mod picture;
mod proxy;
mod reason;
mod screen;
#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;

use entrance::Entrance;
use events::Events;

/// What `fairlead demo` was asked for.
#[derive(Debug)]
pub(crate) struct Options {
    /// The user's own manifests.
    pub(crate) manifests: Option<PathBuf>,
    /// The node of theirs to show.
    pub(crate) node: Option<String>,
    /// How many connections to make to each address.
    pub(crate) connections: usize,
    /// Whether to wait at the end.
    pub(crate) stay: bool,
}

/// Shows it. To be called before there is a second thread.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let entrance = Entrance::obtain()?;
    let events = Events::listen()?;
    let shown = match &options.manifests {
        None => nginx::show(options, &events, entrance),
        Some(manifests) => own::show(manifests, options, &events, entrance),
    };
    match shown {
        // Whoever reads has seen enough.
        Err(error) if is_broken_pipe(&error) => Ok(()),
        shown => shown,
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
