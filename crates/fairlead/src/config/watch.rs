//! Following the configuration file: what changes in it and can come into effect does.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;

use fairlead_source::file::FileWatch;

use super::compare::{Live, compare, merge};
use super::v1alpha1::KubeProxyConfiguration;
use super::{ConfigErrors, understand, understand_again};
use crate::app::Options;
use crate::cli::flags::Given;

/// A configuration file that is followed.
///
/// Call [`changes`](ConfigWatch::changes) whenever the file descriptor is readable or
/// [`due`](ConfigWatch::due) has come.
#[derive(Debug)]
pub(crate) struct ConfigWatch {
    file: FileWatch,
    given: Given,
    /// The configuration that is in effect.
    running: Arc<KubeProxyConfiguration>,
    /// What has no effect and was said already.
    warned: Vec<String>,
}

/// What a changed file brings.
#[derive(Debug)]
pub(crate) struct Reread {
    /// What is to be in effect from now on. Where a restart would be needed, all is as before.
    pub(crate) options: Options,
    /// Which fields changed, and which would have to.
    pub(crate) live: Live,
    /// What has no effect in the new file and was not said of the last.
    pub(crate) warnings: Vec<String>,
}

impl ConfigWatch {
    /// Follows the file that the flags name, from the contents that `running` was made of. With
    /// what was said of that.
    pub(crate) fn open(
        given: &Given,
        running: &Arc<KubeProxyConfiguration>,
        warned: Vec<String>,
    ) -> anyhow::Result<Option<ConfigWatch>> {
        let path = &given.flags.other.config;
        if path.is_empty() {
            return Ok(None);
        }
        let file = FileWatch::open(Path::new(path))
            .with_context(|| format!("--config: changes of {path} cannot be watched"))?;
        Ok(Some(ConfigWatch {
            file,
            given: given.clone(),
            running: Arc::clone(running),
            warned,
        }))
    }

    /// What the file says now, if that is new. An error is said once; the old configuration stays.
    pub(crate) fn changes(&mut self, now: Instant) -> Option<Result<Reread, ConfigErrors>> {
        let path = &self.given.flags.other.config;
        let contents = match self.file.changed(now) {
            Ok(contents) => contents?,
            Err(error) => {
                let error = format!("--config: {path} cannot be read: {error}");
                return Some(Err(ConfigErrors::one(error)));
            }
        };
        Some(self.reread(&contents))
    }

    /// When to look even if nothing is readable before.
    pub(crate) fn due(&self) -> Instant {
        self.file.due()
    }

    fn reread(&mut self, contents: &[u8]) -> Result<Reread, ConfigErrors> {
        let wanted = understand(&self.given, Some(contents))?;
        let impossible = |error: serde_json::Error| ConfigErrors::one(error.to_string());
        let live = compare(&self.running, &wanted.options.config).map_err(impossible)?;
        let merged =
            merge(&self.running, &wanted.options.config, &live.applied).map_err(impossible)?;
        let options = understand_again(&self.given, &merged)?.options;
        self.running = Arc::clone(&options.config);
        let mut warnings = wanted.warnings.clone();
        warnings.retain(|warning| !self.warned.contains(warning));
        self.warned = wanted.warnings;
        Ok(Reread {
            options,
            live,
            warnings,
        })
    }
}

impl AsFd for ConfigWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
