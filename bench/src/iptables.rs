//! iptables mode: how long everything and one change take, with both variants, and how long the
//! variant's own program takes for the same rules.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};

use fairlead_backends::engine::{self, Engine, Kernel};
use fairlead_backends::iptables::{Facts, Found, Iptables, is_ours};
use fairlead_core::address::Family;
use fairlead_core::model::Model;
use fairlead_kernel::iptables::legacy::LegacyIptables;
use fairlead_kernel::iptables::nft::NftIptables;
use fairlead_kernel::iptables::{ruleset, text};

use crate::cluster::{self, Cluster, ENDPOINTS, Features};
use crate::network::on_a_node;
use crate::print::{self, count, time};
use crate::sync::{self, ColdStart, Node, Open, Series, timed};

const SIZES: [u32; 2] = [1000, 5000];

/// With more Services iptables-nft-restore is not waited for: it keeps chains in a sorted list and
/// walks that for each, for minutes.
const MOST_FOR_NFT_PROGRAM: u32 = 1000;

/// How many changes of each kind are timed. One of a large legacy table takes half a second.
const CHANGES: usize = 20;

/// What was measured of one variant with one number of Services.
pub(crate) struct Measured {
    variant: &'static str,
    services: u32,
    cold: ColdStart,
    changes: [(&'static str, Series); 3],
    rules: usize,
    tool: Option<Tool>,
}

/// How long the variant's own `iptables-restore` takes.
struct Tool {
    /// For all rules, in tables that are empty.
    all: Duration,
    /// For one Service's endpoints, where all rules are.
    one: Duration,
}

/// Measures both variants.
pub(crate) fn measure(folder: &Path) -> anyhow::Result<Vec<Measured>> {
    let mut measured = Vec::new();
    for services in SIZES {
        let cluster = Cluster {
            services,
            features: Features::Plain,
        };
        let manifests = cluster.write_yaml(folder)?;
        eprintln!("measuring iptables mode, {cluster} ...");
        measured.push(of_variant("nft", services, &manifests, nft)?);
        measured.push(of_variant("legacy", services, &manifests, legacy)?);
    }
    Ok(measured)
}

fn of_variant<K: Kernel<Iptables>>(
    variant: &'static str,
    services: u32,
    manifests: &Path,
    open: Open<Iptables, K>,
) -> anyhow::Result<Measured> {
    let (cold, changes) = on_a_node(|| {
        let (mut node, cold) = Node::start(manifests, open)?;
        node.only(CHANGES);
        let changes = [
            ("endpoint replaced", node.replace_endpoints()?),
            ("service added", node.add_services()?),
            ("service deleted", node.delete_services()?),
        ];
        Ok((cold, changes))
    })?;
    let input = on_a_node(|| input(manifests))?;
    let tool = match variant == "nft" && services > MOST_FOR_NFT_PROGRAM {
        true => None,
        false => Some(on_a_node(|| tool(variant, &input))?),
    };
    Ok(Measured {
        variant,
        services,
        cold,
        changes,
        rules: input.lines().filter(|line| line.starts_with("-A")).count(),
        tool,
    })
}

fn nft() -> anyhow::Result<Engine<Iptables, NftIptables>> {
    let handle = NftIptables::open(&[], is_ours).context("cannot talk to nf_tables")?;
    Ok(Engine::new(mode(), handle, &Family::BOTH))
}

fn legacy() -> anyhow::Result<Engine<Iptables, LegacyIptables>> {
    let families = [ruleset::Family::Ip, ruleset::Family::Ip6];
    let handle =
        LegacyIptables::open(&families, is_ours).context("cannot write legacy iptables")?;
    Ok(Engine::new(mode(), handle, &Family::BOTH))
}

fn mode() -> Iptables {
    let facts = Facts::default().uncounted();
    Iptables { facts }
}

/// All rules as iptables-restore reads them.
fn input(manifests: &Path) -> anyhow::Result<String> {
    let (changes, _) = sync::read(manifests)?;
    let mut model = Model::new(sync::settings()?);
    for change in changes {
        model.apply(change);
    }
    let host = [cluster::NODE_IP.into()];
    let plan = engine::plan_from(&mode(), Found::default(), &model, &host, &[Family::V4]);
    Ok(text::restore_input(&plan))
}

fn tool(variant: &str, input: &str) -> anyhow::Result<Tool> {
    let program = format!("iptables-{variant}-restore");
    let ((), all) = timed(|| restore(&program, input))?;
    let one = one_service(input).context("no Service's chain")?;
    let ((), one) = timed(|| restore(&program, &one))?;
    Ok(Tool { all, one })
}

/// What writes the first Service's chain anew.
fn one_service(input: &str) -> Option<String> {
    let mut of_services = input
        .lines()
        .filter(|line| line.starts_with("-A KUBE-SVC-"));
    let chain = of_services.next()?.split(' ').nth(1)?;
    let begin = format!("-A {chain} ");
    let rules: Vec<&str> = input
        .lines()
        .filter(|line| line.starts_with(&begin))
        .collect();
    Some(format!(
        "*nat\n:{chain} - [0:0]\n{}\nCOMMIT\n",
        rules.join("\n")
    ))
}

fn restore(program: &str, input: &str) -> anyhow::Result<()> {
    let mut child = Command::new(program)
        .args(["--noflush", "-w", "5"])
        .stdin(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {program}"))?;
    let mut stdin = child.stdin.take().context("no standard input")?;
    stdin.write_all(input.as_bytes())?;
    drop(stdin);
    ensure!(child.wait()?.success(), "{program} failed");
    Ok(())
}

/// Prints what was measured.
pub(crate) fn print(measured: &[Measured]) {
    let rows = measured.iter().map(|one| {
        let stages = one.cold.report.stages;
        let ours = stages.observe + stages.render + stages.plan + stages.apply;
        vec![
            format!("{}, {}", count(one.services as usize), one.variant),
            count(one.rules),
            time(stages.render + stages.plan),
            time(stages.apply),
            time(ours),
            one.tool
                .as_ref()
                .map_or(String::new(), |tool| time(tool.all)),
            one.tool
                .as_ref()
                .map_or(String::new(), |tool| print::factor(tool.all, ours)),
        ]
    });
    print::table(
        &format!(
            "iptables mode, {ENDPOINTS} endpoints a service: all rules, and the same by the variant's iptables-restore (IPv4 alone)"
        ),
        &[
            "services",
            "rules",
            "render, plan",
            "apply",
            "total",
            "by program",
            "x",
        ],
        rows,
    );
    let rows = measured.iter().flat_map(|one| {
        one.changes.iter().map(|(what, series)| {
            vec![
                format!("{}, {}, {what}", count(one.services as usize), one.variant),
                time(series.percentile(50)),
                time(series.percentile(99)),
                series.operations.to_string(),
                one.tool
                    .as_ref()
                    .map_or(String::new(), |tool| time(tool.one)),
            ]
        })
    });
    print::table(
        "iptables mode: one change, from the Change until it is in effect (by program: iptables-restore of one Service's rules)",
        &["change", "median", "p99", "operations", "by program"],
        rows,
    );
}
