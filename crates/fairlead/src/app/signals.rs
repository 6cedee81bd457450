//! Being told to stop. The rules stay, so that connections go on; only those that this process
//! carries itself are waited for.

use std::sync::mpsc::Sender;
use std::time::Duration;

use fairlead_relay::{Drained, RelayHandle};
use tokio::task;

use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

/// What comes before the end.
#[derive(Debug)]
pub(super) struct Stop {
    /// Who carries connections, in userspace mode.
    pub(super) relay: Option<RelayHandle>,
    /// How long they may go on.
    pub(super) drain: Duration,
}

/// Ends the process when SIGTERM or SIGINT comes. As the first process of a container it would
/// not end by itself. `taken` is dropped when they are taken.
pub(super) async fn exit_when_told(stop: Stop, taken: Sender<()>) {
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
    if let Some(relay) = stop.relay {
        tokio::select! {
            () = drain(relay, stop.drain) => {}
            _ = terminate.recv() => warn!("told to stop again; connections are cut off"),
            _ = interrupt.recv() => warn!("told to stop again; connections are cut off"),
        }
    }
    std::process::exit(0);
}

/// Lets connections end, on a thread where it may take its time: pages are served meanwhile.
async fn drain(relay: RelayHandle, timeout: Duration) {
    info!("connections may end within {timeout:?}; new ones are refused");
    match task::spawn_blocking(move || relay.drain(timeout)).await {
        Ok(Drained { ended, reset }) => info!("{ended} connections ended, {reset} were reset"),
        Err(error) => warn!("connections were not waited for: {error}"),
    }
}
