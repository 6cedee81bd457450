//! `fairlead render`.

use std::io::{self, Write};
use std::time::Instant;

use clap::{Args, ValueEnum};

use fairlead_backends::engine;
use fairlead_core::address::Family;
use fairlead_core::model::Model;
use fairlead_kernel::nft::{json, text};
use fairlead_source::manifests::Manifests;

use super::ProxyFlags;
use crate::app;

/// Flags of `fairlead render`.
#[derive(Debug, Args)]
pub(crate) struct Render {
    #[command(flatten)]
    proxy: ProxyFlags,

    /// Text that `nft -f` loads, or the JSON of libnftables-json(5).
    #[arg(long, value_enum, default_value_t = Format::Text, value_name = "FORMAT")]
    format: Format,
}

/// `--format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

impl Render {
    /// Prints the ruleset; what is wrong with the manifests goes to standard error.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let mut model = Model::new(self.proxy.settings()?);
        let mut manifests = Manifests::open(&self.proxy.manifests)?;
        let mut problems = Vec::new();
        let unread = manifests.changes(Instant::now(), &mut |change| {
            problems.extend(model.apply(change));
        });
        for problem in unread {
            eprintln!("fairlead: {problem}");
        }
        for problem in problems {
            eprintln!("fairlead: {problem}");
        }
        // The node may be another than this host: then its addresses are the Node object's.
        let mut host = app::host_addresses().unwrap_or_default();
        host.extend(&model.node().ips);
        let batches = engine::plan_from_nothing(&model, &host, &Family::BOTH);
        let printed = match self.format {
            Format::Text => batches
                .iter()
                .map(text::script)
                .collect::<Vec<_>>()
                .join("\n"),
            Format::Json => json::script(&batches).to_string(),
        };
        match io::stdout().write_all(printed.as_bytes()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => Ok(other?),
        }
    }
}
