//! What flags and fields mean in userspace mode, and that they mean nothing in others.

use std::time::Duration;

use fairlead_core::settings::UserspaceSettings;

use super::{by_file, by_flags, file, given};
use crate::cli::flags::{Given, Invocation};
use crate::config::complete::{Completed, complete};
use crate::config::validate::Findings;
use crate::config::{Mode, UserspaceOptions, file as files, userspace, yaml};

/// What userspace mode is told, or what is wrong.
type Told = Result<(UserspaceSettings, UserspaceOptions), Vec<String>>;

fn told(completed: &Completed<'_>) -> Told {
    let mut findings = Findings::new(completed.origin());
    let settings = userspace::settings(completed, &mut findings);
    let options = userspace::options(completed, &mut findings);
    match findings.errors {
        errors if errors.is_empty() => Ok((settings, options)),
        errors => Err(errors),
    }
}

fn in_mode(mode: &str, flags: &[&str]) -> Given {
    let mode = format!("--proxy-mode={mode}");
    given(Invocation::KubeProxy, &[&[&*mode], flags].concat())
}

/// By flags of userspace mode.
fn by(flags: &[&str]) -> Told {
    told(&complete(&in_mode("userspace", flags), None))
}

/// By a file of userspace mode with these fields, and flags that count besides.
fn by_fields(fields: &str, flags: &[&str]) -> Told {
    let given = given(
        Invocation::KubeProxy,
        &[flags, &["--config=config.conf"]].concat(),
    );
    let file = files::read("config.conf", &file(&format!("mode: userspace\n{fields}")));
    told(&complete(&given, Some(file.unwrap())))
}

const OWN: [&str; 5] = [
    "--userspace-source-address=client",
    "--userspace-dial-timeouts=100ms, 1s",
    "--userspace-max-connections=5000",
    "--userspace-drain-timeout=1m",
    "--userspace-threads=2",
];

#[test]
fn all_counts_by_flags_and_by_file() {
    let kube_proxys = ["--proxy-port-range=20000-20099", "--udp-timeout=2s"];
    let fields = "portRange: 20000+99\nudpIdleTimeout: 2s";
    for told in [
        by(&[&kube_proxys[..], &OWN].concat()),
        by_fields(fields, &OWN),
    ] {
        let (settings, options) = told.unwrap();
        let expected = UserspaceSettings {
            ports: 20_000..=20_099,
            keep_source: true,
        };
        assert_eq!(settings, expected);
        let expected = UserspaceOptions {
            dial_timeouts: [100, 1000].map(Duration::from_millis).into(),
            udp_idle: Duration::from_secs(2),
            max_connections: 5000,
            drain: Duration::from_mins(1),
            threads: 2,
        };
        assert_eq!(options, expected);
    }
}

#[test]
fn what_is_not_given_has_its_default() {
    let expected = (UserspaceSettings::default(), UserspaceOptions::default());
    assert_eq!(expected.1.udp_idle, Duration::from_secs(30));
    for told in [
        by(&[]),
        by_fields("", &[]),
        // No time is not given, in a file.
        by_fields("udpIdleTimeout: 0s\nportRange: 0-0", &[]),
        by(&[
            "--proxy-port-range=0",
            "--userspace-drain-timeout=20s",
            "--userspace-dial-timeouts=250ms,500ms,1s,2s",
        ]),
    ] {
        assert_eq!(told.unwrap(), expected);
    }
}

#[test]
fn a_range_of_ports_is_written_in_each_of_kube_proxys_ways() {
    for (text, ports) in [
        ("1-65535", 1..=65_535),
        ("11000+18999", 11_000..=29_999),
        ("11000+0", 11_000..=11_000),
        (" 11000 ", 11_000..=11_000),
        ("", 11_000..=29_999),
    ] {
        let (settings, _) = by(&[&format!("--proxy-port-range={text}")]).unwrap();
        assert_eq!(settings.ports, ports, "{text}");
    }
}

