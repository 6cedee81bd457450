//! What is wrong, and how that is said.

use std::fs;

use super::{by_file, by_flags, check, given, wrong};
use crate::cli::flags::Invocation;
use crate::config::load;

#[test]
fn what_kube_proxy_refuses_is_refused_with_its_place() {
    check(&[
        (
            "bindAddress: 10.10.12.11:2000",
            "config.conf:3: bindAddress: \"10.10.12.11:2000\" is not an IP address",
        ),
        (
            "bindAddress: '[::]'",
            "config.conf:3: bindAddress: \"[::]\" is not an IP address",
        ),
        (
            "hostnameOverride: ' '",
            "config.conf:3: hostnameOverride: is empty; give the name of this node's Node object",
        ),
        (
            "healthzBindAddress: 0.0.0.0:0",
            "config.conf:3: healthzBindAddress: \"0\" must be a valid port, 1 to 65535",
        ),
        (
            "metricsBindAddress: 1.2.3.400:80",
            "config.conf:3: metricsBindAddress: \"1.2.3.400\" must be a valid IP",
        ),
        (
            "metricsBindAddress: foo",
            "config.conf:3: metricsBindAddress: \"foo\" must be IP:port",
        ),
        (
            "metricsBindAddress: 192.0.2.1:http",
            "config.conf:3: metricsBindAddress: \"http\" must be a valid port, 1 to 65535",
        ),
        (
            "metricsBindAddress: 192.0.2.1:65536",
            "config.conf:3: metricsBindAddress: \"65536\" must be a valid port, 1 to 65535",
        ),
        (
            "configSyncPeriod: -1s",
            "config.conf:3: configSyncPeriod: -1s must be greater than 0",
        ),
        (
            "oomScoreAdj: -1001",
            "config.conf:3: oomScoreAdj: -1001 must be within the range [-1000, 1000]",
        ),
        (
            "oomScoreAdj: 1001",
            "config.conf:3: oomScoreAdj: 1001 must be within the range [-1000, 1000]",
        ),
        (
            "clientConnection: {burst: -5}",
            "config.conf:3: clientConnection.burst: -5 must be greater than or equal to 0",
        ),
        (
            "showHiddenMetricsForVersion: '1.2'",
            "config.conf:3: showHiddenMetricsForVersion: \"1.2\" must be omitted or have the value 1.35",
        ),
        (
            "logging: {format: unsupported}",
            "config.conf:3: logging.format: \"unsupported\" is no log format; write text or json",
        ),
        (
            "logging: {options: {text: {splitStream: true}}}",
            "config.conf:3: logging.options.text.splitStream: needs the feature gate LoggingAlphaOptions=true",
        ),
        (
            "logging: {options: {json: {infoBufferSize: 5q}}}",
            "config.conf:3: logging.options.json.infoBufferSize: \"5q\" is not a size like 512Ki",
        ),
    ]);
}

#[test]
fn sections_are_refused_with_their_fields() {
    check(&[
        (
            "iptables:\n  masqueradeBit: -10",
            "config.conf:4: iptables.masqueradeBit: -10 must be within the range [0, 31]",
        ),
        (
            "nftables:\n  masqueradeBit: 32",
            "config.conf:4: nftables.masqueradeBit: 32 must be within the range [0, 31]",
        ),
        (
            "nftables: {syncPeriod: -5s, minSyncPeriod: 1s}",
            "config.conf:3: nftables.syncPeriod: -5s must be greater than 0\nconfig.conf:3: nftables.syncPeriod: -5s must be greater than or equal to 1s of config.conf:3: nftables.minSyncPeriod",
        ),
        (
            "nftables: {minSyncPeriod: -1s}",
            "config.conf:3: nftables.minSyncPeriod: -1s must be greater than or equal to 0",
        ),
        (
            "nftables: {syncPeriod: 1s, minSyncPeriod: 5s}",
            "config.conf:3: nftables.syncPeriod: 1s must be greater than or equal to 5s of config.conf:3: nftables.minSyncPeriod",
        ),
        (
            "conntrack: {maxPerCore: -1, min: -1}",
            "config.conf:3: conntrack.maxPerCore: -1 must be greater than or equal to 0\nconfig.conf:3: conntrack.min: -1 must be greater than or equal to 0",
        ),
        (
            "conntrack: {tcpEstablishedTimeout: -5s}",
            "config.conf:3: conntrack.tcpEstablishedTimeout: -5s must be greater than or equal to 0",
        ),
        (
            "conntrack: {tcpCloseWaitTimeout: -5s}",
            "config.conf:3: conntrack.tcpCloseWaitTimeout: -5s must be greater than or equal to 0",
        ),
        (
            "conntrack: {udpTimeout: -5s}",
            "config.conf:3: conntrack.udpTimeout: -5s must be greater than or equal to 0",
        ),
        (
            "conntrack: {udpStreamTimeout: -5s}",
            "config.conf:3: conntrack.udpStreamTimeout: -5s must be greater than or equal to 0",
        ),
    ]);
}

