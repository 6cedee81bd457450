//! `fairlead demo`.

use std::path::PathBuf;

use clap::Args;

use crate::demo;

/// Flags of `fairlead demo`.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Show these Services instead: a YAML or JSON file, or a folder of them, as of
    /// `kubectl get nodes,services,endpointslices -A -o yaml`.
    #[arg(long, value_name = "PATH")]
    manifests: Option<PathBuf>,

    /// Which of their nodes to show; the one with the most endpoints if not given.
    #[arg(long, value_name = "NAME", requires = "manifests")]
    hostname_override: Option<String>,

    /// How many connections to make to each address.
    #[arg(long, value_name = "NUMBER", default_value_t = 300, value_parser = clap::value_parser!(u16).range(1..))]
    connections: u16,

    /// Leave everything as it is, to look around in, until Enter or Ctrl-C.
    #[arg(long)]
    stay: bool,
}

impl Demo {
    /// Shows it, and cleans up.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        demo::run(&demo::Options {
            manifests: self.manifests,
            node: self.hostname_override,
            connections: self.connections.into(),
            stay: self.stay,
        })
    }
}