#[test]
fn what_cannot_be_is_refused() {
    let like = "write it like 11000-29999, 11000+18999 or 11000";
    let give = "give 1 to 8 durations, like 250ms,500ms,1s,2s";
    for (flag, value, message) in [
        (
            "proxy-port-range",
            "ports",
            format!("\"ports\" is not a range of ports; {like}"),
        ),
        (
            "proxy-port-range",
            "1-2+3",
            format!("\"1-2+3\" is not a range of ports; {like}"),
        ),
        (
            "proxy-port-range",
            "2-",
            format!("\"2-\" is not a range of ports; {like}"),
        ),
        (
            "proxy-port-range",
            "20-10",
            "\"20-10\" ends before it begins".to_owned(),
        ),
        (
            "proxy-port-range",
            "0-10",
            "\"0-10\" goes beyond the ports 1 to 65535".to_owned(),
        ),
        (
            "proxy-port-range",
            "60000+9999",
            "\"60000+9999\" goes beyond the ports 1 to 65535".to_owned(),
        ),
        ("udp-timeout", "0", "0s must be greater than 0".to_owned()),
        (
            "userspace-source-address",
            "pod",
            "\"pod\" is neither node nor client".to_owned(),
        ),
        ("userspace-dial-timeouts", "", format!("is empty; {give}")),
        (
            "once",
            "true",
            "nobody carries traffic in userspace mode once the program has ended".to_owned(),
        ),
        (
            "userspace-dial-timeouts",
            "1s,1s,1s,1s,1s,1s,1s,1s,1s",
            format!("has 9 durations; {give}"),
        ),
        (
            "userspace-dial-timeouts",
            "1s,0",
            "0s must be greater than 0".to_owned(),
        ),
        (
            "userspace-dial-timeouts",
            "1s,",
            "\"\" is not a duration; write it like 30s, 1m30s or 500ms".to_owned(),
        ),
        (
            "userspace-max-connections",
            "-1",
            "-1 must be greater than or equal to 0".to_owned(),
        ),
        (
            "userspace-drain-timeout",
            "-1s",
            "-1s must be greater than or equal to 0".to_owned(),
        ),
        (
            "userspace-threads",
            "65",
            "65 must be within the range [0, 64]".to_owned(),
        ),
    ] {
        let expected = format!("--{flag}: {message}");
        assert_eq!(by(&[&format!("--{flag}={value}")]), Err(vec![expected]));
    }
    let wrong = by_fields("udpIdleTimeout: -1s\nportRange: x", &[]).unwrap_err();
    let expected = [
        format!("config.conf:5: portRange: \"x\" is not a range of ports; {like}"),
        "config.conf:4: udpIdleTimeout: -1s must be greater than 0".to_owned(),
    ];
    assert_eq!(wrong, expected);
}

/// Nobody looks whether it makes sense.
#[test]
fn in_other_modes_it_does_not_count_and_that_is_told() {
    for mode in ["nftables", "iptables", "ipvs"] {
        let flags = [
            "--proxy-port-range=x",
            "--udp-timeout=0",
            "--userspace-source-address=pod",
            "--userspace-dial-timeouts=",
            "--userspace-max-connections=-1",
            "--userspace-drain-timeout=-1s",
            "--userspace-threads=-1",
        ];
        let given = in_mode(mode, &flags);
        let told = told(&complete(&given, None)).unwrap();
        assert_eq!(told, Default::default());
        let mode_flag = format!("--proxy-mode={mode}");
        let configured = by_flags(&[&[&*mode_flag], &flags[..]].concat()).unwrap();
        let name = |flag: &&str| flag.split_once('=').map(|(name, _)| name.to_owned());
        let mut names: Vec<String> = flags.iter().filter_map(name).collect();
        names.sort();
        let expected: Vec<String> = names
            .iter()
            .map(|name| format!("{name} does not count in {mode} mode; it is for userspace mode"))
            .collect();
        let mut warnings = configured.warnings;
        warnings.sort();
        assert_eq!(warnings, expected);
    }
}

#[test]
fn what_is_written_for_other_modes_suits_kube_proxy() {
    let written = |fields: &str| yaml(&by_file(fields, &[]).unwrap().options.config).unwrap();
    assert!(!written("").contains("udpIdleTimeout"));
    assert!(written("udpIdleTimeout: 250ms").contains("\nudpIdleTimeout: 250ms\n"));
    let of_the_mode = complete(&in_mode("userspace", &[]), None).config;
    let text = yaml(&of_the_mode).unwrap();
    assert!(text.contains("\nudpIdleTimeout: 30s\n"), "{text}");
}

#[test]
fn what_other_modes_have_counts_in_it_too() {
    let fields =
        "mode: userspace\niptables: {masqueradeBit: 7, masqueradeAll: true, syncPeriod: 40s}";
    let flags = [
        "--proxy-mode=userspace",
        "--iptables-masquerade-bit=7",
        "--masquerade-all",
        "--iptables-sync-period=40s",
    ];
    for configured in [by_file(fields, &[]), by_flags(&flags)] {
        let configured = configured.unwrap();
        assert_eq!(configured.warnings, [""; 0]);
        let options = configured.options;
        assert_eq!(options.mode, Mode::Userspace);
        assert_eq!(options.sync_period, Duration::from_secs(40));
        let settings = options.settings;
        assert_eq!(settings.masquerade_mark, 1 << 7);
        assert!(settings.masquerade_all && settings.scheduling_by_service);
        assert!(settings.node_port_addresses.all && !settings.traffic_counters);
    }
}

#[test]
fn what_does_not_count_in_it_is_told() {
    let flags = [
        "--proxy-mode=userspace",
        "--traffic-counters",
        "--ipvs-fallback=none",
        "--iptables-variant=nft",
        "--nftables-masquerade-bit=3",
    ];
    let expected = [
        "--nftables-masquerade-bit does not count in userspace mode; use --iptables-masquerade-bit",
        "--traffic-counters does not count in userspace mode; the relay counts by itself, see \
         fairlead_userspace_* at /metrics",
        "--iptables-variant does not count in userspace mode; it is for iptables mode",
        "--ipvs-fallback does not count in userspace mode; it is for ipvs mode",
    ];
    assert_eq!(by_flags(&flags).unwrap().warnings, expected);
}