#[test]
fn networks_are_refused_with_their_index() {
    check(&[
        (
            "clusterCIDR: 192.168.0.0",
            "config.conf:3: clusterCIDR: \"192.168.0.0\" is not a network in CIDR notation (an example: 10.0.0.0/8)",
        ),
        (
            "clusterCIDR: 10.0.0.0/8,10.1.0.0/16",
            "config.conf:3: clusterCIDR[1]: 10.1.0.0/16 is a second IPv4 network; give one of each family",
        ),
        (
            "clusterCIDR: 'fd00::/48,10.1.0.0/16,fd01::/48'",
            "config.conf:3: clusterCIDR[2]: fd01::/48 is a second IPv6 network; give one of each family",
        ),
        (
            "clusterCIDR: 10.0.0.0/8,x",
            "config.conf:3: clusterCIDR[1]: \"x\" is not a network in CIDR notation (an example: 10.0.0.0/8)",
        ),
        (
            "detectLocalMode: Guess",
            "config.conf:3: detectLocalMode: \"Guess\" is none of ClusterCIDR, NodeCIDR, BridgeInterface, InterfaceNamePrefix and \"\"",
        ),
        (
            "detectLocalMode: BridgeInterface",
            "config.conf: detectLocal.bridgeInterface: is needed to detect local traffic by BridgeInterface: the name of the bridge",
        ),
        (
            "detectLocalMode: InterfaceNamePrefix\ndetectLocal: {interfaceNamePrefix: ''}",
            "config.conf:4: detectLocal.interfaceNamePrefix: is needed to detect local traffic by InterfaceNamePrefix: how the interfaces' names begin",
        ),
    ]);
    for entry in [
        "foo",
        "1.2.3",
        "'0'",
        "''",
        "10.20.0.1",
        "'::1'",
        "'2001:db8:::1/64'",
        "1.2.3.4/33",
    ] {
        let fields = format!("nodePortAddresses: [10.0.0.0/8, {entry}]");
        let expected = format!(
            "config.conf:3: nodePortAddresses[1]: \"{}\" is neither a network in CIDR notation nor one of primary, \
             localhost, all",
            entry.trim_matches('\'')
        );
        assert_eq!(wrong(by_file(&fields, &[])), [expected]);
    }
}

#[test]
fn modes_that_are_not_there_are_refused() {
    let instead = "; set it to nftables, iptables, ipvs or userspace, or leave it empty";
    for (mode, message) in [
        ("ebpf", "mode ebpf is not available yet"),
        ("kernelspace", "mode kernelspace is for Windows"),
        ("non-existing", "there is no mode \"non-existing\""),
    ] {
        let expected = format!("config.conf:3: mode: {message}{instead}");
        assert_eq!(wrong(by_file(&format!("mode: {mode}"), &[])), [expected]);
        let expected = format!("--proxy-mode: {message}{instead}");
        assert_eq!(wrong(by_flags(&["--proxy-mode", mode])), [expected]);
    }
}

#[test]
fn ipvs_settings_count_in_ipvs_mode() {
    let fields = "mode: ipvs\nipvs: {tcpTimeout: -1s, tcpFinTimeout: -1s, udpTimeout: -1s, syncPeriod: -1s, \
                  excludeCIDRs: [10.0.0.0/8, 1.2.3]}";
    let wrong = wrong(by_file(fields, &[]));
    for expected in [
        "config.conf:4: ipvs.tcpTimeout: -1s must be greater than or equal to 0",
        "config.conf:4: ipvs.tcpFinTimeout: -1s must be greater than or equal to 0",
        "config.conf:4: ipvs.udpTimeout: -1s must be greater than or equal to 0",
        "config.conf:4: ipvs.syncPeriod: -1s must be greater than 0",
        "config.conf:4: ipvs.excludeCIDRs[1]: \"1.2.3\" is not a network in CIDR notation (an example: 10.0.0.0/8)",
    ] {
        assert!(
            wrong.iter().any(|found| found == expected),
            "{expected} is not in {wrong:#?}"
        );
    }
}

#[test]
fn everything_wrong_is_said_at_once_and_by_the_name_that_was_used() {
    let flags = [
        "--detect-local-mode=BridgeInterface",
        "--iptables-masquerade-bit=32",
        "--nodeport-addresses=127.0.0.1,everywhere",
        "--hostname-override= ",
        "--iptables-sync-period=1s",
        "--iptables-min-sync-period=2s",
        "--feature-gates=NFTablesProxyMode=false",
        "--metrics-max-services=-1",
    ];
    let wrong = wrong(by_flags(&flags));
    for part in [
        "--hostname-override: is empty",
        "--pod-bridge-interface: is needed",
        "--iptables-masquerade-bit: 32",
        "--nodeport-addresses: \"127.0.0.1\" is neither",
        "--nodeport-addresses: \"everywhere\" is neither",
        "--iptables-sync-period: 1s must be greater than or equal to 2s of --iptables-min-sync-period",
        "--feature-gates: NFTablesProxyMode cannot be false",
        "--metrics-max-services: -1",
    ] {
        assert!(
            wrong.iter().any(|found| found.starts_with(part)),
            "{part} is not in {wrong:#?}"
        );
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.conf");
    let flag = format!("--config={}", path.display());
    let missing = load(&given(Invocation::KubeProxy, &[&flag])).unwrap_err();
    assert!(
        missing
            .to_string()
            .contains(&format!("{} cannot be read", path.display()))
    );
    fs::write(&path, b"\xff").unwrap();
    let binary = load(&given(Invocation::KubeProxy, &[&flag])).unwrap_err();
    assert!(binary.to_string().contains("not text in UTF-8"));
}

#[test]
fn form_and_meaning_are_told_at_once() {
    let fields =
        "nodePortAdresses: []\nconntrack:\n  maxPerCore: -1\nnftables:\n  minSyncPeriod: 5";
    assert_eq!(
        wrong(by_file(fields, &["--no-such-flag"])),
        [
            "--no-such-flag: unknown flag",
            "config.conf:3: nodePortAdresses: unknown field; did you mean nodePortAddresses?",
            "config.conf:7: nftables.minSyncPeriod: the number 5 is not a duration like 30s, 1m30s or 500ms",
            "config.conf:5: conntrack.maxPerCore: -1 must be greater than or equal to 0",
        ]
    );
}
