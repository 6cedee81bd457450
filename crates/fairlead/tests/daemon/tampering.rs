//! Others who change our tables, and tables of others.

use std::thread::sleep;
use std::time::Duration;

use fairlead_core::address::Protocol;
use fairlead_lab::{Client, Lab};
use libtest_mimic::Failed;
use nix::sys::signal::Signal;
use serde_json::json;

use crate::objects::{service, slice};
use crate::rig::{FAIRLEAD, Folder, Proxy};
use crate::tests;
use crate::watch::{at_rest, get, listing, on_node, within};

tests! {
    what_others_change_is_mended_within_a_second,
    nothing_is_done_where_nothing_changes,
    tables_of_others_are_left_alone,
    cleanup_removes_all_of_ours,
}

/// The promise.
const MENDED: Duration = Duration::from_secs(1);

/// As long as Fairlead leaves between two syncs.
const QUIET: Duration = Duration::from_millis(1100);

/// As long as a chain is kept that nothing refers to.
const UNUSED: Duration = Duration::from_secs(1);

/// What somebody may do to our tables.
const TAMPERINGS: &[&str] = &[
    "flush ruleset",
    "flush table ip fairlead",
    "delete table ip fairlead",
    "delete table ip6 fairlead",
    "flush chain ip fairlead services",
    "flush map ip fairlead endpoints",
    "delete element ip fairlead services { 10.96.21.1 . tcp . 80 }",
    "delete element ip fairlead cluster-ips { 10.96.21.1 }",
    "delete element ip fairlead source-ranges { 203.0.113.7 . tcp . 80 . 198.51.100.0/24 }",
    "delete element ip fairlead nodeports { tcp . 30210 }",
    "add element ip fairlead cluster-ips { 10.1.2.3 }",
    "add element ip fairlead source-ranges { 203.0.113.7 . tcp . 80 . 10.0.0.0/8 }",
    "add rule ip fairlead services counter drop",
    "insert rule ip fairlead masquerading counter accept",
    "add chain ip fairlead theirs { type filter hook forward priority 0; policy drop; }",
    "add set ip fairlead theirs { type ipv4_addr; }",
    "add map ip6 fairlead theirs { type ipv6_addr : verdict; }",
];

fn what_others_change_is_mended_within_a_second() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let mut folder = balanced()?;
    let mut proxy = Proxy::start(&lab, &folder, &[])?;
    proxy.settle(&mut folder)?;
    // Two changes of one element at once, so that what is there is wrong and not missing.
    let redirect = "delete element ip fairlead endpoints { 10.96.21.1 . tcp . 80 . 0 }; \
                    add element ip fairlead endpoints { 10.96.21.1 . tcp . 80 . 0 : 10.244.2.99 . 8080 }";
    let mended = |tampering: &str, limit| {
        sleep(QUIET);
        let programmed = listing(&lab)?;
        nft(&lab, tampering)?;
        within(limit, tampering, || Ok(listing(&lab)? == programmed))
    };
    for tampering in TAMPERINGS.iter().chain([&redirect]) {
        mended(tampering, MENDED)
            .map_err(|error| proxy.failed(error.message().unwrap_or_default()))?;
    }
    mended("add chain ip fairlead theirs", MENDED + UNUSED)
        .map_err(|error| proxy.failed(error.message().unwrap_or_default()))?;
    let series = lab.ask(Client::Pod, Protocol::Tcp, "10.96.21.1:80".parse()?, 40)?;
    match (series.by_endpoint.len(), series.errors.len()) {
        (2, 0) => proxy.end(Signal::SIGTERM),
        _ => Err(proxy.failed(&format!("a client met {}", series.outcome()))),
    }
}

fn nothing_is_done_where_nothing_changes() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let mut folder = balanced()?;
    let mut proxy = Proxy::start(&lab, &folder, &["--min-sync-period=0s".to_owned()])?;
    proxy.settle(&mut folder)?;
    let syncs = || syncs(&lab);
    // Chains that went out of use are removed after a second.
    let before = at_rest(2 * QUIET, syncs)?;
    // Somebody else's table changes, and clients are remembered in ours.
    nft(
        &lab,
        "add table ip theirs; add set ip theirs s { type ipv4_addr; }; add element ip theirs s { 10.0.0.1 }",
    )?;
    lab.ask(Client::Pod, Protocol::Tcp, "10.96.21.2:80".parse()?, 5)?;
    sleep(QUIET);
    match (before, syncs()?) {
        (before, after) if before == after => proxy.end(Signal::SIGTERM),
        (before, after) => Err(proxy.failed(&format!("{before} syncs became {after}"))),
    }
}

