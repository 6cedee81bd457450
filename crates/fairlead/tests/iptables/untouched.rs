//! What a change does not concern.

use std::collections::BTreeMap;
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
use crate::tests;
use crate::watch::{at_rest, on_node};

tests! {
    nothing_is_done_where_nothing_changes,
    rules_of_other_services_go_on_counting,
    rules_of_other_programs_keep_their_places_and_counters,
}

/// Longer than Fairlead leaves between two looks at the tables.
const QUIET: Duration = Duration::from_millis(1500);

/// Where clients meet the Service that does not change.
const BUSY: &str = "10.96.31.1:80";

/// Rules of others before and after the jumps, that count what the client gets at `BUSY`.
const OTHERS: &str = "*nat
:OTHER-CHAIN - [0:0]
-A PREROUTING -d 10.96.31.1/32 -m comment --comment \"other first\" -j OTHER-CHAIN
-A OTHER-CHAIN -m comment --comment \"other own\" -j RETURN
COMMIT
*filter
-A FORWARD -d 10.244.2.0/24 -m comment --comment \"other first\"
COMMIT
";

const OTHERS_LATER: &str = "*nat
-I PREROUTING -d 10.96.31.1/32 -m comment --comment \"other before\"
-A POSTROUTING -s 10.244.1.20/32 -d 10.244.2.0/24 -m comment --comment \"other after\"
COMMIT
*filter
-I FORWARD -d 10.244.2.0/24 -m comment --comment \"other before\"
COMMIT
";

/// Also where others write: what is theirs is no change of ours.
fn nothing_is_done_where_nothing_changes(variant: Variant) -> Result<(), Failed> {
    let lab = Lab::new()?;
    let mut folder = two()?;
    let mut proxy = Proxy::start_in(Mode::Iptables(variant), &lab, &folder, &[])?;
    proxy.settle(&mut folder)?;
    let syncs = || proxy.log().matches(" sync ").count();
    let before = at_rest(QUIET, || Ok(syncs()))?;
    assert!(before > 0, "{}", proxy.log());
    lab.restore(variant, Family::V4, OTHERS)?;
    connect(&lab)?;
    sleep(2 * QUIET);
    match syncs() == before {
        true => proxy.end(Signal::SIGTERM),
        false => Err(proxy.failed("it did something")),
    }
}

fn rules_of_other_services_go_on_counting(variant: Variant) -> Result<(), Failed> {
    let lab = Lab::new()?;
    let mut folder = two()?;
    let mut proxy = Proxy::start_in(Mode::Iptables(variant), &lab, &folder, &[])?;
    proxy.settle(&mut folder)?;
    connect(&lab)?;
    let is_of_busy = |rule: &str| rule.contains("default/busy");
    let before = counted(&lab, variant, is_of_busy)?;
    let met = before
        .values()
        .filter(|counters| *counters != "[0:0]")
        .count();
    // The cluster IP's rule and, of each of two endpoints, one that leads to it and one that goes there.
    assert!(met >= 5, "nothing is counted: {before:#?}");
    folder.apply(&slice(
        "other",
        "TCP",
        8080,
        &["10.244.2.7", "10.244.2.8", "10.244.2.9"],
    ))?;
    proxy.settle(&mut folder)?;
    folder.delete("Service other")?;
    proxy.settle(&mut folder)?;
    match counted(&lab, variant, is_of_busy)? {
        after if after == before => proxy.end(Signal::SIGTERM),
        after => Err(proxy.failed(&format!("{before:#?}\nbecame\n{after:#?}"))),
    }
}

fn rules_of_other_programs_keep_their_places_and_counters(variant: Variant) -> Result<(), Failed> {
    let lab = Lab::new()?;
    lab.restore(variant, Family::V4, OTHERS)?;
    let mut folder = two()?;
    let mut proxy = Proxy::start_in(Mode::Iptables(variant), &lab, &folder, &[])?;
    proxy.settle(&mut folder)?;
    lab.restore(variant, Family::V4, OTHERS_LATER)?;
    connect(&lab)?;
    let shared = |rule: &str| !rule.starts_with("-A KUBE-");
    // The last packets of a client may be counted late.
    let before = at_rest(QUIET, || places(&lab, variant, shared))?;
    folder.apply(&slice("other", "TCP", 8080, &["10.244.2.9"]))?;
    proxy.settle(&mut folder)?;
    folder.delete("Service other")?;
    proxy.settle(&mut folder)?;
    same(&proxy, &before, &places(&lab, variant, shared)?)?;
    // A new start has to look closer.
    proxy.end(Signal::SIGTERM)?;
    let mut proxy = Proxy::start_in(Mode::Iptables(variant), &lab, &folder, &[])?;
    proxy.settle(&mut folder)?;
    same(&proxy, &before, &places(&lab, variant, shared)?)?;
    proxy.end(Signal::SIGTERM)
}

fn same(proxy: &Proxy<'_>, before: &[String], after: &[String]) -> Result<(), Failed> {
    match before == after {
        true => Ok(()),
        false => Err(proxy.failed(&format!("{before:#?}\nbecame\n{after:#?}"))),
    }
}

fn connect(lab: &Lab) -> Result<(), Failed> {
    let series = lab.ask(Client::Pod, Protocol::Tcp, BUSY.parse()?, 40)?;
    assert_eq!(series.by_endpoint.len(), 2, "{series:?}");
    Ok(())
}

/// Rules with what they counted, in order; of those that are not the others', the rules alone, since
/// they count what the test does, too.
fn places(lab: &Lab, variant: Variant, is_wanted: fn(&str) -> bool) -> Result<Vec<String>, Failed> {
    let rules = saved(lab, variant)?;
    let wanted = rules.into_iter().filter(|(_, rule)| is_wanted(rule));
    Ok(wanted
        .map(|(counters, rule)| match rule.contains("\"other ") {
            true => format!("{counters} {rule}"),
            false => rule,
        })
        .collect())
}

/// What rules counted.
fn counted(
    lab: &Lab,
    variant: Variant,
    is_wanted: fn(&str) -> bool,
) -> Result<BTreeMap<String, String>, Failed> {
    let rules = saved(lab, variant)?.into_iter();
    let wanted = rules.filter(|(_, rule)| is_wanted(rule));
    Ok(wanted.map(|(counters, rule)| (rule, counters)).collect())
}

/// All rules, each after its counters.
fn saved(lab: &Lab, variant: Variant) -> Result<Vec<(String, String)>, Failed> {
    let text = on_node(lab, &format!("{}-save -c", variant.program(Family::V4)))?;
    let rules = text.lines().filter_map(|line| line.split_once(" -A "));
    Ok(rules
        .map(|(counters, rule)| (counters.to_owned(), format!("-A {rule}")))
        .collect())
}

fn two() -> Result<Folder, Failed> {
    let spec = |cluster_ip| json!({"clusterIP": cluster_ip, "ports": [{"port": 80}]});
    Folder::new(&[
        service("busy", &spec("10.96.31.1")),
        slice("busy", "TCP", 8080, &["10.244.2.5", "10.244.2.6"]),
        service("other", &spec("10.96.31.2")),
        slice("other", "TCP", 8080, &["10.244.2.7", "10.244.2.8"]),
    ])
}
