//! The flags of the proxy that is shown.

use std::ffi::OsString;
use std::fmt;
use std::path::Path;

use anyhow::bail;

use fairlead_core::settings::Settings;

use crate::cli::flags::{Command, Invocation, Parsed, parse};
use crate::config;

/// The pods of the lab, which asks as one of them.
const CLUSTER_CIDR: &str = "10.244.0.0/16,fd00:10:244::/48";

/// Flags that shape what is programmed.
#[derive(Debug, Clone)]
pub(super) struct Flags(Vec<OsString>);

impl Flags {
    /// For the node of this name.
    pub(super) fn new(manifests: &Path, node: &str) -> Flags {
        Flags(vec![
            "--proxy-mode=nftables".into(),
            "--manifests".into(),
            manifests.into(),
            format!("--hostname-override={node}").into(),
            format!("--cluster-cidr={CLUSTER_CIDR}").into(),
        ])
    }

    /// With one more.
    #[must_use]
    pub(super) fn and(mut self, flag: String) -> Flags {
        self.0.push(flag.into());
        self
    }

    /// As arguments of `fairlead run`.
    pub(super) fn arguments(&self) -> &[OsString] {
        &self.0
    }

    /// What they mean.
    pub(super) fn settings(&self) -> anyhow::Result<Settings> {
        let parsed = parse(Command::Run, Invocation::Fairlead, &self.0);
        let Parsed::Work(given) = parsed else {
            bail!("{self}: asks for something else");
        };
        Ok(config::load(&given)?.options.settings)
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags: Vec<_> = self.0.iter().map(|flag| flag.to_string_lossy()).collect();
        f.write_str(&flags.join(" "))
    }
}
