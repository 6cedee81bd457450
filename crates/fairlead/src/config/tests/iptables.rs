//! What flags and fields mean in iptables mode.

use std::time::Duration;

use fairlead_core::settings::NodePortAddresses;

use super::{by_file, by_flags, check, options, wrong};
use crate::app::Options;
use crate::config::{Configured, IptablesVariant, Mode};

/// Flags of iptables mode.
fn by(flags: &[&str]) -> Result<Configured, String> {
    let all: Vec<&str> = [&["--proxy-mode=iptables"], flags].concat();
    by_flags(&all)
}

/// The bit of the mark, whether all is masqueraded, the least and the longest period.
fn section(options: &Options) -> (u32, bool, Duration, Duration) {
    let settings = &options.settings;
    let bit = settings.masquerade_mark.trailing_zeros();
    let (least, longest) = (options.min_sync_period, options.sync_period);
    (bit, settings.masquerade_all, least, longest)
}

#[test]
fn the_mode_is_the_one_that_is_named() {
    for (mode, expected) in [
        ("", Mode::Nftables),
        ("nftables", Mode::Nftables),
        ("iptables", Mode::Iptables),
        ("ipvs", Mode::Ipvs),
    ] {
        let flag = format!("--proxy-mode={mode}");
        assert_eq!(options(by_flags(&[&flag])).mode, expected);
        let file = by_file(&format!("mode: '{mode}'"), &[]);
        assert_eq!(options(file).mode, expected);
    }
}

#[test]
fn its_own_section_counts_and_no_other() {
    let seconds = Duration::from_secs;
    let usual = (14, false, seconds(1), seconds(30));
    let other = (7, true, seconds(2), seconds(40));
    let section_of = |configured| section(&options(configured));
    assert_eq!(section_of(by(&[])), usual);
    let flags = [
        "--iptables-masquerade-bit=7",
        "--masquerade-all",
        "--iptables-min-sync-period=2s",
        "--iptables-sync-period=40s",
    ];
    assert_eq!(section_of(by(&flags)), other);
    let fields = "{masqueradeBit: 7, masqueradeAll: true, minSyncPeriod: 2s, syncPeriod: 40s}";
    let file = |name| by_file(&format!("mode: iptables\n{name}: {fields}"), &[]);
    assert_eq!(section_of(file("iptables")), other);
    assert_eq!(section_of(file("nftables")), usual);
}

#[test]
fn the_configuration_in_effect_has_its_section_alone() {
    let config = options(by(&["--masquerade-all"])).config;
    assert!(config.iptables.masquerade_all && !config.nftables.masquerade_all);
    let shown = |duration: crate::config::duration::GoDuration| duration.to_string();
    assert_eq!(shown(config.iptables.sync_period), "30s");
    assert_eq!(shown(config.nftables.sync_period), "0s");
    assert_eq!(shown(config.ipvs.sync_period), "0s");
}

#[test]
fn node_ports_answer_everywhere_unless_something_else_is_said() {
    let nothing = NodePortAddresses::default;
    // entries, localhostNodePorts, what they come to, and whether that is localhost, too
    for (entries, loopback, expected, localhost) in [
        (
            "",
            true,
            NodePortAddresses {
                all: true,
                ..nothing()
            },
            true,
        ),
        (
            "",
            false,
            NodePortAddresses {
                all: true,
                ..nothing()
            },
            false,
        ),
        ("primary", true, NodePortAddresses::primary(), false),
        (
            "primary,localhost",
            true,
            NodePortAddresses {
                localhost: true,
                ..NodePortAddresses::primary()
            },
            true,
        ),
        (
            "all",
            true,
            NodePortAddresses {
                all: true,
                ..nothing()
            },
            true,
        ),
        (
            "127.0.0.0/8",
            true,
            NodePortAddresses {
                networks: vec!["127.0.0.0/8".parse().unwrap()],
                ..nothing()
            },
            true,
        ),
        (
            "127.0.0.0/8",
            false,
            NodePortAddresses {
                networks: vec!["127.0.0.0/8".parse().unwrap()],
                ..nothing()
            },
            false,
        ),
    ] {
        let addresses = format!("--nodeport-addresses={entries}");
        let switch = format!("--iptables-localhost-nodeports={loopback}");
        let by_flags = options(by(&[&addresses, &switch])).settings;
        let expected = NodePortAddresses {
            loopback,
            ..expected
        };
        assert_eq!(by_flags.node_port_addresses, expected, "{entries}");
        assert_eq!(expected.serves_localhost(), localhost, "{entries}");
        let fields = format!(
            "mode: iptables\nnodePortAddresses: [{entries}]\niptables: {{localhostNodePorts: {loopback}}}"
        );
        let by_file = options(by_file(&fields, &[])).settings;
        assert_eq!(by_file.node_port_addresses, expected, "{entries}");
    }
    // The switch is on, and nothing to nftables mode.
    assert!(options(by(&[])).settings.node_port_addresses.loopback);
    let nftables = options(by_flags(&["--iptables-localhost-nodeports"])).settings;
    assert_eq!(nftables.node_port_addresses, NodePortAddresses::primary());
}

