//! `fairlead render`.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::Path;
use std::time::Instant;

use anyhow::{bail, ensure};

use fairlead_backends::engine;
use fairlead_backends::iptables::{Facts, Found, Iptables};
use fairlead_backends::ipvs::{self, Ipvs};
use fairlead_backends::leftovers::SERVICE_DEVICE;
use fairlead_backends::nftables::{Findings, Nftables};
use fairlead_backends::userspace::{self, Userspace};
use fairlead_core::address::Family;
use fairlead_core::model::Model;
use fairlead_core::settings::Settings;
use fairlead_kernel::iptables::dual;
use fairlead_kernel::ipvs::text as ipvs_text;
use fairlead_kernel::link::DeviceOp;
use fairlead_kernel::nft::{json, text};
use fairlead_relay::handle::Op;
use fairlead_source::manifests::Manifests;

use super::flags::{Command, Given, Invocation, Parsed, parse};
use super::print_out;
use crate::app::{self, SourceOptions};
use crate::config::{self, Mode};

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
    let model = read(options.settings, &path)?;
    // The node may be another than this host: then its addresses are the Node object's.
    let mut host = app::host_addresses().unwrap_or_default();
    host.extend(&model.node().ips);
    let format = given.flags.other.format.as_str();
    match options.mode {
        Mode::Nftables => nftables(&model, &host, format),
        Mode::Iptables => iptables(&model, &host, format),
        Mode::Ipvs => ipvs(&model, &host, format),
        Mode::Userspace => userspace(&model, &host, format),
    }
}

fn nftables(model: &Model, host: &[IpAddr], format: &str) -> anyhow::Result<String> {
    let nothing = Findings::nothing(&Family::BOTH);
    let plan = engine::plan_from(&Nftables, nothing, model, host, &Family::BOTH);
    match format {
        "text" => {
            let scripts: Vec<_> = plan.changes.iter().map(text::script).collect();
            Ok(scripts.join("\n"))
        }
        "json" => Ok(json::script(&plan.changes).to_string()),
        other => bail!("--format: {other:?} is neither text nor json"),
    }
}

/// What `iptables-restore --noflush` reads. Where there are Services of both families, so does
/// `ip6tables-restore`, of the same text.
fn iptables(model: &Model, host: &[IpAddr], format: &str) -> anyhow::Result<String> {
    text_alone(format, Mode::Iptables)?;
    let families = served(model);
    let nothing = Found::default();
    let facts = Facts::default().uncounted();
    let mode = Iptables { facts };
    let batches = engine::plan_from(&mode, nothing, model, host, &families);
    Ok(dual::restore_input(&batches))
}

/// What `ipvsadm -R` reads, then what `ip -batch` does, then what `nft -f` does.
fn ipvs(model: &Model, host: &[IpAddr], format: &str) -> anyhow::Result<String> {
    text_alone(format, Mode::Ipvs)?;
    let families = served(model);
    let nothing = ipvs::Found {
        rules: Findings::nothing(&families),
        ..ipvs::Found::default()
    };
    let plan = engine::plan_from(&Ipvs::default(), nothing, model, host, &families);
    let servers = [plan.before_rules, plan.after_rules].concat();
    let device = plan.device.iter().map(|op| match op {
        DeviceOp::Create => format!("link add {SERVICE_DEVICE} type dummy\n"),
        DeviceOp::Hold(ip) => format!("address add {ip} dev {SERVICE_DEVICE}\n"),
        DeviceOp::Release(ip) => format!("address del {ip} dev {SERVICE_DEVICE}\n"),
    });
    let rules = plan.rules.changes.iter().map(text::script);
    Ok([
        format!("# ipvsadm -R\n{}", ipvs_text::script(&servers)),
        format!("# ip -batch\n{}", device.collect::<String>()),
        format!("# nft -f\n{}", rules.collect::<Vec<_>>().join("\n")),
    ]
    .join("\n"))
}

/// What `nft -f` reads, and in comments what else there is.
fn userspace(model: &Model, host: &[IpAddr], format: &str) -> anyhow::Result<String> {
    text_alone(format, Mode::Userspace)?;
    let families = served(model);
    let nothing = userspace::Found {
        rules: Findings::nothing(&families),
        ..userspace::Found::default()
    };
    let plan = engine::plan_from(&Userspace::default(), nothing, model, host, &families);
    let listeners = plan.before_rules.iter().filter_map(|op| match op {
        Op::Listen(at, listener) => Some(format!(
            "# {at}: {}, pool {:?}, endpoints see {:?}\n",
            listener.upstream, listener.pool, listener.source
        )),
        _ => None,
    });
    let routing = plan.routing.iter().map(|op| format!("# {op}\n"));
    let rules = plan.rules.changes.iter().map(text::script);
    Ok([
        format!("# listeners\n{}", listeners.collect::<String>()),
        format!("# routing\n{}", routing.collect::<String>()),
        format!("# nft -f\n{}", rules.collect::<Vec<_>>().join("\n")),
    ]
    .join("\n"))
}

/// Some modes have no JSON.
fn text_alone(format: &str, mode: Mode) -> anyhow::Result<()> {
    ensure!(
        format == "text",
        "--format: {format:?} is not text, which is all there is in {mode} mode"
    );
    Ok(())
}

/// The families that Services are of; IPv4 where there are none.
fn served(model: &Model) -> Vec<Family> {
    let ports = || model.services().flat_map(|service| model.ports(service));
    let has = |family: &Family| ports().any(|port| port.family == *family);
    match Family::BOTH.into_iter().filter(has).collect::<Vec<_>>() {
        none if none.is_empty() => vec![Family::V4],
        families => families,
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
