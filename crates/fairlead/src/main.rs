//! The `fairlead` binary: the command line and the wiring, no decisions.

mod app;
mod cli;
#[cfg(test)]
mod compatibility;
mod config;
mod demo;
mod health;
mod http;
mod log;
mod metrics;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fairlead: {error:#}");
            ExitCode::FAILURE
        }
    }
}
