//! What is to go wrong, and for whom. Decides only; the deed is done where the answer is written.

use std::time::Duration;

use super::asked::{Asked, On, Verb};
use super::chaos::Chaos;

/// Something that goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Resets the connection instead of answering.
    Reset,
    /// Closes the connection instead of answering.
    Close,
    /// Does not answer, until it is healed.
    Hang,
    /// Does not answer for so long; then answers as if nothing were.
    Stall(Duration),
    /// An error with a `metav1.Status`, and perhaps `Retry-After` in seconds.
    Error {
        /// The HTTP status.
        code: u16,
        /// Seconds.
        retry_after: Option<u64>,
    },
    /// The same with a line of text instead, as proxies and overloaded servers answer.
    PlainError {
        /// The HTTP status.
        code: u16,
        /// Seconds.
        retry_after: Option<u64>,
    },
    /// 403: the client has not the right.
    Forbidden,
    /// An answer that is no JSON, though it says so. In an open watch, a line of it.
    Garbage,
    /// A page of HTML with status 200, as a portal would answer.
    Html,
    /// The right answer under the wrong content type.
    WrongContentType,
    /// The first object has numbers where its fields belong. In a watch, the next one.
    Misshapen,
    /// The first object has an annotation of so many bytes. In a watch, the next one.
    Long(usize),
    /// The answer ends in its middle with a reset. In a watch, the next line does.
    Cut,
    /// The answer comes in pieces of so many bytes with a pause in front of each.
    Slow {
        /// The size of a piece.
        bytes: usize,
        /// The pause.
        pause: Duration,
    },
    /// Ends a watch, in good order.
    EndWatch,
    /// Resets the connection of a watch between two lines.
    ResetWatch,
    /// Says nothing in a watch any more, not even bookmarks. Not to be healed: what would have
    /// been said is lost, only the client can end it.
    SilenceWatch,
    /// Ends a watch with an `ERROR` line of this code: 410 if history is said to be gone.
    FailWatch(u16),
}

/// At which point of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Point {
    /// Before it is answered.
    Answer,
    /// In a watch, with nothing to say.
    Pause,
    /// In a watch, with a line to say that has an object in it.
    Line,
    /// The same of one of the objects that a watch begins with, but for the last of them.
    Initial,
}

impl Fault {
    /// Whether this is the point for it.
    fn belongs_to(&self, point: Point, verb: Verb) -> bool {
        match self {
            Fault::EndWatch | Fault::ResetWatch | Fault::SilenceWatch | Fault::FailWatch(_) => {
                point != Point::Answer
            }
            Fault::Misshapen | Fault::Long(_) | Fault::Cut if verb == Verb::Watch => {
                matches!(point, Point::Line | Point::Initial)
            }
            Fault::Garbage if verb == Verb::Watch => point != Point::Answer,
            _ => point == Point::Answer,
        }
    }
}

/// A fault that was ordered.
#[derive(Debug)]
struct Rule {
    on: On,
    fault: Fault,
    /// `None`: until healed.
    left: Option<usize>,
}

/// All faults that were ordered.
#[derive(Debug, Default)]
pub(super) struct Faults {
    rules: Vec<Rule>,
    chaos: Option<Chaos>,
}

impl Faults {
    pub(super) fn add(&mut self, on: On, fault: Fault, times: Option<usize>) {
        let left = times;
        self.rules.push(Rule { on, fault, left });
    }

    /// Forgets all that was ordered for these requests.
    pub(super) fn remove(&mut self, on: &On) {
        self.rules.retain(|rule| rule.on != *on);
    }

    pub(super) fn clear(&mut self) {
        self.rules.clear();
        self.chaos = None;
    }

    pub(super) fn set_chaos(&mut self, chaos: Option<Chaos>) {
        self.chaos = chaos;
    }

    /// How often a fault is still to happen to such requests. `None`: until healed.
    pub(super) fn left(&self) -> Option<usize> {
        self.rules.iter().map(|rule| rule.left).sum()
    }

    /// What goes wrong now, if anything. A fault that was ordered for so many times has then
    /// happened once more.
    pub(super) fn decide(&mut self, asked: &Asked, point: Point) -> Option<Fault> {
        let ready =
            |rule: &&mut Rule| rule.fault.belongs_to(point, asked.verb) && rule.on.matches(asked);
        if let Some(rule) = self.rules.iter_mut().find(ready) {
            let fault = rule.fault.clone();
            rule.left = rule.left.map(|left| left.saturating_sub(1));
            self.rules.retain(|rule| rule.left != Some(0));
            return Some(fault);
        }
        self.chaos.as_mut()?.strike(asked.verb, point)
    }
}

#[cfg(test)]
mod tests {
    use super::super::resource::{Resource, Target};
    use super::*;

    fn asked(verb: Verb, path: &str) -> Asked {
        Asked {
            verb,
            path: path.to_owned(),
            target: Target::of_path(path),
        }
    }

    #[test]
    fn a_fault_happens_to_whom_and_as_often_as_was_ordered() {
        let mut faults = Faults::default();
        faults.add(On::list(Resource::Services), Fault::Reset, Some(2));
        let list = asked(Verb::List, "/api/v1/services");
        for other in [
            asked(Verb::Watch, "/api/v1/services"),
            asked(Verb::List, "/api/v1/nodes"),
            asked(Verb::Get, "/version"),
        ] {
            assert_eq!(faults.decide(&other, Point::Answer), None);
        }
        assert_eq!(faults.left(), Some(2));
        assert_eq!(faults.decide(&list, Point::Answer), Some(Fault::Reset));
        assert_eq!(faults.decide(&list, Point::Answer), Some(Fault::Reset));
        assert_eq!(faults.decide(&list, Point::Answer), None);
        faults.add(On::path("/version"), Fault::Html, None);
        let version = asked(Verb::Get, "/version");
        for _ in 0..5 {
            assert_eq!(faults.decide(&version, Point::Answer), Some(Fault::Html));
        }
        assert_eq!(faults.left(), None);
        faults.remove(&On::path("/version"));
        assert_eq!(faults.decide(&version, Point::Answer), None);
    }

    #[test]
    fn a_watch_is_cut_in_a_line_and_a_list_in_its_answer() {
        let mut faults = Faults::default();
        faults.add(On::everything(), Fault::Cut, None);
        let watch = asked(Verb::Watch, "/api/v1/services");
        assert_eq!(faults.decide(&watch, Point::Answer), None);
        assert_eq!(faults.decide(&watch, Point::Pause), None);
        assert_eq!(faults.decide(&watch, Point::Line), Some(Fault::Cut));
        let list = asked(Verb::List, "/api/v1/services");
        assert_eq!(faults.decide(&list, Point::Answer), Some(Fault::Cut));
    }
}
