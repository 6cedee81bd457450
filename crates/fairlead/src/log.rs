//! The log: to standard error, as much as kube-proxy's `-v` asks for, changed while it runs.

use std::io::IsTerminal;
use std::sync::OnceLock;

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::Registry;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{fmt, reload};

/// How much is logged now. There is one log a process.
static LEVEL: OnceLock<reload::Handle<LevelFilter, Registry>> = OnceLock::new();

/// Starts the log, as text or as JSON. It can be started once.
pub(crate) fn start(verbosity: i32, json: bool) {
    let (level, handle) = reload::Layer::new(level(verbosity));
    let lines = fmt::layer()
        .with_writer(std::io::stderr)
        // Colours are for people; a log file has no use for them.
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    let log = tracing_subscriber::registry().with(level);
    if json {
        log.with(lines.json()).init();
    } else {
        log.with(lines).init();
    }
    // Taken already means that it was started already, which the line above does not survive.
    let _ = LEVEL.set(handle);
}

/// From here on logs as much as this verbosity asks for. False if there is no log.
pub(crate) fn set(verbosity: i32) -> bool {
    let handle = LEVEL.get();
    handle.is_some_and(|handle| handle.reload(level(verbosity)).is_ok())
}

/// kube-proxy counts 0 to 10; what it says from 4 on helps to find a fault, from 6 on everything
/// is said.
fn level(verbosity: i32) -> LevelFilter {
    match verbosity {
        ..=3 => LevelFilter::INFO,
        4 | 5 => LevelFilter::DEBUG,
        6.. => LevelFilter::TRACE,
    }
}
