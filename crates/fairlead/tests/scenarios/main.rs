//! Whether clients meet with Fairlead what the texts in `scenarios/` say they should.
//!
//! One test for each text and each mode that any host's kernel can do, in a lab of its own: Fairlead runs on its objects, then
//! every question is asked; then things change, and more is asked.
//! `cargo test -p fairlead --test scenarios -- --list` names the scenarios.

#[path = "../rig/mod.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod rig;

mod happening;
mod modes;
mod question;
mod scenario;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use fairlead_lab::privilege;
use libtest_mimic::{Arguments, Trial};

use happening::happens;
use rig::Mode;
use scenario::SCENARIOS;

/// So many tests at once: they spend their time waiting for packets that do not come.
const THREADS: usize = 6;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);
    // Before there is a second thread.
    let allowed = privilege::obtain().map_err(|error| error.to_string());
    let mut trials = Vec::new();
    for name in scenario::names(Path::new(SCENARIOS)).expect("the folder of scenarios") {
        let scenario = scenario::read(Path::new(SCENARIOS), &name);
        // One that cannot be read fails once.
        let modes = match &scenario {
            Ok(scenario) => scenario
                .modes()
                .filter(|mode| mode.is_for_any_host())
                .collect(),
            Err(_) => vec![Mode::Nftables],
        };
        let scenario = Arc::new(scenario);
        for mode in modes {
            let (allowed, scenario) = (allowed.clone(), scenario.clone());
            trials.push(Trial::test(format!("{name} ({mode})"), move || {
                allowed?;
                happens(scenario.as_ref().as_ref().map_err(Clone::clone)?, mode)
            }));
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}
