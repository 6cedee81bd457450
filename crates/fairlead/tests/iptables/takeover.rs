//! Taking over from kube-proxy in iptables mode, and leaving.

use std::fs;
use std::path::{Path, PathBuf};

use fairlead_core::address::Family;
use fairlead_lab::iptables::Variant;
use fairlead_lab::{Client, Lab};
use libtest_mimic::Failed;
use nix::sys::signal::Signal;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::asking::while_asking;
use crate::objects::{service, slice};
use crate::rig::{FAIRLEAD, Folder, Mode, Proxy};
use crate::rules::{FIREWALL_JUMPS, Rules, restore};
use crate::tests;
use crate::watch::{eventually, on_node};

tests! {
    kube_proxy_is_taken_over_without_a_gap,
    cleanup_leaves_what_others_have,
    cleanup_removes_what_kube_proxy_left,
}

/// A recorded case, the only Service of it that stays, and where it is met.
const CASES: [(&str, &str, &str); 4] = [
    ("nodeport", "nginx-svc-nodeport", "10.109.235.134:80"),
    ("loadbalancer", "lb", "203.0.113.100:443"),
    ("etp-local", "etp", "10.96.40.1:80"),
    ("hairpin", "self", "10.96.90.1:80"),
];

/// Rules and chains of others: some have names as ours have.
const OTHERS: &str = "*mangle
:KUBE-IPTABLES-HINT - [0:0]
:KUBE-KUBELET-CANARY - [0:0]
COMMIT
*nat
:CNI-HOSTPORT-DNAT - [0:0]
:KUBE-KUBELET-CANARY - [0:0]
:KUBE-MARK-DROP - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
-A POSTROUTING -m comment --comment \"kubernetes postrouting rules\" -j ACCEPT
-A KUBE-MARK-DROP -j MARK --set-xmark 0x8000/0x8000
-A CNI-HOSTPORT-DNAT -p tcp -m tcp --dport 9 -j RETURN
COMMIT
*filter
:KUBE-KUBELET-CANARY - [0:0]
-A FORWARD -p tcp -m tcp --dport 9 -j DROP
COMMIT
";

/// What else stays, since the kubelet shares it.
const BLOCKED: &str = "*filter
-A KUBE-FIREWALL -d 127.0.0.0/8 ! -s 127.0.0.0/8 -m comment --comment \"block incoming localnet connections\" -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP
COMMIT
";

fn kube_proxy_is_taken_over_without_a_gap(variant: Variant) -> Result<(), Failed> {
    for (case, stays, to) in CASES {
        takes_over(variant, case, stays, to)
            .map_err(|error| format!("{case}: {}", error.message().unwrap_or_default()))?;
    }
    Ok(())
}

fn takes_over(variant: Variant, case: &str, stays: &str, to: &str) -> Result<(), Failed> {
    let lab = Lab::new()?;
    let recorded = recorded(case);
    lab.load_recorded(
        variant,
        &fs::read_to_string(recorded.join("iptables.rules"))?,
    )?;
    let mut folder = only(&recorded, stays)?;
    let mut started = None;
    while_asking(&lab, &[(Client::Pod, to)], || {
        let mut proxy = Proxy::start_in(Mode::Iptables(variant), &lab, &folder, &[])?;
        proxy.settle(&mut folder)?;
        let wanted = Rules::fresh(variant, &folder, FIREWALL_JUMPS)?;
        let mut left = String::new();
        let is_taken_over = eventually("nothing of kube-proxy is left", || {
            left = Rules::of(&lab, variant)?.differences(&wanted);
            Ok(left.is_empty())
        });
        is_taken_over.map_err(|_| proxy.failed(&left))?;
        started = Some(proxy);
        Ok(())
    })?;
    let proxy = started.ok_or("it was not started")?;
    let programmed = Rules::of(&lab, variant)?;
    while_asking(&lab, &[(Client::Pod, to)], || proxy.end(Signal::SIGTERM))?;
    assert_eq!(Rules::of(&lab, variant)?.differences(&programmed), "");
    Ok(())
}

fn cleanup_leaves_what_others_have(variant: Variant) -> Result<(), Failed> {
    let lab = Lab::new()?;
    restore(&lab, variant, OTHERS)?;
    let web = json!({"clusterIP": "10.96.33.1", "ports": [{"port": 80}]});
    let endpoints = slice("web", "TCP", 8080, &["10.244.2.5"]);
    let mut folder = Folder::new(&[service("web", &web), endpoints])?;
    let mut proxy = Proxy::start_in(Mode::Iptables(variant), &lab, &folder, &[])?;
    proxy.settle(&mut folder)?;
    proxy.end(Signal::SIGTERM)?;
    on_node(&lab, &format!("{FAIRLEAD} cleanup"))?;
    is_clean(&lab, variant)?;
    let said = on_node(&lab, &format!("{FAIRLEAD} cleanup"))?;
    assert_eq!(said, "there is nothing of fairlead to remove\n");
    is_clean(&lab, variant)
}

fn cleanup_removes_what_kube_proxy_left(variant: Variant) -> Result<(), Failed> {
    for how in ["cleanup", "run --cleanup"] {
        let lab = Lab::new()?;
        restore(&lab, variant, OTHERS)?;
        let rules = fs::read_to_string(recorded("dual-stack").join("iptables.rules"))?;
        lab.load_recorded(variant, &rules)?;
        on_node(&lab, &format!("{FAIRLEAD} {how}"))?;
        is_clean(&lab, variant)?;
    }
    Ok(())
}

/// Whether all is there that others have, and nothing else.
fn is_clean(lab: &Lab, variant: Variant) -> Result<(), Failed> {
    let other = Lab::new()?;
    restore(&other, variant, OTHERS)?;
    restore(&other, variant, FIREWALL_JUMPS)?;
    other.restore(variant, Family::V4, BLOCKED)?;
    let differences = Rules::of(lab, variant)?.differences(&Rules::of(&other, variant)?);
    match differences.is_empty() {
        true => Ok(()),
        false => Err(differences.into()),
    }
}

fn recorded(case: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../lab/recorded")).join(case)
}

/// The objects of a case but for all Services other than one, and with another that is new.
fn only(case: &Path, stays: &str) -> Result<Folder, Failed> {
    let text = fs::read_to_string(case.join("objects.yaml"))?;
    let mut folder = Folder::new(&[
        service(
            "new",
            &json!({"clusterIP": "10.96.33.9", "ports": [{"port": 80}]}),
        ),
        slice("new", "TCP", 8080, &["10.244.2.5", "10.244.2.6"]),
    ])?;
    for document in yaml_serde::Deserializer::from_str(&text) {
        let object = Value::deserialize(document)?;
        let is_service = object["kind"] == "Service";
        if !is_service || object["metadata"]["name"] == stays {
            folder.apply(&object)?;
        }
    }
    Ok(folder)
}