#[test]
fn localhost_is_not_wanted_and_refused_at_once() {
    let contradiction =
        "the word localhost contradicts iptables.localhostNodePorts, which is false";
    let flags = [
        "--nodeport-addresses=localhost",
        "--iptables-localhost-nodeports=false",
    ];
    assert_eq!(
        wrong(by(&flags)),
        [format!("--nodeport-addresses: {contradiction}")]
    );
    check(&[(
        "mode: iptables\niptables: {localhostNodePorts: false}\nnodePortAddresses: [localhost]",
        &format!("config.conf:5: nodePortAddresses: {contradiction}"),
    )]);
}

#[test]
fn wrong_fields_of_its_section_are_told() {
    check(&[
        (
            "mode: iptables\niptables: {masqueradeBit: 32}",
            "config.conf:4: iptables.masqueradeBit: 32 must be within the range [0, 31]",
        ),
        (
            "mode: iptables\niptables: {syncPeriod: -1s, minSyncPeriod: -2s}",
            "config.conf:4: iptables.syncPeriod: -1s must be greater than 0\nconfig.conf:4: iptables.minSyncPeriod: -2s must be greater than or equal to 0",
        ),
        (
            "mode: iptables\niptables: {syncPeriod: 1s, minSyncPeriod: 5s}",
            "config.conf:4: iptables.syncPeriod: 1s must be greater than or equal to 5s of config.conf:4: iptables.minSyncPeriod",
        ),
    ]);
    let periods = ["--iptables-sync-period=1s", "--iptables-min-sync-period=2s"];
    let expected = "--iptables-sync-period: 1s must be greater than or equal to 2s of --iptables-min-sync-period";
    assert_eq!(wrong(by(&periods)), [expected]);
}

#[test]
fn the_variant_is_one_of_three() {
    let variant = |flags: &[&str]| options(by(flags)).iptables_variant;
    assert_eq!(variant(&[]), IptablesVariant::Auto);
    for (word, expected) in [
        ("auto", IptablesVariant::Auto),
        ("nft", IptablesVariant::Nft),
        ("legacy", IptablesVariant::Legacy),
    ] {
        let flag = format!("--iptables-variant={word}");
        assert_eq!(variant(&[&flag]), expected);
        // It counts with a file too, which cannot say it.
        let file = by_file("mode: iptables", &[&flag]).unwrap();
        assert_eq!(file.options.iptables_variant, expected);
        assert_eq!(file.warnings, [""; 0]);
    }
    let expected = "--iptables-variant: \"xtables\" is none of auto, nft and legacy";
    assert_eq!(wrong(by(&["--iptables-variant=xtables"])), [expected]);
    let file = by_file("mode: iptables", &["--iptables-variant=xtables"]);
    assert_eq!(wrong(file), [expected]);
}

#[test]
fn traffic_is_not_counted_and_who_asks_for_it_is_told() {
    let no_counters =
        "iptables mode; its rules are kube-proxy's, which do not count the traffic of Services";
    for (flags, told) in [
        (&[][..], &[][..]),
        (&["--traffic-counters=false"], &[]),
        (&["--traffic-counters"], &["--traffic-counters"]),
        (&["--metrics-max-services=5"], &["--metrics-max-services"]),
    ] {
        let told: Vec<_> = told
            .iter()
            .map(|flag| format!("{flag} does not count in {no_counters}"))
            .collect();
        let file = by_file("mode: iptables", flags).unwrap();
        for configured in [by(flags).unwrap(), file] {
            assert!(!configured.options.settings.traffic_counters);
            assert_eq!(configured.warnings, told, "{flags:?}");
        }
    }
}

#[test]
fn flags_of_the_other_mode_are_told() {
    let warnings = |mode: &str, flags: &[&str]| {
        let mode = format!("--proxy-mode={mode}");
        by_flags(&[&[&*mode], flags].concat()).unwrap().warnings
    };
    assert_eq!(
        warnings("iptables", &["--nftables-masquerade-bit=9"]),
        [
            "--nftables-masquerade-bit does not count in iptables mode; use --iptables-masquerade-bit"
        ]
    );
    let flags = ["--iptables-localhost-nodeports", "--iptables-variant=nft"];
    let expected = [
        "--iptables-localhost-nodeports does not count in nftables mode; use the word localhost in \
         --nodeport-addresses",
        "--iptables-variant does not count in nftables mode; it is for iptables mode",
    ];
    assert_eq!(warnings("nftables", &flags), expected);
    assert_eq!(warnings("", &flags), expected);
    let off = ["--iptables-localhost-nodeports=false"];
    assert_eq!(warnings("nftables", &off), [""; 0]);
}
