use std::ffi::OsString;
use std::fs;
use std::time::Duration;

use fairlead_core::settings::{DetectLocal, NodePortAddresses};

use super::v1alpha1::KubeProxyConfiguration;
use super::{Configured, understand, yaml};
use crate::app::{Options, SourceOptions};
use crate::cli::flags::{Command, Given, Invocation, Parsed, parse};

/// A file with nothing but what it has to have, and some fields.
fn file(fields: &str) -> String {
    format!("apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n{fields}")
}

fn given(invocation: Invocation, flags: &[&str]) -> Given {
    let flags: Vec<OsString> = flags.iter().map(OsString::from).collect();
    match parse(Command::Run, invocation, &flags) {
        Ok(Parsed::Work(given)) => *given,
        other => panic!("{other:?}"),
    }
}

fn by_flags(flags: &[&str]) -> Result<Configured, String> {
    understand(&given(Invocation::KubeProxy, flags), None).map_err(|error| error.to_string())
}

fn by_file(fields: &str, flags: &[&str]) -> Result<Configured, String> {
    let flags: Vec<_> = flags
        .iter()
        .copied()
        .chain(["--config=config.conf"])
        .collect();
    let given = given(Invocation::KubeProxy, &flags);
    understand(&given, Some(file(fields).as_bytes())).map_err(|error| error.to_string())
}

fn options(configured: Result<Configured, String>) -> Options {
    configured.unwrap_or_else(|error| panic!("{error}")).options
}

/// What is wrong, without the head.
fn wrong(configured: Result<Configured, String>) -> Vec<String> {
    let error = configured.err().unwrap_or_default();
    let errors = error.trim_start_matches("invalid configuration:");
    errors
        .lines()
        .map(|line| line.trim().to_owned())
        .filter(|line| !line.is_empty())
        .collect()
}

/// Rows of fields of a file, and what is wrong with them. Nothing wrong is an empty text.
fn check(rows: &[(&str, &str)]) {
    for (fields, expected) in rows {
        let expected: Vec<_> = expected.lines().collect();
        assert_eq!(wrong(by_file(fields, &[])), expected, "{fields}");
    }
}

const DEFAULTS: &str = "\
apiVersion: kubeproxy.config.k8s.io/v1alpha1
bindAddress: 0.0.0.0
bindAddressHardFail: false
clientConnection:
  acceptContentTypes: \"\"
  burst: 10
  contentType: application/vnd.kubernetes.protobuf
  kubeconfig: \"\"
  qps: 5
clusterCIDR: \"\"
configSyncPeriod: 15m0s
conntrack:
  maxPerCore: 32768
  min: 131072
  tcpBeLiberal: false
  tcpCloseWaitTimeout: 1h0m0s
  tcpEstablishedTimeout: 24h0m0s
  udpStreamTimeout: 0s
  udpTimeout: 0s
detectLocal:
  bridgeInterface: \"\"
  interfaceNamePrefix: \"\"
detectLocalMode: ClusterCIDR
enableProfiling: false
healthzBindAddress: 0.0.0.0:10256
hostnameOverride: \"\"
iptables:
  localhostNodePorts: true
  masqueradeAll: false
  masqueradeBit: 14
  minSyncPeriod: 0s
  syncPeriod: 0s
ipvs:
  excludeCIDRs: null
  minSyncPeriod: 0s
  scheduler: \"\"
  strictARP: false
  syncPeriod: 0s
  tcpFinTimeout: 0s
  tcpTimeout: 0s
  udpTimeout: 0s
kind: KubeProxyConfiguration
logging:
  flushFrequency: 5s
  format: text
  options:
    json:
      infoBufferSize: \"0\"
    text:
      infoBufferSize: \"0\"
  verbosity: 0
metricsBindAddress: 127.0.0.1:10249
mode: nftables
nftables:
  masqueradeAll: false
  masqueradeBit: 14
  minSyncPeriod: 1s
  syncPeriod: 30s
nodePortAddresses: null
oomScoreAdj: -999
portRange: \"\"
showHiddenMetricsForVersion: \"\"
winkernel:
  enableDSR: false
  forwardHealthCheckVip: false
  networkName: \"\"
  rootHnsEndpointName: \"\"
  sourceVip: \"\"
";

#[test]
fn an_empty_file_and_no_flags_mean_the_defaults() {
    for configured in [by_file("", &[]), by_flags(&[])] {
        assert_eq!(yaml(&options(configured).config).unwrap(), DEFAULTS);
    }
}

