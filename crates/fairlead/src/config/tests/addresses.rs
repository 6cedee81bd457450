//! Where the servers listen.

use super::{by_file, by_flags, given, options, wrong};
use crate::cli::flags::Invocation;
use crate::config::understand;

#[test]
fn addresses_follow_the_nodes_own_and_get_their_usual_port() {
    for (fields, healthz, metrics) in [
        ("bindAddress: ''", "0.0.0.0:10256", "127.0.0.1:10249"),
        ("bindAddress: 10.0.0.1", "0.0.0.0:10256", "127.0.0.1:10249"),
        ("bindAddress: '::'", "[::]:10256", "[::1]:10249"),
        ("bindAddress: ::0", "[::]:10256", "[::1]:10249"),
        ("bindAddress: '2001:db8::1'", "[::]:10256", "[::1]:10249"),
        (
            "healthzBindAddress: 1.2.3.4\nmetricsBindAddress: 'fd00::1'",
            "1.2.3.4:10256",
            "[fd00::1]:10249",
        ),
        (
            "healthzBindAddress: 1.2.3.4:12345\nmetricsBindAddress: '[fd00::1]:1'",
            "1.2.3.4:12345",
            "[fd00::1]:1",
        ),
    ] {
        let options = options(by_file(fields, &[]));
        assert_eq!(options.healthz, Some(healthz.parse().unwrap()), "{fields}");
        assert_eq!(options.metrics, Some(metrics.parse().unwrap()), "{fields}");
    }
}

#[test]
fn with_flags_addresses_are_the_same_and_ports_can_be_flags_of_their_own() {
    for (flags, healthz) in [
        (&[][..], Some("0.0.0.0:10256")),
        (&["--bind-address=::"], Some("[::]:10256")),
        (&["--healthz-bind-address="], Some("0.0.0.0:10256")),
        (&["--healthz-bind-address=1.2.3.4"], Some("1.2.3.4:10256")),
        (
            &["--healthz-bind-address=1.2.3.4", "--healthz-port=9"],
            Some("1.2.3.4:9"),
        ),
        (
            &["--healthz-bind-address=1.2.3.4:8", "--healthz-port=9"],
            Some("1.2.3.4:8"),
        ),
        (
            &["--healthz-bind-address=fd00::1", "--healthz-port=9"],
            Some("[fd00::1]:9"),
        ),
        (
            &["--healthz-bind-address=[fd00::1]:8", "--healthz-port=9"],
            Some("[fd00::1]:8"),
        ),
        (&["--healthz-port=9"], Some("0.0.0.0:10256")),
        (&["--healthz-port=0"], None),
        (
            &["--healthz-bind-address=1.2.3.4", "--healthz-port=0"],
            None,
        ),
    ] {
        let expected = healthz.map(|address| address.parse().unwrap());
        assert_eq!(options(by_flags(flags)).healthz, expected, "{flags:?}");
    }
    assert_eq!(
        wrong(by_flags(&["--metrics-port=0"])),
        ["--metrics-port: is empty, and there must be an address"]
    );
}

#[test]
fn the_metrics_server_has_a_port_flag_too() {
    for (flags, metrics) in [
        (&["--metrics-bind-address=1.2.3.4"][..], "1.2.3.4:10249"),
        (
            &["--metrics-bind-address=1.2.3.4", "--metrics-port=9"],
            "1.2.3.4:9",
        ),
        (
            &["--metrics-bind-address=fd00::1", "--metrics-port=9"],
            "[fd00::1]:9",
        ),
        (
            &["--metrics-bind-address=[fd00::1]:8", "--metrics-port=9"],
            "[fd00::1]:8",
        ),
        (
            &["--healthz-bind-address=1.2.3.4", "--healthz-port=9"],
            "127.0.0.1:10249",
        ),
    ] {
        let expected = metrics.parse().unwrap();
        assert_eq!(
            options(by_flags(flags)).metrics,
            Some(expected),
            "{flags:?}"
        );
    }
}

#[test]
fn an_address_of_the_node_is_given_unless_it_means_all() {
    for (address, given) in [
        ("", None),
        ("0.0.0.0", None),
        ("::", None),
        ("::0", None),
        ("9.8.7.6", Some("9.8.7.6")),
        ("fd00:1::5", Some("fd00:1::5")),
        ("127.0.0.1", Some("127.0.0.1")),
    ] {
        let expected = given.map(|ip| ip.parse().unwrap());
        let field = format!("bindAddress: '{address}'");
        for configured in [
            by_file(&field, &[]),
            by_flags(&[&format!("--bind-address={address}")]),
        ] {
            assert_eq!(options(configured).settings.node_ip, expected, "{address}");
        }
    }
}

#[test]
fn as_fairlead_an_empty_address_is_nowhere() {
    let flags = ["--healthz-bind-address=", "--metrics-bind-address", ""];
    let options = understand(&given(Invocation::Fairlead, &flags), None)
        .unwrap()
        .options;
    assert_eq!((options.healthz, options.metrics), (None, None));
}
