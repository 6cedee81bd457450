//! Which file to read when, and whether a writer is still at it: pure, with time as an argument.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::objects::SETTLE;

/// What happened to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Touch {
    /// It was written to, and its writer may go on.
    Written,
    /// Its writer closed it, or it was moved into place: it can be read at once.
    Finished,
    /// It is there or different, and nothing is known of a writer.
    Noticed,
}

/// The files to be read.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    items: BTreeMap<Arc<Path>, Item>,
}

#[derive(Debug, Default)]
struct Item {
    /// When to read it; `None` when that is done and only the writer is waited for.
    due: Option<Instant>,
    /// Whether a writer has it open.
    open: bool,
}

impl Agenda {
    /// Takes note of what happened.
    pub(crate) fn touch(&mut self, file: Arc<Path>, touch: Touch, now: Instant) {
        let item = self.items.entry(file).or_default();
        match touch {
            Touch::Written => {
                *item = Item {
                    due: Some(now + SETTLE),
                    open: true,
                }
            }
            Touch::Finished => {
                *item = Item {
                    due: Some(now),
                    open: false,
                }
            }
            Touch::Noticed => item.due = Some(item.due.unwrap_or(now + SETTLE)),
        }
    }

    /// Events were lost, and a writer's last one may be among them: none is waited for any more.
    pub(crate) fn events_lost(&mut self, now: Instant) {
        for item in self.items.values_mut() {
            *item = Item {
                due: Some(now + SETTLE),
                open: false,
            };
        }
    }

    /// Forgets a file that is gone.
    pub(crate) fn forget(&mut self, file: &Path) {
        self.items.remove(file);
    }

    /// Takes the files that are due, the last in the order of names first. What is true of a
    /// file then: whether it is complete, as far as is known.
    pub(crate) fn take_due(&mut self, now: Instant) -> Vec<(Arc<Path>, bool)> {
        let mut due = Vec::new();
        for (file, item) in self.items.iter_mut().rev() {
            if item.due.is_some_and(|at| at <= now) {
                item.due = None;
                due.push((Arc::clone(file), !item.open));
            }
        }
        self.items.retain(|_, item| item.open || item.due.is_some());
        due
    }

    /// Whether a file is being written, or about to be read.
    pub(crate) fn is_restless(&self, file: &Path) -> bool {
        self.items.contains_key(file)
    }

    /// When the next file is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.items.values().filter_map(|item| item.due).min()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_closed_file_is_due_at_once_and_an_open_one_after_a_pause() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let file: Arc<Path> = Path::new("a.yaml").into();
        let mut agenda = Agenda::default();

        agenda.touch(Arc::clone(&file), Touch::Written, at(0));
        agenda.touch(Arc::clone(&file), Touch::Written, at(90));
        assert_eq!(agenda.take_due(at(189)), []);
        assert_eq!(agenda.take_due(at(190)), [(Arc::clone(&file), false)]);
        assert_eq!(
            (agenda.due(), agenda.is_restless(&file)),
            (None, true),
            "its writer is not done"
        );

        agenda.touch(Arc::clone(&file), Touch::Noticed, at(200));
        assert_eq!(
            agenda.take_due(at(300)),
            [(Arc::clone(&file), false)],
            "a chmod does not close it"
        );
        agenda.touch(Arc::clone(&file), Touch::Finished, at(400));
        assert_eq!(agenda.take_due(at(400)), [(Arc::clone(&file), true)]);
        assert!(!agenda.is_restless(&file));
    }
}