#[test]
fn what_is_written_reads_the_same() {
    let fields = "
featureGates: {AllowServiceExternalIPs: false, ComponentFlagz: true}
bindAddress: 'fd00::1'
clusterCIDR: 10.244.0.0/16,fd00:10:244::/48
nodePortAddresses: [10.0.0.0/8, 'primary']
clientConnection: {qps: 0.1, burst: 7, kubeconfig: '/a b: c'}
nftables: {syncPeriod: 90s, minSyncPeriod: 1500ms, masqueradeAll: true, masqueradeBit: 3}
ipvs: {excludeCIDRs: [192.0.2.0/24], strictARP: true}
logging: {verbosity: 4, vmodule: [{filePattern: 'a*', verbosity: 3}]}
windowsRunAsService: true
";
    let once = options(by_file(fields, &[])).config;
    let text = yaml(&once).unwrap();
    let given = given(Invocation::KubeProxy, &["--config=x"]);
    let twice = understand(&given, Some(text.as_bytes())).unwrap().options;
    assert_eq!(twice.config, once);
    assert_eq!(yaml(&twice.config).unwrap(), text);
    for line in [
        "  kubeconfig: '/a b: c'",
        "  qps: 0.1",
        "- 10.0.0.0/8",
        "- primary",
        "  - filePattern: a*",
        "healthzBindAddress: '[::]:10256'",
        "  syncPeriod: 1m30s",
        "  minSyncPeriod: 1.5s",
        "  AllowServiceExternalIPs: false",
    ] {
        assert!(
            text.lines().any(|found| found == line),
            "{line} is not in {text}"
        );
    }
}

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
fn as_fairlead_an_empty_address_is_nowhere() {
    let flags = ["--healthz-bind-address=", "--metrics-bind-address", ""];
    let options = understand(&given(Invocation::Fairlead, &flags), None)
        .unwrap()
        .options;
    assert_eq!((options.healthz, options.metrics), (None, None));
}

#[test]
fn what_kube_proxy_accepts_is_accepted() {
    check(&[
        ("mode: ''", ""),
        ("mode: nftables", ""),
        (
            "mode: nftables\niptables: {masqueradeAll: true}\nipvs: {scheduler: foo, excludeCIDRs: [x]}",
            "",
        ),
        ("healthzBindAddress: ''", ""),
        ("healthzBindAddress: 0.0.0.0:12345", ""),
        (
            "bindAddress: 'fd00:192:168:59::103'\nclusterCIDR: 'fd00:192:168:59::/64'",
            "",
        ),
        (
            "bindAddress: 10.10.12.11\nclusterCIDR: 'fd00:192:168::/64'",
            "",
        ),
        ("clusterCIDR: 192.168.59.0/24,fd00:192:168::/64", ""),
        (
            "detectLocalMode: InterfaceNamePrefix\ndetectLocal: {interfaceNamePrefix: veth}",
            "",
        ),
        (
            "detectLocalMode: BridgeInterface\ndetectLocal: {bridgeInterface: avz}",
            "",
        ),
        ("detectLocalMode: NodeCIDR\nclusterCIDR: nonsense", ""),
        ("iptables: {masqueradeBit: 0}", ""),
        ("iptables: {masqueradeBit: 31}", ""),
        ("nftables: {masqueradeBit: 0, minSyncPeriod: 30s}", ""),
        (
            "conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, udpTimeout: 5s}",
            "",
        ),
        ("oomScoreAdj: -1000", ""),
        ("oomScoreAdj: 1000", ""),
        ("clientConnection: {burst: 0}", ""),
        ("clientConnection: {burst: 5}", ""),
        ("showHiddenMetricsForVersion: '1.35'", ""),
        ("logging: {format: json}", ""),
        ("nodePortAddresses: []", ""),
        ("nodePortAddresses: [primary]", ""),
        (
            "nodePortAddresses: ['10.20.0.0/24', '100.200.0.0/16', '::/0', '127.0.0.0/8']",
            "",
        ),
    ]);
}

#[test]
fn what_kube_proxy_refuses_is_refused_with_its_place() {
    check(&[
        (
            "bindAddress: 10.10.12.11:2000",
            "config.conf:3: bindAddress: \"10.10.12.11:2000\" is not an IP address",
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
    let instead = "; set it to nftables, or leave it empty";
    for (mode, message) in [
        ("iptables", "mode iptables is not available yet"),
        ("ipvs", "mode ipvs is not available yet"),
        ("userspace", "mode userspace is not available yet"),
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
    let fields = "udpIdleTimeout: 250ms\nwinkernel:\n  sourceVip: 10.0.0.1\nportRange: 1-2\n";
    assert_eq!(
        by_file(fields, &[]).unwrap().warnings,
        [
            "config.conf:3: udpIdleTimeout has no effect: it was for userspace mode",
            "config.conf:5: winkernel.sourceVip has no effect: it is for Windows",
            "config.conf:6: portRange has no effect: it was for userspace mode",
        ]
    );
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

#[test]
fn fields_have_kube_proxys_names() {
    let config = serde_json::to_value(KubeProxyConfiguration::default()).unwrap();
    let written = DEFAULTS.lines().filter(|line| !line.starts_with(' '));
    let written: Vec<_> = written.filter_map(|line| line.split(':').next()).collect();
    let named: Vec<_> = config
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(named, written);
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.conf");
    let flag = format!("--config={}", path.display());
    let missing = super::load(&given(Invocation::KubeProxy, &[&flag])).unwrap_err();
    assert!(
        missing
            .to_string()
            .contains(&format!("{} cannot be read", path.display()))
    );
    fs::write(&path, b"\xff").unwrap();
    let binary = super::load(&given(Invocation::KubeProxy, &[&flag])).unwrap_err();
    assert!(binary.to_string().contains("not text in UTF-8"));
}
