//! Whether clients meet with Fairlead what the texts in `scenarios/` say they should.
//!
//! One test for each text and each mode, in a lab of its own: Fairlead runs on its objects, then
//! every question is asked; then things change, and more is asked.
//! `cargo test -p fairlead --test scenarios -- --list` names the scenarios.

#[path = "../rig/mod.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod rig;

mod question;
mod scenario;

use std::collections::HashMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use fairlead_core::address::Protocol;
use fairlead_lab::{Lab, LabError, privilege};
use libtest_mimic::{Arguments, Failed, Trial};
use nix::sys::signal::Signal;

use question::{Answer, Asker, Question};
use rig::{Folder, Mode, Proxy};
use scenario::Scenario;

const SCENARIOS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scenarios");

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
            Ok(scenario) => scenario.modes().collect(),
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

/// What was met last, by whom and where.
type Memory = HashMap<(Asker, Protocol, SocketAddr), Answer>;

fn happens(scenario: &Scenario, mode: Mode) -> Result<(), Failed> {
    let header = &scenario.header;
    let lab = Lab::new()?;
    let mut folder = Folder::new(&scenario.objects)?;
    // The steps need not wait for each other.
    let flags = [&["--min-sync-period=0s".to_owned()], &header.flags[..]].concat();
    let mut proxy = Proxy::start_in(mode, &lab, &folder, &flags)?;
    proxy.settle(&mut folder)?;
    let mut memory = Memory::new();
    let ask = |questions: &[Question], memory: &mut Memory| ask_all(&lab, mode, questions, memory);
    let mut wrong = ask(&header.ask, &mut memory)?;
    for (n, step) in header.then.iter().enumerate() {
        if !wrong.is_empty() {
            break;
        }
        for object in &step.apply {
            folder.apply(object)?;
        }
        for object in &step.delete {
            folder.delete(object)?;
        }
        if step.changes_objects() {
            proxy.settle(&mut folder)?;
        }
        thread::sleep(Duration::from_secs_f32(step.wait));
        let mismatches = ask(&step.ask, &mut memory)?;
        if !mismatches.is_empty() {
            wrong = format!("after step {}:\n{mismatches}", n + 1);
        }
    }
    if !wrong.is_empty() {
        return Err(proxy.failed(&format!("Not so: {}.\n{wrong}", header.title)));
    }
    proxy.end(Signal::SIGTERM)
}

/// Asks all questions of a mode at the same time, and says which were not answered as expected.
fn ask_all(
    lab: &Lab,
    mode: Mode,
    questions: &[Question],
    memory: &mut Memory,
) -> Result<String, LabError> {
    let pairs: Vec<(&Question, Asker)> = questions
        .iter()
        .filter(|question| question.is_asked_in(mode))
        .flat_map(|question| question.askers.iter().map(move |asker| (question, *asker)))
        .collect();
    let answers: Vec<Result<Answer, LabError>> = thread::scope(|scope| {
        let asked: Vec<_> = pairs
            .iter()
            .map(|(question, asker)| scope.spawn(move || question.ask(lab, *asker)))
            .collect();
        asked
            .into_iter()
            .map(|asked| asked.join().unwrap_or_else(|panic| resume_unwind(panic)))
            .collect()
    });
    let mut wrong = String::new();
    for ((question, asker), answer) in pairs.into_iter().zip(answers) {
        let answer = answer?;
        let (protocol, to) = question.target();
        let before = memory.insert((asker, protocol, to), answer.clone());
        if !question.accepts(&answer, before.as_ref()) {
            let _ = writeln!(wrong, "  asked {question}\n  {asker} met {answer}");
        }
    }
    Ok(wrong)
}
