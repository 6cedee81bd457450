//! What the kernel is to keep, and what tells the node's pods: each by its own flag and field.

use std::time::Duration;

use fairlead_core::parameters::ConntrackSettings;
use fairlead_core::settings::DetectLocal;

use super::{by_file, by_flags, options};

/// A change of the defaults.
type Set = fn(&mut ConntrackSettings);

#[test]
fn what_is_tracked_has_a_flag_and_a_field_for_each_setting() {
    let rows: [(&str, &str, Set); 10] = [
        ("max-per-core=7", "maxPerCore: 7", |s| s.max_per_core = 7),
        ("max-per-core=0", "maxPerCore: 0", |s| s.max_per_core = 0),
        ("min=7", "min: 7", |s| s.min = 7),
        ("min=0", "min: 0", |s| s.min = 0),
        (
            "tcp-timeout-established=7s",
            "tcpEstablishedTimeout: 7s",
            |s| s.tcp_established_timeout = Duration::from_secs(7),
        ),
        (
            "tcp-timeout-established=0",
            "tcpEstablishedTimeout: 0s",
            |s| s.tcp_established_timeout = Duration::ZERO,
        ),
        (
            "tcp-timeout-close-wait=7s",
            "tcpCloseWaitTimeout: 7s",
            |s| s.tcp_close_wait_timeout = Duration::from_secs(7),
        ),
        ("tcp-be-liberal", "tcpBeLiberal: true", |s| {
            s.tcp_be_liberal = true;
        }),
        ("udp-timeout=7s", "udpTimeout: 7s", |s| {
            s.udp_timeout = Duration::from_secs(7);
        }),
        ("udp-timeout-stream=7s", "udpStreamTimeout: 7s", |s| {
            s.udp_stream_timeout = Duration::from_secs(7);
        }),
    ];
    for (flag, field, set) in rows {
        let mut expected = ConntrackSettings::default();
        set(&mut expected);
        let by_flag = options(by_flags(&[&format!("--conntrack-{flag}")]));
        assert_eq!(by_flag.conntrack, expected, "{flag}");
        let by_field = options(by_file(&format!("conntrack: {{{field}}}"), &[]));
        assert_eq!(by_field.conntrack, expected, "{field}");
    }
}

#[test]
fn pods_are_told_as_the_mode_says_and_by_nothing_else() {
    let name = |text: &str| text.to_owned();
    let networks = ["10.0.0.0/14", "fd00:1:2::/64"].map(|net| net.parse().unwrap());
    for (mode, expected) in [
        ("", DetectLocal::ClusterCidr(networks.into())),
        ("ClusterCIDR", DetectLocal::ClusterCidr(networks.into())),
        ("NodeCIDR", DetectLocal::NodeCidr),
        (
            "BridgeInterface",
            DetectLocal::BridgeInterface(name("1234*")),
        ),
        (
            "InterfaceNamePrefix",
            DetectLocal::InterfaceNamePrefix(name("eth0.")),
        ),
    ] {
        let flags = [
            &format!("--detect-local-mode={mode}"),
            "--cluster-cidr=10.0.0.0/14,fd00:1:2::/64",
            "--pod-bridge-interface=1234*",
            "--pod-interface-name-prefix=eth0.",
        ];
        assert_eq!(options(by_flags(&flags)).settings.detect_local, expected);
        let fields = format!(
            "detectLocalMode: '{mode}'\nclusterCIDR: 10.0.0.0/14,fd00:1:2::/64\n\
             detectLocal: {{bridgeInterface: '1234*', interfaceNamePrefix: eth0.}}"
        );
        let by_file = options(by_file(&fields, &[]));
        assert_eq!(by_file.settings.detect_local, expected);
    }
    assert_eq!(
        options(by_flags(&["--detect-local-mode=ClusterCIDR"]))
            .settings
            .detect_local,
        DetectLocal::None
    );
}
