//! Taking over from kube-proxy: its rules go when ours are in place, and nothing else does.

use std::fs;
use std::process::Command;

use fairlead_core::address::Protocol;
use fairlead_lab::{Client, Lab};
use libtest_mimic::Failed;
use serde_json::json;
use tempfile::TempDir;

use crate::objects::{service, slice};
use crate::rig::{FAIRLEAD, Folder, Proxy};
use crate::tests;
use crate::watch::{eventually, on_node};

tests! {
    rules_of_the_iptables_mode_go,
    the_table_of_the_nftables_mode_goes,
    the_device_of_the_ipvs_mode_goes,
    cleanup_removes_them_too,
    what_cannot_be_removed_keeps_nothing_else,
}

/// What kube-proxy 1.36.2 had programmed, as `iptables-save` and `ip6tables-save` told it.
const IPTABLES: &str = include_str!("../../../lab/recorded/nodeport/iptables.rules");

/// The same as `nft list ruleset` told it.
const NFTABLES: &str = include_str!("../../../lab/recorded/nodeport/nftables.rules");

fn rules_of_the_iptables_mode_go() -> Result<(), Failed> {
    let lab = Lab::new()?;
    load_iptables(&lab)?;
    on_node(&lab, "iptables -t nat -N CNI-HOSTPORT-DNAT")?;
    on_node(&lab, "iptables -t nat -A PREROUTING -j CNI-HOSTPORT-DNAT")?;
    let folder = web()?;
    let mut proxy = Proxy::start(&lab, &folder, &[])?;
    let mut left = String::new();
    eventually("kube-proxy's chains are gone", || {
        left = saved(&lab)?;
        let mut chains = left.lines().filter(|line| line.starts_with(":KUBE-"));
        Ok(chains.all(|chain| chain.starts_with(":KUBE-FIREWALL ")))
    })
    .map_err(|_| proxy.failed(&left))?;
    for stays in [
        "-A PREROUTING -j CNI-HOSTPORT-DNAT",
        "-A INPUT -j KUBE-FIREWALL",
    ] {
        assert!(left.contains(stays), "{stays} is gone from\n{left}");
    }
    // Nothing of it is in the way.
    let mut folder = folder;
    proxy.settle(&mut folder)?;
    let series = lab.ask(Client::Pod, Protocol::Tcp, "10.96.40.1:80".parse()?, 5)?;
    assert!(series.errors.is_empty(), "{series:?}");
    Ok(())
}

fn the_table_of_the_nftables_mode_goes() -> Result<(), Failed> {
    let lab = Lab::new()?;
    load_nftables(&lab)?;
    let folder = web()?;
    let _proxy = Proxy::start(&lab, &folder, &[])?;
    eventually("kube-proxy's tables are gone", || {
        Ok(!on_node(&lab, "nft list tables")?.contains("kube-proxy"))
    })?;
    Ok(())
}

fn the_device_of_the_ipvs_mode_goes() -> Result<(), Failed> {
    let lab = Lab::new()?;
    // The kind of device does not matter, and not every kernel has dummies.
    on_node(&lab, "ip link add kube-ipvs0 type veth peer name other0")?;
    let folder = web()?;
    let _proxy = Proxy::start(&lab, &folder, &[])?;
    eventually("the device is gone", || {
        Ok(!on_node(&lab, "ip link show")?.contains("kube-ipvs0"))
    })?;
    Ok(())
}

fn cleanup_removes_them_too() -> Result<(), Failed> {
    let lab = Lab::new()?;
    load_iptables(&lab)?;
    load_nftables(&lab)?;
    let said = on_node(&lab, &format!("{FAIRLEAD} cleanup"))?;
    for place in [
        "iptables mode left: table ip nat",
        "iptables mode left: table ip6 filter",
        "kube-proxy left: table ip kube-proxy",
    ] {
        let line = format!("removed what {place}\n");
        assert!(said.contains(&line), "{line} is not in\n{said}");
    }
    let said = on_node(&lab, &format!("{FAIRLEAD} cleanup"))?;
    assert_eq!(said, "there is nothing of fairlead to remove\n");
    Ok(())
}

fn what_cannot_be_removed_keeps_nothing_else() -> Result<(), Failed> {
    let lab = Lab::new()?;
    load_nftables(&lab)?;
    // A chain of kube-proxy's that something else refers to, by a map and not by a plain jump.
    on_node(&lab, "nft add table ip nat")?;
    on_node(&lab, "nft add chain ip nat KUBE-SERVICES")?;
    on_node(&lab, "nft add chain ip nat OTHER")?;
    let rule = "nft add rule ip nat OTHER tcp dport vmap { 80 : jump KUBE-SERVICES }";
    on_node(&lab, rule)?;
    let script = format!("{FAIRLEAD} cleanup 2>&1; echo ended with $?");
    let output = lab.run_on_node(Command::new("sh").args(["-c", &script]))?;
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("table ip nat: cannot remove"), "{said}");
    assert!(said.ends_with("ended with 1\n"), "{said}");
    let left = on_node(&lab, "nft list tables")?;
    assert!(!left.contains("kube-proxy"), "{said}\n{left}");
    Ok(())
}

fn load_iptables(lab: &Lab) -> Result<(), Failed> {
    for family in ["iptables", "ip6tables"] {
        let sections = IPTABLES.split("## ");
        let rules: String = sections
            .filter_map(|section| section.strip_prefix(&format!("{family} ")))
            .filter_map(|section| section.split_once('\n'))
            .map(|(_, rules)| rules)
            .collect();
        // Counters by name would have to be made first.
        let uncounted = rules.lines().filter(|rule| !rule.contains("-m nfacct"));
        let rules: String = uncounted.flat_map(|rule| [rule, "\n"]).collect();
        load(lab, &format!("{family}-nft-restore"), &[], &rules)?;
    }
    Ok(())
}

fn load_nftables(lab: &Lab) -> Result<(), Failed> {
    load(lab, "nft", &["-f"], NFTABLES)
}

fn load(lab: &Lab, program: &str, arguments: &[&str], rules: &str) -> Result<(), Failed> {
    let folder = TempDir::new()?;
    let file = folder.path().join("rules");
    fs::write(&file, rules)?;
    lab.run_on_node(Command::new(program).args(arguments).arg(&file))?;
    Ok(())
}

fn saved(lab: &Lab) -> Result<String, Failed> {
    let mut saved = String::new();
    for program in ["iptables-nft-save", "ip6tables-nft-save"] {
        saved += &on_node(lab, program)?;
    }
    Ok(saved)
}

fn web() -> Result<Folder, Failed> {
    let web = service(
        "web",
        &json!({"clusterIP": "10.96.40.1", "ports": [{"port": 80}]}),
    );
    let endpoints = slice("web", "TCP", 8080, &["10.244.2.5", "10.244.2.6"]);
    Folder::new(&[web, endpoints])
}
