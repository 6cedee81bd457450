//! What the log is told of syncs: each of them, and what is wrong once for as long as it is so.

use std::fmt::Display;

use tracing::{debug, error, info, warn};

use fairlead_core::report::{Contested, Excluded, Report};

/// What was said already.
#[derive(Debug, Default)]
pub(super) struct Told {
    contested: Vec<Contested>,
    excluded: Vec<Excluded>,
}

impl Told {
    /// Tells of a sync that succeeded.
    pub(super) fn tell(&mut self, report: &Report) {
        let what = summary(report);
        if report.full {
            info!("{what}");
        } else {
            debug!("{what}");
        }
        news(&mut self.contested, &report.contested, |contested| {
            warn!("{contested}");
        });
        news(&mut self.excluded, &report.excluded, |excluded| {
            error!("{excluded}");
        });
    }
}

/// Says what is new, and remembers what is.
fn news<T: Clone + PartialEq + Display>(told: &mut Vec<T>, all: &[T], say: impl Fn(&T)) {
    all.iter().filter(|one| !told.contains(one)).for_each(say);
    told.clear();
    told.extend_from_slice(all);
}

fn summary(report: &Report) -> String {
    let stages = report.stages;
    format!(
        "sync {}: {} services, {} operations in {} messages; observe {:?}, render {:?}, plan {:?}, apply {:?}",
        report.generation,
        report.services,
        report.operations,
        report.messages,
        stages.observe,
        stages.render,
        stages.plan,
        stages.apply
    )
}
