//! What flags and fields mean in ipvs mode, and in the mode that runs in its place.

use std::time::Duration;

use fairlead_core::scheduling::{Scheduler, Scheduling};
use fairlead_core::settings::{IpvsSettings, NodePortAddresses};
use fairlead_kernel::ipvs::server::Timeouts;

use super::{by_file, by_flags, check, options, wrong};
use crate::app::Options;
use crate::config::{Configured, IpvsOptions, Mode};

/// Flags of ipvs mode.
fn by(flags: &[&str]) -> Result<Configured, String> {
    let all: Vec<&str> = [&["--proxy-mode=ipvs"], flags].concat();
    by_flags(&all)
}

/// A file of ipvs mode with these fields in its section.
fn section(fields: &str) -> Result<Configured, String> {
    by_file(&format!("mode: ipvs\nipvs: {{{fields}}}"), &[])
}

#[test]
fn its_section_counts_by_flags_and_by_file() {
    let flags = [
        "--ipvs-scheduler=lc",
        "--ipvs-exclude-cidrs=10.0.0.0/8,fd00::/8",
        "--ipvs-strict-arp",
        "--ipvs-tcp-timeout=15m",
        "--ipvs-tcpfin-timeout=2m",
        "--ipvs-udp-timeout=5m1.9s",
        "--ipvs-sync-period=40s",
        "--ipvs-min-sync-period=2s",
    ];
    let fields = "scheduler: lc, excludeCIDRs: [10.0.0.0/8, 'fd00::/8'], strictARP: true, tcpTimeout: 15m, \
                  tcpFinTimeout: 2m, udpTimeout: 5m1.9s, syncPeriod: 40s, minSyncPeriod: 2s";
    for configured in [by(&flags), section(fields)] {
        let configured = configured.unwrap();
        assert_eq!(configured.warnings, [""; 0]);
        let options = configured.options;
        let settings = IpvsSettings {
            scheduling: Scheduler::Lc.into(),
            exclude_cidrs: vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()],
        };
        assert_eq!(options.settings.ipvs, settings);
        let timeouts = Timeouts {
            tcp: 900,
            tcp_fin: 120,
            udp: 301,
        };
        let rest = IpvsOptions {
            strict_arp: true,
            timeouts,
        };
        assert_eq!(options.ipvs, rest);
        let seconds = Duration::from_secs;
        let periods = (options.min_sync_period, options.sync_period);
        assert_eq!(periods, (seconds(2), seconds(40)));
    }
}

#[test]
fn what_is_not_given_is_as_with_kube_proxy() {
    let seconds = Duration::from_secs;
    for (configured, least) in [(by(&[]), seconds(1)), (section(""), seconds(0))] {
        let options = options(configured);
        assert_eq!(options.settings.ipvs, IpvsSettings::default());
        assert_eq!(options.settings.ipvs.scheduling.scheduler, Scheduler::Rr);
        assert_eq!(options.ipvs, IpvsOptions::default());
        let periods = (options.min_sync_period, options.sync_period);
        assert_eq!(periods, (least, seconds(30)));
        let all = NodePortAddresses {
            all: true,
            ..NodePortAddresses::default()
        };
        assert_eq!(options.settings.node_port_addresses, all);
        assert!(!options.settings.traffic_counters);
    }
}

#[test]
fn masquerading_is_that_of_iptables_mode() {
    let fields = "mode: ipvs\niptables: {masqueradeBit: 7, masqueradeAll: true}\nnftables: {masqueradeBit: 3}";
    let flags = ["--iptables-masquerade-bit=7", "--masquerade-all"];
    for configured in [by(&flags), by_file(fields, &[])] {
        let settings = options(configured).settings;
        assert_eq!(settings.masquerade_mark, 1 << 7);
        assert!(settings.masquerade_all);
    }
}

