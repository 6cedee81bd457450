//! Tables that others empty.

use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use fairlead_core::address::{Family, Protocol};
use fairlead_lab::iptables::Variant;
use fairlead_lab::{Client, Lab};
use libtest_mimic::Failed;
use nix::sys::signal::Signal;
use serde_json::json;

use crate::objects::{service, slice};
use crate::rig::{Folder, Mode, Proxy};
use crate::rules::Rules;
use crate::tests;
use crate::watch::within;

tests! {
    flushed_tables_are_filled_again,
    deleted_tables_come_back,
}

/// The promise where the kernel has to be asked.
const ASKED: Duration = Duration::from_secs(3);

/// The same where it tells.
const TOLD: Duration = Duration::from_secs(1);

/// As long as Fairlead leaves between two syncs.
const QUIET: Duration = Duration::from_millis(1100);

/// What firewalls do when they start anew. Their second command may find that the chains are in use
/// again.
fn flushed_tables_are_filled_again(variant: Variant) -> Result<(), Failed> {
    let tables: [&[&str]; 4] = [
        &["nat"],
        &["filter"],
        &["mangle"],
        &["nat", "filter", "mangle"],
    ];
    let commands = tables.map(|tables| {
        let flush = |family: Family| {
            let program = variant.program(family);
            let table = |table: &&str| {
                format!("{program} -w -t {table} -F; {program} -w -t {table} -X || true; ")
            };
            tables.iter().map(table).collect::<String>()
        };
        Family::BOTH.map(flush).concat()
    });
    let commands = commands.each_ref().map(String::as_str);
    // What is begun to be mended before the last command waits for the pause after that.
    are_restored_after(variant, &commands, QUIET)
}

/// By nft(8), which knows nothing of iptables' rules in nf_tables.
fn deleted_tables_come_back(variant: Variant) -> Result<(), Failed> {
    match variant {
        Variant::Nft => are_restored_after(
            variant,
            &[
                "nft flush ruleset",
                "nft delete table ip nat",
                "nft delete table ip6 filter",
                "nft flush table ip nat",
                "nft flush chain ip nat KUBE-SERVICES",
                "nft flush chain ip nat PREROUTING",
            ],
            Duration::ZERO,
        ),
        // No other program reaches them.
        Variant::Legacy => Ok(()),
    }
}

/// As promised, or so much later.
fn are_restored_after(variant: Variant, commands: &[&str], later: Duration) -> Result<(), Failed> {
    let lab = Lab::new()?;
    let mut folder = web()?;
    let mut proxy = Proxy::start_in(Mode::Iptables(variant), &lab, &folder, &[])?;
    proxy.settle(&mut folder)?;
    let programmed = Rules::of(&lab, variant)?;
    let limit = match variant {
        Variant::Nft => TOLD,
        Variant::Legacy => ASKED,
    };
    for command in commands {
        sleep(QUIET);
        lab.run_on_node(Command::new("sh").args(["-ec", command]))?;
        let mut left = String::new();
        let restored = within(limit + later, command, || {
            // iptables-nft-save prints chains twice of a table that changes while it reads it.
            left = match Rules::of(&lab, variant) {
                Ok(rules) => rules.differences(&programmed),
                Err(error) => error.message().unwrap_or("unreadable").to_owned(),
            };
            Ok(left.is_empty())
        });
        restored.map_err(|error| {
            proxy.failed(&format!("{}\n{left}", error.message().unwrap_or_default()))
        })?;
        for (client, to) in [
            (Client::Pod, "10.96.21.1:80"),
            (Client::Outside, "192.0.2.10:30210"),
        ] {
            let series = lab.ask(client, Protocol::Tcp, to.parse()?, 10)?;
            if !series.errors.is_empty() {
                return Err(proxy.failed(&format!("{command}: {to} met {}", series.outcome())));
            }
        }
    }
    proxy.end(Signal::SIGTERM)
}

fn web() -> Result<Folder, Failed> {
    let spec = json!({
        "type": "NodePort", "clusterIP": "10.96.21.1", "ports": [{"port": 80, "nodePort": 30210}],
    });
    let endpoints = slice("web", "TCP", 8080, &["10.244.2.5", "10.244.2.6"]);
    Folder::new(&[service("web", &spec), endpoints])
}
