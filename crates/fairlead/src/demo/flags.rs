//! The flags of the proxy that is shown.

use std::ffi::OsString;
use std::fmt;
use std::path::Path;

use clap::Parser;

use fairlead_core::settings::Settings;

use crate::cli::ProxyFlags;

/// The pods of the lab, which asks as one of them.
const CLUSTER_CIDR: &str = "10.244.0.0/16,fd00:10:244::/48";

/// Flags that shape what is programmed.
#[derive(Debug, Clone)]
pub(super) struct Flags(Vec<OsString>);

/// For the same reading as by the proxy.
#[derive(Debug, Parser)]
#[command(no_binary_name = true)]
struct Parsed {
    #[command(flatten)]
    flags: ProxyFlags,
}

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
        Ok(Parsed::try_parse_from(&self.0)?.flags.settings()?)
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags: Vec<_> = self.0.iter().map(|flag| flag.to_string_lossy()).collect();
        f.write_str(&flags.join(" "))
    }
}
