//! `fairlead render`.

use std::ffi::OsString;
use std::path::Path;
use std::time::Instant;

use anyhow::bail;

use fairlead_backends::engine;
use fairlead_backends::nftables::{Findings, Nftables};
use fairlead_core::address::Family;
use fairlead_core::model::Model;
use fairlead_core::settings::Settings;
use fairlead_kernel::nft::{json, text};
use fairlead_source::manifests::Manifests;

use super::flags::{Command, Given, Invocation, Parsed, parse};
use super::print_out;
use crate::app::{self, SourceOptions};
use crate::config;

/// Prints the ruleset; what is wrong with the manifests goes to standard error.
pub(super) fn run(arguments: &[OsString]) -> anyhow::Result<()> {
    match parse(Command::Render, Invocation::Fairlead, arguments) {
        Parsed::Help(help) => print_out(&help),
        Parsed::Version | Parsed::RawVersion => {
            print_out(concat!("fairlead ", env!("CARGO_PKG_VERSION"), "\n"))
        }
        Parsed::Work(given) => print_out(&rendered(&given)?),
    }
}

fn rendered(given: &Given) -> anyhow::Result<String> {
    let config::Configured { options, warnings } = config::load(given)?;
    for warning in warnings {
        eprintln!("fairlead: {warning}");
    }
    let SourceOptions::Manifests(path) = options.source else {
        bail!("--manifests: is needed: a YAML or JSON file, or a folder of them");
    };
    app::can_run(options.mode)?;
    let model = read(options.settings, &path)?;
    // The node may be another than this host: then its addresses are the Node object's.
    let mut host = app::host_addresses().unwrap_or_default();
    host.extend(&model.node().ips);
    let nothing = Findings::nothing(&Family::BOTH);
    let batches = engine::plan_from(&Nftables, nothing, &model, &host, &Family::BOTH);
    match given.flags.other.format.as_str() {
        "text" => {
            let scripts: Vec<_> = batches.iter().map(text::script).collect();
            Ok(scripts.join("\n"))
        }
        "json" => Ok(json::script(&batches).to_string()),
        other => bail!("--format: {other:?} is neither text nor json"),
    }
}

fn read(settings: Settings, path: &Path) -> anyhow::Result<Model> {
    let mut model = Model::new(settings);
    let mut manifests = Manifests::open(path)?;
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
    Ok(model)
}
