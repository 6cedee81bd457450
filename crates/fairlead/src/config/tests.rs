use std::time::Duration;

use clap::{Args, FromArgMatches};

use fairlead_core::settings::{DetectLocal, NodePortAddresses, Settings};

use super::{ConfigErrors, duration};
use crate::cli::ProxyFlags;

fn settings(flags: &[&str]) -> Result<Settings, ConfigErrors> {
    let given = ["fairlead", "--manifests=x", "--hostname-override=node1"]
        .iter()
        .chain(flags);
    let matches = ProxyFlags::augment_args(clap::Command::new("fairlead"))
        .try_get_matches_from(given)
        .unwrap();
    ProxyFlags::from_arg_matches(&matches).unwrap().settings()
}

#[test]
fn defaults_are_kube_proxys() {
    let settings = settings(&[]).unwrap();
    assert_eq!(settings.masquerade_mark, 0x4000);
    assert_eq!(settings.detect_local, DetectLocal::None);
    assert_eq!(settings.node_port_addresses, NodePortAddresses::primary());
    assert!(!settings.masquerade_all);
}

#[test]
fn flags_mean_what_they_mean_to_kube_proxy() {
    let flags = [
        "--cluster-cidr=10.244.0.0/16,fd00:10:244::/48",
        "--masquerade-all",
        "--iptables-masquerade-bit=10",
    ];
    let settings = settings(&flags).unwrap();
    let nets = ["10.244.0.0/16", "fd00:10:244::/48"].map(|net| net.parse().unwrap());
    assert_eq!(settings.detect_local, DetectLocal::ClusterCidr(nets.into()));
    assert!(settings.masquerade_all);
    assert_eq!(settings.masquerade_mark, 1 << 10);
}

#[test]
fn a_flag_that_is_false_is_false() {
    assert!(
        !settings(&["--masquerade-all=false"])
            .unwrap()
            .masquerade_all
    );
}

#[test]
fn node_port_words_and_networks_add_up() {
    let addresses = settings(&["--nodeport-addresses=primary,localhost,198.18.0.0/15"])
        .unwrap()
        .node_port_addresses;
    assert!(addresses.primary && addresses.localhost && !addresses.all);
    assert_eq!(addresses.networks, ["198.18.0.0/15".parse().unwrap()]);
}

#[test]
fn everything_wrong_is_said_at_once() {
    let flags = [
        "--detect-local-mode=BridgeInterface",
        "--iptables-masquerade-bit=32",
        "--nodeport-addresses=127.0.0.1,everywhere",
        "--hostname-override= ",
    ];
    let given = ["fairlead", "--manifests=x"].iter().chain(&flags);
    let matches = ProxyFlags::augment_args(clap::Command::new("fairlead"))
        .try_get_matches_from(given)
        .unwrap();
    let error = ProxyFlags::from_arg_matches(&matches)
        .unwrap()
        .settings()
        .unwrap_err()
        .to_string();
    for part in [
        "--hostname-override: is empty",
        "--pod-bridge-interface: is needed",
        "--iptables-masquerade-bit: 32",
        "\"127.0.0.1\" is neither",
        "\"everywhere\" is neither",
    ] {
        assert!(error.contains(part), "{part} is not in: {error}");
    }
}

#[test]
fn two_networks_of_one_family_are_refused() {
    let error = settings(&["--cluster-cidr=10.0.0.0/8,10.1.0.0/16"])
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "invalid configuration: --cluster-cidr: 10.1.0.0/16 is a second IPv4 network; give one of each family"
    );
}

#[test]
fn durations_are_written_as_in_go() {
    for (text, millis) in [
        ("0", 0),
        ("30s", 30_000),
        ("1m30s", 90_000),
        ("500ms", 500),
        ("1h", 3_600_000),
        ("1.5s", 1500),
    ] {
        assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
    }
    for text in ["", "30", "-1s", "soon"] {
        assert!(duration(text).is_err(), "{text}");
    }
}
