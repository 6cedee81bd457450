//! A scenario that happens in a lab of its own.

use std::collections::HashMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

use fairlead_core::address::Protocol;
use fairlead_lab::{Lab, LabError};
use libtest_mimic::Failed;
use nix::sys::signal::Signal;

use crate::question::{Answer, Asker, Question};
use crate::rig::{Folder, Mode, Proxy};
use crate::scenario::Scenario;

/// What was met last, by whom and where.
type Memory = HashMap<(Asker, Protocol, SocketAddr), Answer>;

/// Lets it happen in a mode, and says what was not as it should be.
pub(crate) fn happens(scenario: &Scenario, mode: Mode) -> Result<(), Failed> {
    let header = &scenario.header;
    let lab = Lab::new()?;
    let mut folder = Folder::new(&scenario.objects)?;
    // The steps need not wait for each other.
    let flags = [&[mode.at_once()], &header.flags[..]].concat();
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

/// A question on its way.
enum Asked<'scope, 'a> {
    /// With all others of the kind.
    Now(ScopedJoinHandle<'scope, Result<Answer, LabError>>),
    /// Alone.
    Later(&'a Question, Asker),
}

impl Asked<'_, '_> {
    fn answer(self, lab: &Lab) -> Result<Answer, LabError> {
        match self {
            Asked::Now(asked) => asked.join().unwrap_or_else(|panic| resume_unwind(panic)),
            Asked::Later(question, asker) => question.ask(lab, asker),
        }
    }
}

/// Asks all questions of a mode, at the same time where they do not mind, and says which were not answered as expected.
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
        let pairs = pairs.iter().copied();
        let asked = pairs.map(|(question, asker)| match question.minds_others(mode) {
            true => Asked::Later(question, asker),
            false => Asked::Now(scope.spawn(move || question.ask(lab, asker))),
        });
        let asked: Vec<_> = asked.collect();
        asked.into_iter().map(|asked| asked.answer(lab)).collect()
    });
    let mut wrong = String::new();
    for ((question, asker), answer) in pairs.into_iter().zip(answers) {
        let mut answer = answer?;
        let (protocol, to) = question.target();
        let before = memory.get(&(asker, protocol, to)).cloned();
        if mode == Mode::Ipvs && answer.came_late() {
            // That runs in an emulated machine, which may stand still for a moment.
            answer = question.ask(lab, asker)?;
        }
        memory.insert((asker, protocol, to), answer.clone());
        if !question.accepts(&answer, before.as_ref(), mode) {
            let _ = writeln!(wrong, "  asked {question}\n  {asker} met {answer}");
        }
    }
    Ok(wrong)
}
