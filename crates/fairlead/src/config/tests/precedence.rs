//! What counts of flags and file, and what has no effect.

use fairlead_core::settings::DetectLocal;

use super::{by_file, by_flags, options};
use crate::app::SourceOptions;
use crate::config::Configured;

#[test]
fn a_file_makes_most_flags_void() {
    let flags = [
        "--cluster-cidr=10.0.0.0/8",
        "--masquerade-all",
        "--hostname-override=Other",
        "--master=https://192.0.2.2",
        "--manifests=/m",
        "--traffic-counters=false",
        "-v=5",
        "--vmodule=b=2",
    ];
    let fields = "hostnameOverride: node1\nlogging: {verbosity: 2, vmodule: [{filePattern: a, verbosity: 1}]}";
    let configured = by_file(fields, &flags).unwrap();
    let options = configured.options;
    assert_eq!(options.settings.detect_local, DetectLocal::None);
    assert!(!options.settings.masquerade_all && !options.settings.traffic_counters);
    assert_eq!(options.settings.node_name, "other");
    assert_eq!(options.verbosity, 5);
    assert_eq!(options.source, SourceOptions::Manifests("/m".into()));
    let modules: Vec<_> = options
        .config
        .logging
        .vmodule
        .iter()
        .map(|item| &*item.file_pattern)
        .collect();
    assert_eq!(modules, ["b", "a"]);
    assert_eq!(
        configured.warnings,
        [
            "ignored because of --config: --cluster-cidr, --masquerade-all",
            "--vmodule has no effect: it names source files of kube-proxy"
        ]
    );
    let same = by_file("hostnameOverride: node1\nlogging: {verbosity: 2}", &[]);
    assert_eq!(options_name(same), ("node1".to_owned(), 2));
}

#[test]
fn flags_about_the_log_count_more_than_the_file() {
    let file = "logging: {verbosity: 1, format: json}";
    for (fields, flags, verbosity, json) in [
        ("", &[][..], 0, false),
        (file, &[], 1, true),
        ("", &["-v=4", "--logging-format=json"], 4, true),
        (file, &["--logging-format=text"], 1, false),
        (
            file,
            &["-v=4", "--logging-format=text", "--masquerade-all"],
            4,
            false,
        ),
    ] {
        let options = options(by_file(fields, flags));
        assert_eq!(
            (options.verbosity, options.json_log),
            (verbosity, json),
            "{fields} {flags:?}"
        );
        assert!(!options.settings.masquerade_all);
    }
}

fn options_name(configured: Result<Configured, String>) -> (String, i32) {
    let options = options(configured);
    (options.settings.node_name, options.verbosity)
}

#[test]
fn what_has_no_effect_is_said_once() {
    let flags = [
        "--healthz-port=10256",
        "--enable-dsr",
        "--boot_id_file=/x",
        "--logtostderr",
        "--config-sync-period=1m",
        "--feature-gates=CPUManager=true",
    ];
    assert_eq!(
        by_flags(&flags).unwrap().warnings,
        [
            "--healthz-port does not count: 0.0.0.0:10256 has a port already; give the port with --healthz-bind-address",
            "--boot-id-file has no effect: nothing here asks for the boot's id",
            "--config-sync-period has no effect: watches lose nothing that listing again would find",
            "--enable-dsr has no effect: it is for Windows",
            "--healthz-port is deprecated: use --healthz-bind-address",
            "--logtostderr has no effect: kube-proxy 1.25 was the last to have it; logs go to standard error",
            "--feature-gates: CPUManager is unknown here and ignored",
        ]
    );
    let fields = "udpIdleTimeout: 250ms\nwinkernel:\n  sourceVip: 10.0.0.1\nportRange: 1-2\nclientConnection: {acceptContentTypes: x, qps: 50}\n";
    assert_eq!(
        by_file(fields, &[]).unwrap().warnings,
        [
            "config.conf:7: clientConnection.qps has no effect: the API is sent a few requests, and less when it fails",
            "config.conf:5: winkernel.sourceVip has no effect: it is for Windows",
            "config.conf:7: clientConnection.acceptContentTypes has no effect: the API is always asked for JSON",
            "config.conf:6: portRange has no effect: it is for userspace mode",
            "config.conf:3: udpIdleTimeout has no effect: it is for userspace mode",
        ]
    );
}
