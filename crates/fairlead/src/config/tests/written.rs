//! The configuration as it is written, and read again.

use super::{by_file, by_flags, given, options};
use crate::cli::flags::Invocation;
use crate::config::v1alpha1::KubeProxyConfiguration;
use crate::config::{understand, yaml};

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
