use super::read;

const HEAD: &str = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n";

/// What is wrong with a file of these fields, which begin on line 3.
fn wrong(fields: &str) -> Vec<String> {
    match read("f", &format!("{HEAD}{fields}")) {
        Ok(file) => file.errors,
        Err(error) => vec![error],
    }
}

#[test]
fn unknown_fields_are_named_with_what_was_meant() {
    for (fields, error) in [
        (
            "iptables:\n  masqueradAll: true",
            "f:4: iptables.masqueradAll: unknown field; did you mean masqueradeAll?",
        ),
        (
            "Mode: nftables",
            "f:3: Mode: unknown field; did you mean mode?",
        ),
        (
            "clusterCidr: 10.0.0.0/8",
            "f:3: clusterCidr: unknown field; did you mean clusterCIDR?",
        ),
        ("foo: bar", "f:3: foo: unknown field"),
        (
            "logging:\n  options:\n    text:\n      split: true",
            "f:6: logging.options.text.split: unknown field",
        ),
        (
            "logging: {vmodule: [{filePattern: a}, {file: b}]}",
            "f:3: logging.vmodule[1].file: unknown field",
        ),
    ] {
        assert_eq!(wrong(fields), [error]);
    }
}

#[test]
fn everything_wrong_is_said_at_once() {
    let fields = "\
bindAddress: 9.8.7.6
bindAddress: 1.2.3.4
mod: nftables
oomScoreAdj: high
conntrack:
  min: '7'
  maxPerCore: 1.5
nodePortAddresses: 10.0.0.0/8
enableProfiling: 1
nftables:
  syncPeriod: 30
  minSyncPeriod: soon
hostnameOverride: 12
ipvs: []
featureGates: {A: maybe}
";
    assert_eq!(
        wrong(fields),
        [
            "f:4: bindAddress: is given twice, first on line 3",
            "f:5: mod: unknown field; did you mean mode?",
            "f:6: oomScoreAdj: the text \"high\" is not a whole number",
            "f:8: conntrack.min: the text \"7\" is not a whole number",
            "f:9: conntrack.maxPerCore: the number 1.5 is not a whole number",
            "f:10: nodePortAddresses: the text \"10.0.0.0/8\" is not a list",
            "f:11: enableProfiling: the number 1 is not true or false",
            "f:13: nftables.syncPeriod: the number 30 is not a duration like 30s, 1m30s or 500ms",
            "f:14: nftables.minSyncPeriod: \"soon\" is not a duration; write it like 30s, 1m30s or 500ms",
            "f:15: hostnameOverride: the number 12 is not a text",
            "f:16: ipvs: a list is not a group of fields",
            "f:17: featureGates.A: the text \"maybe\" is not true or false",
        ]
    );
}

#[test]
fn what_is_not_yaml_is_told_with_its_line() {
    for (text, line) in [
        ("mode: [a\nb: c", "f:"),
        ("a: b: c", "f:3: not valid YAML"),
        ("\tmode: x", "f:2: not valid YAML"),
        ("bindAddress: ::", "f:3: not valid YAML"),
    ] {
        let wrong = wrong(text);
        assert_eq!(wrong.len(), 1);
        assert!(
            wrong[0].starts_with(line) && wrong[0].contains("not valid YAML"),
            "{wrong:?}"
        );
    }
}

#[test]
fn another_kind_of_file_is_told_apart() {
    for (text, error) in [
        (
            "kind: KubeProxyConfiguration",
            "f:1: apiVersion: is missing; write apiVersion: kubeproxy.config.k8s.io/v1alpha1",
        ),
        (
            "apiVersion: kubeproxy.config.k8s.io/v1alpha1",
            "f:1: kind: is missing; write kind: KubeProxyConfiguration",
        ),
        (
            "apiVersion: v1\nkind: ConfigMap",
            "f:1: apiVersion: is v1, and only kubeproxy.config.k8s.io/v1alpha1 is read",
        ),
        (
            "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: Other",
            "f:1: kind: is Other, and only KubeProxyConfiguration is read",
        ),
        (
            "bogus",
            "f:1: is the text \"bogus\" instead of a KubeProxyConfiguration",
        ),
        ("", "f:1: is nothing instead of a KubeProxyConfiguration"),
    ] {
        assert_eq!(read("f", text).unwrap_err(), error);
    }
}

#[test]
fn values_are_taken_as_tolerantly_as_in_go() {
    let fields = "\
mode: null
iptables:
ipvs: {excludeCIDRs: null, strictARP: yes}
bindAddressHardFail: Off
oomScoreAdj: -998.0
conntrack: {min: 0x10, maxPerCore: null, tcpEstablishedTimeout: null}
clientConnection: {qps: 7}
logging: {flushFrequency: 1500000000, options: {text: {infoBufferSize: 0}, json: {infoBufferSize: 2Ki}}}
nodePortAddresses: []
";
    let config = read("f", &format!("{HEAD}{fields}")).unwrap().config;
    assert_eq!(config.mode, "");
    assert!(config.ipvs.strict_arp && !config.bind_address_hard_fail);
    assert_eq!(config.ipvs.exclude_cidrs, None);
    assert_eq!(config.oom_score_adj, Some(-998));
    assert_eq!(
        (config.conntrack.min, config.conntrack.max_per_core),
        (Some(16), None)
    );
    assert!((config.client_connection.qps - 7.0).abs() < f32::EPSILON);
    assert_eq!(config.logging.flush_frequency.to_string(), "1.5s");
    assert_eq!(config.logging.options.text.info_buffer_size, "0");
    assert_eq!(config.logging.options.json.info_buffer_size, "2Ki");
    assert_eq!(config.node_port_addresses, Some(Vec::new()));
}

#[test]
fn fields_of_earlier_releases_are_warned_of() {
    let text = format!("{HEAD}resourceContainer: /kube-proxy\nconntrack:\n  max: 7\n");
    assert_eq!(
        read("f", &text).unwrap().warnings,
        [
            "f:3: resourceContainer has no effect: kube-proxy 1.21 was the last to have it",
            "f:5: conntrack.max has no effect: conntrack.maxPerCore and conntrack.min took its place",
        ]
    );
}

#[test]
fn json_is_yaml() {
    let text = "{\"apiVersion\": \"kubeproxy.config.k8s.io/v1alpha1\", \"kind\": \"KubeProxyConfiguration\",\n \"mode\": 7}";
    assert_eq!(
        read("f", text).unwrap().errors,
        ["f:2: mode: the number 7 is not a text"]
    );
}
