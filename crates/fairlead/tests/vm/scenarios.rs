//! The scenarios in ipvs mode.

use std::path::Path;

use libtest_mimic::Failed;

use crate::happening::happens;
use crate::many;
use crate::rig::Mode;
use crate::scenario::{self, SCENARIOS};

/// All happen that do so in ipvs mode.
pub(crate) fn happen() -> Result<(), Failed> {
    let names = scenario::names(Path::new(SCENARIOS))?;
    many::each(names.iter().map(|name| (name, name)), |name| {
        let scenario = scenario::read(Path::new(SCENARIOS), name)?;
        match scenario.modes().any(|mode| mode == Mode::Ipvs) {
            true => happens(&scenario, Mode::Ipvs),
            false => Ok(()),
        }
    })
}