#[test]
fn a_scheduler_is_one_of_the_kernels_with_its_flags() {
    let of = |text: &str| {
        options(section(&format!("scheduler: '{text}'")))
            .settings
            .ipvs
    };
    for scheduler in Scheduler::in_ipvs() {
        assert_eq!(of(scheduler.name()).scheduling, Scheduling::from(scheduler));
    }
    let sh = of("sh,sh-port").scheduling;
    assert_eq!((sh.scheduler, sh.port), (Scheduler::Sh, true));
    let known = "rr, wrr, lc, wlc, lblc, lblcr, dh, sh, mh, sed, nq, fo, ovf, p2c";
    for (text, message) in [
        ("p2c", "scheduler p2c is not one of the kernel's".to_owned()),
        (
            "random",
            format!("there is no scheduler \"random\"; there are {known}"),
        ),
        (
            " ",
            format!("there is no scheduler \"\"; there are {known}"),
        ),
        (
            "rr,rr-port",
            "scheduler rr has no flag \"rr-port\"".to_owned(),
        ),
    ] {
        let expected = format!("config.conf:4: ipvs.scheduler: {message}");
        assert_eq!(wrong(section(&format!("scheduler: '{text}'"))), [expected]);
        let expected = format!("--ipvs-scheduler: {message}");
        assert_eq!(
            wrong(by(&[&format!("--ipvs-scheduler={text}")])),
            [expected]
        );
    }
}

#[test]
fn what_cannot_be_is_refused() {
    check(&[
        (
            "mode: ipvs\nipvs: {tcpTimeout: 0s, tcpFinTimeout: 0s, udpTimeout: 0s}",
            "",
        ),
        (
            "mode: ipvs\nipvs: {udpTimeout: -1s}",
            "config.conf:4: ipvs.udpTimeout: -1s must be greater than or equal to 0",
        ),
        (
            "mode: ipvs\nipvs: {syncPeriod: -1s}",
            "config.conf:4: ipvs.syncPeriod: -1s must be greater than 0\n\
             config.conf:4: ipvs.syncPeriod: -1s must be greater than or equal to 0s of config.conf: ipvs.minSyncPeriod",
        ),
        (
            "mode: ipvs\nipvs: {minSyncPeriod: -1s}",
            "config.conf:4: ipvs.minSyncPeriod: -1s must be greater than or equal to 0",
        ),
        (
            "mode: ipvs\nipvs: {syncPeriod: 1s, minSyncPeriod: 2s}",
            "config.conf:4: ipvs.syncPeriod: 1s must be greater than or equal to 2s of config.conf:4: ipvs.minSyncPeriod",
        ),
        (
            "mode: ipvs\nipvs: {excludeCIDRs: ['', 10.0.0.0/8, 10.0.0.1]}",
            "config.conf:4: ipvs.excludeCIDRs[0]: \"\" is not a network in CIDR notation (an example: 10.0.0.0/8)\n\
             config.conf:4: ipvs.excludeCIDRs[2]: \"10.0.0.1\" is not a network in CIDR notation (an example: 10.0.0.0/8)",
        ),
        (
            "mode: ipvs\nipvs: {excludeCIDRs: [0.0.0.0/0, '::/0', 10.0.0.0/8, 192.0.2.1/32, 'fd00:1::/64']}",
            "",
        ),
        (
            "mode: ipvs\nipvs: {excludeCIDRs: [10.0.0.0/33, 'fd00::/129', 10.0.0/8, 'fd00::1', all]}",
            "config.conf:4: ipvs.excludeCIDRs[0]: \"10.0.0.0/33\" is not a network in CIDR notation (an example: 10.0.0.0/8)\n\
             config.conf:4: ipvs.excludeCIDRs[1]: \"fd00::/129\" is not a network in CIDR notation (an example: 10.0.0.0/8)\n\
             config.conf:4: ipvs.excludeCIDRs[2]: \"10.0.0/8\" is not a network in CIDR notation (an example: 10.0.0.0/8)\n\
             config.conf:4: ipvs.excludeCIDRs[3]: \"fd00::1\" is not a network in CIDR notation (an example: 10.0.0.0/8)\n\
             config.conf:4: ipvs.excludeCIDRs[4]: \"all\" is not a network in CIDR notation (an example: 10.0.0.0/8)",
        ),
        (
            "mode: ipvs\nnodePortAddresses: [localhost]",
            "config.conf:4: nodePortAddresses: node ports cannot answer on localhost in ipvs mode",
        ),
        // Nobody looks at the section of another mode.
        (
            "mode: iptables\nipvs: {scheduler: foo, udpTimeout: -1s, excludeCIDRs: [x]}",
            "",
        ),
    ]);
}

