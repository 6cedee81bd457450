//! What flags and fields mean.

use std::time::Duration;

use fairlead_core::settings::{DetectLocal, NodePortAddresses};

use super::{by_file, by_flags, options, wrong};
use crate::app::SourceOptions;

#[test]
fn periods_are_those_of_the_mode() {
    let seconds = Duration::from_secs;
    for (flags, least, longest) in [
        (&[][..], seconds(1), seconds(30)),
        (
            &[
                "--iptables-sync-period=36s",
                "--iptables-min-sync-period=3s",
            ],
            seconds(3),
            seconds(36),
        ),
        (
            &["--ipvs-sync-period=36s", "--ipvs-min-sync-period=3s"],
            seconds(1),
            seconds(30),
        ),
        (
            &["--iptables-sync-period=36s", "--sync-period=5s"],
            seconds(1),
            seconds(5),
        ),
        (
            &["--min-sync-period=0", "--proxy-mode=nftables"],
            seconds(0),
            seconds(30),
        ),
    ] {
        let options = options(by_flags(flags));
        assert_eq!(
            (options.min_sync_period, options.sync_period),
            (least, longest),
            "{flags:?}"
        );
    }
    let by_file = |fields: &str, flags: &[&str]| {
        let options = options(by_file(fields, flags));
        (options.min_sync_period, options.sync_period)
    };
    let both = "iptables: {syncPeriod: 40s}\nnftables: {minSyncPeriod: 2s}";
    assert_eq!(by_file(both, &[]), (seconds(2), seconds(40)));
    assert_eq!(
        by_file(&format!("mode: nftables\n{both}"), &[]),
        (seconds(2), seconds(30))
    );
    assert_eq!(
        by_file(both, &["--sync-period=50s"]),
        (seconds(2), seconds(50))
    );
    assert_eq!(
        by_file(both, &["--iptables-sync-period=50s"]),
        (seconds(2), seconds(40))
    );
}

/// No period is the usual one in a file; a flag means what it says.
#[test]
fn a_period_of_nothing_is_for_files_alone() {
    let fields = "configSyncPeriod: 0s\nnftables: {syncPeriod: 0s, minSyncPeriod: 0s}";
    let options = options(by_file(fields, &[]));
    let seconds = Duration::from_secs;
    assert_eq!(
        (options.min_sync_period, options.sync_period),
        (seconds(1), seconds(30))
    );
    for flag in ["config-sync-period", "iptables-sync-period", "sync-period"] {
        assert_eq!(
            wrong(by_flags(&[&format!("--{flag}=0"), "--min-sync-period=0"])),
            [format!("--{flag}: 0s must be greater than 0")]
        );
    }
}

#[test]
fn flags_mean_what_they_mean_to_kube_proxy() {
    let options = options(by_flags(&[
        "--cluster-cidr=10.244.0.0/16,fd00:10:244::/48",
        "--masquerade-all",
        "--iptables-masquerade-bit=10",
        "--hostname-override= Node1 ",
        "--bind-address=192.0.2.1",
        "--kubeconfig=/k",
        "--master=https://192.0.2.2",
        "--conntrack-min=7",
        "--oom-score-adj=0x10",
        "--startup-taint=example.com/proxy",
    ]));
    let settings = &options.settings;
    let nets = ["10.244.0.0/16", "fd00:10:244::/48"].map(|net| net.parse().unwrap());
    assert_eq!(settings.detect_local, DetectLocal::ClusterCidr(nets.into()));
    assert!(settings.masquerade_all && settings.external_ips);
    assert_eq!(settings.masquerade_mark, 1 << 10);
    assert_eq!(settings.node_name, "node1");
    assert_eq!(settings.node_ip, Some("192.0.2.1".parse().unwrap()));
    assert_eq!(settings.node_port_addresses, NodePortAddresses::primary());
    assert_eq!(
        options.source,
        SourceOptions::Api {
            kubeconfig: Some("/k".into()),
            master: Some("https://192.0.2.2".to_owned())
        }
    );
    assert_eq!((options.conntrack.min, options.oom_score_adj), (7, 16));
    assert_eq!(options.startup_taint.as_deref(), Some("example.com/proxy"));
    assert!(options.config.nftables.masquerade_all && !options.config.iptables.masquerade_all);
}

#[test]
fn node_port_words_and_networks_add_up() {
    let addresses = options(by_flags(&[
        "--nodeport-addresses=primary,localhost,198.18.0.0/15",
    ]))
    .settings
    .node_port_addresses;
    assert!(addresses.primary && addresses.localhost && !addresses.all);
    assert_eq!(addresses.networks, ["198.18.0.0/15".parse().unwrap()]);
}

#[test]
fn the_bit_of_another_mode_does_not_count() {
    let explicit = by_flags(&["--proxy-mode=nftables", "--iptables-masquerade-bit=10"]).unwrap();
    assert_eq!(explicit.options.settings.masquerade_mark, 1 << 14);
    assert_eq!(
        explicit.warnings,
        [
            "--iptables-masquerade-bit does not count in nftables mode; use --nftables-masquerade-bit"
        ]
    );
    let own = by_flags(&["--proxy-mode=nftables", "--nftables-masquerade-bit=9"]).unwrap();
    assert_eq!(own.options.settings.masquerade_mark, 1 << 9);
    assert!(own.warnings.is_empty());
}

#[test]
fn external_ips_are_a_feature() {
    let file = by_file("featureGates: {AllowServiceExternalIPs: false}", &[]);
    assert!(!options(file).settings.external_ips);
    let flags = by_flags(&["--feature-gates=AllowServiceExternalIPs=false"]);
    assert!(!options(flags).settings.external_ips);
}

#[test]
fn all_flags_are_told_with_their_values() {
    let values = options(by_flags(&["--feature-gates=B=true,A=false", "--v", "3"])).flags;
    for (name, expected) in [
        ("feature-gates", "A=false,B=true"),
        ("v", "3"),
        ("config-sync-period", "15m0s"),
        ("nodeport-addresses", "[]"),
        ("conntrack-min", "131072"),
        (
            "machine-id-file",
            "/etc/machine-id,/var/lib/dbus/machine-id",
        ),
    ] {
        assert_eq!(values[name], expected);
    }
}
