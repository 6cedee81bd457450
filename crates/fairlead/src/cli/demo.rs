//! `fairlead demo`.

use clap::Args;

/// Flags of `fairlead demo`.
#[derive(Debug, Args)]
pub(crate) struct Demo {}

impl Demo {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        Ok(())
    }
}
