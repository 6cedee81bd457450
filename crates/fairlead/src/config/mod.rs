//! The configuration: flags and file turned into what the program does. All that is wrong is said
//! at once.
//!
//! ```text
//!  arguments ── cli::flags ──Given──┐
//!                                   ├──▶ complete ──▶ validate ──▶ meaning ──▶ Options
//!  file ─────── file ────────File───┘
//! ```

pub(crate) mod address;
mod compare;
mod complete;
mod defaults;
pub(crate) mod duration;
mod effect;
mod families;
mod file;
mod gates;
mod ipvs;
mod logging;
mod meaning;
mod mode;
pub(crate) mod near;
mod node_ports;
mod origin;
mod print;
mod shown;
pub(crate) mod userspace;
pub(crate) mod v1alpha1;
mod validate;
mod watch;

use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::Arc;

#[cfg(test)]
pub(crate) use compare::{is_idle, is_live};
pub(crate) use defaults::{HEALTHZ_PORT, METRICS_PORT, with_defaults};
pub(crate) use families::{NodeFamilies, judge};
pub(crate) use gates::Gates;
pub(crate) use ipvs::IpvsOptions;
#[cfg(test)]
pub(crate) use mode::is_built;
pub(crate) use mode::{IptablesVariant, Mode};
use print::yaml;
pub(crate) use shown::Shown;
pub(crate) use userspace::UserspaceOptions;
pub(crate) use watch::{ConfigWatch, Reread};

use crate::app::Options;
use crate::cli::flags::Given;
use complete::complete;
use file::File;
use v1alpha1::KubeProxyConfiguration;

/// The kube-proxy whose command line and file these are.
pub(crate) const KUBE_PROXY_VERSION: &str = "1.36";

/// Everything that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConfigErrors(Vec<String>);

impl std::error::Error for ConfigErrors {}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0[..] {
            [one] => write!(f, "invalid configuration: {one}"),
            all => write!(f, "invalid configuration:\n  {}", all.join("\n  ")),
        }
    }
}

impl ConfigErrors {
    /// A single one.
    pub(crate) fn one(error: String) -> ConfigErrors {
        ConfigErrors(vec![error])
    }

    /// One after others.
    fn after(others: &[String], error: String) -> ConfigErrors {
        let mut errors = others.to_vec();
        errors.push(error);
        ConfigErrors(errors)
    }

    /// Good if there is none.
    pub(crate) fn none_or(errors: Vec<String>) -> Result<(), ConfigErrors> {
        if errors.is_empty() {
            Ok(())
        } else {
            Err(ConfigErrors(errors))
        }
    }
}

/// A configuration that holds.
#[derive(Debug, Clone)]
pub(crate) struct Configured {
    /// What the program is to do.
    pub(crate) options: Options,
    /// What was given and has no effect, or should be given in another way.
    pub(crate) warnings: Vec<String>,
}

/// Reads the file that the flags name, if they do, and says what it all means.
pub(crate) fn load(given: &Given) -> Result<Configured, ConfigErrors> {
    let path = &given.flags.other.config;
    if path.is_empty() {
        return understand(given, None);
    }
    let contents = fs::read(path).map_err(|error| {
        let error = format!("--config: {path} cannot be read: {error}");
        ConfigErrors::after(&given.errors, error)
    })?;
    understand(given, Some(&contents))
}

/// What flags and the contents of the file that they name mean.
pub(crate) fn understand(
    given: &Given,
    contents: Option<&[u8]>,
) -> Result<Configured, ConfigErrors> {
    let name = &given.flags.other.config;
    let file: Option<File> = contents
        .map(|contents| {
            let text = std::str::from_utf8(contents)
                .map_err(|error| format!("{name}: not text in UTF-8: {error}"))?;
            file::read(name, text)
        })
        .transpose()
        .map_err(|error| ConfigErrors::after(&given.errors, error))?;
    let mut completed = complete(given, file);
    let mut warnings = std::mem::take(&mut completed.warnings);
    let options = meaning::options(&completed, &mut warnings)?;
    Ok(Configured { options, warnings })
}

/// What the flags mean with the running configuration in place of the file's.
fn understand_again(
    given: &Given,
    config: &KubeProxyConfiguration,
) -> Result<Configured, ConfigErrors> {
    let file = File {
        config: config.clone(),
        ..File::default()
    };
    let completed = complete(given, Some(file));
    let mut warnings = Vec::new();
    let options = meaning::options(&completed, &mut warnings)?;
    Ok(Configured { options, warnings })
}

/// Writes the configuration as it is used to a file.
pub(crate) fn write(config: &Arc<KubeProxyConfiguration>, path: &Path) -> anyhow::Result<()> {
    use anyhow::Context;
    fs::write(path, yaml(config)?)
        .with_context(|| format!("--write-config-to: {} cannot be written", path.display()))
}

#[cfg(test)]
mod tests;
