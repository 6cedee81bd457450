//! Schedulers that there are not.

use std::fs;

use fairlead_core::address::Protocol;
use fairlead_lab::{Client, Lab};
use libtest_mimic::Failed;
use nix::sys::signal::Signal;

use super::node::{scheduled, start, web};
use crate::rig::Folder;
use crate::watch::{hear, on_node};

const PODS: [&str; 2] = ["10.244.2.5", "10.244.2.6"];

/// What the kernel runs to load a module. The first process of the machine has modules, and all
/// others its files.
const MODPROBE: &str = "/proc/sys/kernel/modprobe";

pub(super) fn rr_chooses_where_there_is_no_such_scheduler() -> Result<(), Failed> {
    let lab = Lab::new()?;
    // All that is needed but for that scheduler.
    let mut folder = Folder::new(&[])?;
    start(&lab, &mut folder, &[])?.end(Signal::SIGTERM)?;
    on_node(&lab, "nft flush ruleset")?;
    // An empty line: then it runs nothing.
    fs::write(MODPROBE, "\n")?;
    let mut folder = Folder::new(
        &[
            web_of("unknown", "10.96.48.1", "fastest"),
            web_of("missing", "10.96.48.2", "lc"),
            web_of("there", "10.96.48.3", "rr"),
        ]
        .concat(),
    )?;
    let proxy = start(&lab, &mut folder, &[])?;
    hear(&proxy, "there is no scheduler \"fastest\"")?;
    hear(&proxy, "the kernel has no module ip_vs_lc")?;
    let shown = lab.shown_by_ipvs()?;
    for address in ["10.96.48.1:80", "10.96.48.2:80", "10.96.48.3:80"] {
        let series = lab.ask(Client::Pod, Protocol::Tcp, address.parse()?, 10)?;
        let shares: Vec<usize> = series.by_endpoint.values().copied().collect();
        let server = shown.servers.get(&format!("-t {address}"));
        let scheduler = server.map(|server| server.options.as_str());
        if shares != [5, 5] || scheduler != Some("-s rr") {
            return Err(proxy.failed(&format!("{address}: {series:?}, {scheduler:?}")));
        }
    }
    proxy.end(Signal::SIGTERM)
}

fn web_of(name: &str, address: &str, scheduler: &str) -> [serde_json::Value; 2] {
    let [service, endpoints] = web(name, address, &PODS, 8080);
    [scheduled(service, scheduler), endpoints]
}
