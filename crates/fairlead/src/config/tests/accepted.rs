//! What is right.

use super::check;

#[test]
fn what_kube_proxy_accepts_is_accepted() {
    check(&[
        ("mode: ''", ""),
        ("mode: nftables", ""),
        ("mode: iptables", ""),
        (
            "mode: iptables\nnftables: {masqueradeBit: 32, syncPeriod: -1s}",
            "",
        ),
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
