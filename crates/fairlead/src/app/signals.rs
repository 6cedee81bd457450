//! Being told to stop. The rules stay, so that connections go on; there is nothing to wait for.

use std::sync::mpsc::Sender;

use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

/// Ends the process when SIGTERM or SIGINT comes. As the first process of a container it would
/// not end by itself. `taken` is dropped when they are taken.
pub(super) async fn exit_when_told(taken: Sender<()>) {
    let (mut terminate, mut interrupt) = match (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) {
        (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
        (Err(error), _) | (_, Err(error)) => {
            warn!("signals cannot be handled: {error}");
            return;
        }
    };
    drop(taken);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    info!("told to stop; the rules stay");
    std::process::exit(0);
}
