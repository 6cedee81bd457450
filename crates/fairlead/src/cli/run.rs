//! `fairlead run`, and what is started as `kube-proxy`.

use std::env::consts::{ARCH, OS};
use std::ffi::OsString;
use std::path::Path;

use tracing::{debug, warn};

use super::flags::{Command, Given, Invocation, Parsed, parse};
use super::{cleanup, print_out};
use crate::{app, config, log};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Runs until the process is told to stop, or does what is asked for instead.
pub(super) fn run(invocation: Invocation, arguments: &[OsString]) -> anyhow::Result<()> {
    match parse(Command::Run, invocation, arguments) {
        Parsed::Help(help) => print_out(&help),
        Parsed::Version => print_out(&format!("fairlead {VERSION}\n")),
        Parsed::RawVersion => print_out(&format!(
            "fairlead {VERSION}, {OS}/{ARCH}, for what kube-proxy {} does\n",
            config::KUBE_PROXY_VERSION
        )),
        Parsed::Work(given) => work(&given),
    }
}

fn work(given: &Given) -> anyhow::Result<()> {
    let config::Configured { options, warnings } = config::load(given)?;
    log::start(options.verbosity, options.json_log);
    for warning in &warnings {
        warn!("{warning}");
    }
    for (name, value) in &options.flags {
        debug!("flag --{name}={value:?}");
    }
    for told in options.told() {
        debug!("{told}");
    }
    let other = &given.flags.other;
    if !other.write_config_to.is_empty() {
        return config::write(&options.config, Path::new(&other.write_config_to));
    }
    if other.cleanup {
        return cleanup::run(&options.others());
    }
    let watch = config::ConfigWatch::open(given, &options.config, warnings)?;
    app::run(options, watch)
}