#[test]
fn the_fallback_is_one_of_three_words() {
    let fallback = |flags: &[&str]| options(by(flags)).fallback.map(|fallback| fallback.mode);
    assert_eq!(fallback(&[]), Some(Mode::Nftables));
    for (word, expected) in [
        ("nftables", Some(Mode::Nftables)),
        ("iptables", Some(Mode::Iptables)),
        ("none", None),
    ] {
        let flag = format!("--ipvs-fallback={word}");
        assert_eq!(fallback(&[&flag]), expected);
        // It counts with a file too, which cannot say it.
        let file = by_file("mode: ipvs", &[&flag]).unwrap();
        assert_eq!(
            file.options.fallback.map(|fallback| fallback.mode),
            expected
        );
        assert_eq!(file.warnings, [""; 0]);
    }
    let expected = "--ipvs-fallback: \"ebpf\" is none of nftables, iptables and none";
    assert_eq!(wrong(by(&["--ipvs-fallback=ebpf"])), [expected]);
    assert_eq!(wrong(by_flags(&["--ipvs-fallback=ebpf"])), [expected]);
    assert!(options(by_flags(&[])).fallback.is_none());
}

#[test]
fn in_the_fallback_what_was_written_counts_and_the_rest_is_as_that_mode_has_it() {
    let fields = "mode: ipvs\niptables: {masqueradeBit: 7, masqueradeAll: true}\nnftables: {masqueradeBit: 3}\n\
                  ipvs: {scheduler: lc, syncPeriod: 40s}";
    let fall_back = |options: Options, to| {
        let options = options.in_mode(to);
        assert_eq!((options.mode, options.configured()), (to, Mode::Ipvs));
        assert_eq!(options.sync_period, Duration::from_secs(40));
        let settings = options.settings;
        assert_eq!(settings.masquerade_mark, 1 << 7);
        assert!(settings.masquerade_all && !settings.scheduling_by_service);
        settings
    };
    let nftables = fall_back(options(by_file(fields, &[])), Mode::Nftables);
    assert_eq!(nftables.node_port_addresses, NodePortAddresses::primary());
    assert!(nftables.traffic_counters);
    let to_iptables = by_file(fields, &["--ipvs-fallback=iptables"]);
    let iptables = fall_back(options(to_iptables), Mode::Iptables);
    assert!(iptables.node_port_addresses.all && iptables.node_port_addresses.loopback);
    assert!(!iptables.traffic_counters);
}

#[test]
fn a_mode_that_is_no_fallback_changes_nothing() {
    let before = options(by_file("mode: ipvs", &[]));
    let after = before.clone().in_mode(Mode::Ipvs);
    assert_eq!(
        (after.mode, &after.settings),
        (Mode::Ipvs, &before.settings)
    );
    assert!(after.fallback.is_some());
}

#[test]
fn what_does_not_count_is_told() {
    let flags = [
        "--nftables-masquerade-bit=3",
        "--iptables-localhost-nodeports",
        "--traffic-counters",
        "--metrics-max-services=5",
    ];
    let expected = [
        "--nftables-masquerade-bit does not count in ipvs mode; use --iptables-masquerade-bit",
        "--iptables-localhost-nodeports does not count in ipvs mode; its node ports never answer on localhost",
        "--traffic-counters does not count in ipvs mode; IPVS counts by itself, see ipvsadm --list --stats",
        "--metrics-max-services does not count in ipvs mode; IPVS counts by itself, see ipvsadm --list --stats",
    ];
    assert_eq!(by(&flags).unwrap().warnings, expected);
    for mode in ["nftables", "iptables"] {
        let expected =
            format!("--ipvs-fallback does not count in {mode} mode; it is for ipvs mode");
        let flags = [&*format!("--proxy-mode={mode}"), "--ipvs-fallback=none"];
        assert_eq!(by_flags(&flags).unwrap().warnings, [expected]);
    }
}