fn tables_of_others_are_left_alone() -> Result<(), Failed> {
    let lab = Lab::new()?;
    nft(
        &lab,
        "add table ip hostports { comment \"rules for hostports\"; }
         add set ip hostports cluster-ips { type ipv4_addr; elements = { 10.96.21.1 }; }
         add table inet filter
         add chain inet filter forward { type filter hook forward priority 0; policy accept; }
         add rule inet filter forward ip saddr 10.11.12.13 drop
         add table inet fairlead
         add chain inet fairlead services
         add rule inet fairlead services accept",
    )?;
    let theirs = listing(&lab)?;
    let mut folder = balanced()?;
    let mut proxy = Proxy::start(&lab, &folder, &[])?;
    proxy.settle(&mut folder)?;
    nft(&lab, "delete table ip fairlead")?;
    folder.delete("Service web")?;
    proxy.settle(&mut folder)?;
    let all = listing(&lab)?;
    if let Some(missing) = theirs.iter().find(|part| !all.contains(part)) {
        return Err(proxy.failed(&format!("{missing:?} is gone")));
    }
    proxy.end(Signal::SIGTERM)?;
    on_node(&lab, &format!("{FAIRLEAD} cleanup"))?;
    assert_eq!(listing(&lab)?, theirs);
    Ok(())
}

fn cleanup_removes_all_of_ours() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let mut folder = balanced()?;
    let mut proxy = Proxy::start(&lab, &folder, &[])?;
    proxy.settle(&mut folder)?;
    proxy.end(Signal::SIGTERM)?;
    assert!(on_node(&lab, "nft list tables")?.contains("table ip6 fairlead"));
    let said = on_node(&lab, &format!("{FAIRLEAD} cleanup"))?;
    assert!(
        said.contains("removed what nftables mode left: table ip fairlead\n")
            && said.contains("route_localnet"),
        "{said}"
    );
    assert_eq!(on_node(&lab, "nft list ruleset")?, "");
    let said = on_node(&lab, &format!("{FAIRLEAD} cleanup"))?;
    assert_eq!(said, "there is nothing of fairlead to remove\n");
    Ok(())
}

/// A Service with everything that can be missing, and one with affinity.
fn balanced() -> Result<Folder, Failed> {
    let endpoints = ["10.244.2.5", "10.244.2.6"];
    let mut web = service(
        "web",
        &json!({
            "type": "LoadBalancer", "clusterIP": "10.96.21.1", "ports": [{"port": 80, "nodePort": 30210}],
            "loadBalancerSourceRanges": ["198.51.100.0/24"],
        }),
    );
    web["status"] = json!({"loadBalancer": {"ingress": [{"ip": "203.0.113.7"}]}});
    let sticky =
        json!({"clusterIP": "10.96.21.2", "ports": [{"port": 80}], "sessionAffinity": "ClientIP"});
    Folder::new(&[
        web,
        slice("web", "TCP", 8080, &endpoints),
        service("sticky", &sticky),
        slice("sticky", "TCP", 8080, &endpoints),
    ])
}

/// Does what a line or a file of nft(8) says.
fn nft(lab: &Lab, commands: &str) -> Result<(), Failed> {
    let mut command = std::process::Command::new("nft");
    Ok(lab.run_on_node(command.arg(commands)).map(drop)?)
}

/// How many syncs there were.
fn syncs(lab: &Lab) -> Result<String, Failed> {
    let metrics = get(lab, "127.0.0.1:10249", "/metrics");
    let count = "kubeproxy_sync_proxy_rules_duration_seconds_count{ip_family=\"IPv4\"} ";
    let line = metrics.lines().find_map(|line| line.strip_prefix(count));
    Ok(line
        .ok_or("/metrics does not say how many syncs there were")?
        .to_owned())
}
