//! What a field is that is not given, as in kube-proxy 1.36.

use std::net::IpAddr;

use fairlead_core::address::parse_ip;

use super::address::with_port;
use super::duration::GoDuration;
use super::mode::is_userspace;
use super::userspace::UDP_IDLE;
use super::v1alpha1::{API_VERSION, KIND, KubeProxyConfiguration};

/// Where load balancers ask for the node's health.
pub(crate) const HEALTHZ_PORT: u16 = 10256;
/// Where metrics are.
pub(crate) const METRICS_PORT: u16 = 10249;

/// The bit of the packet mark that kube-proxy has always used.
const MASQUERADE_BIT: i32 = 14;

/// The same configuration with everything given. In an address only the port may be missing.
pub(crate) fn with_defaults(mut config: KubeProxyConfiguration) -> KubeProxyConfiguration {
    API_VERSION.clone_into(&mut config.api_version);
    KIND.clone_into(&mut config.kind);
    addresses(&mut config);
    let seconds = GoDuration::from_secs;
    let iptables = &mut config.iptables;
    iptables.masquerade_bit.get_or_insert(MASQUERADE_BIT);
    iptables.localhost_node_ports.get_or_insert(true);
    iptables.sync_period = iptables.sync_period.or(seconds(30));
    iptables.min_sync_period = iptables.min_sync_period.or(seconds(1));
    let nftables = &mut config.nftables;
    nftables.masquerade_bit.get_or_insert(MASQUERADE_BIT);
    nftables.sync_period = nftables.sync_period.or(seconds(30));
    nftables.min_sync_period = nftables.min_sync_period.or(seconds(1));
    config.ipvs.sync_period = config.ipvs.sync_period.or(seconds(30));
    if is_userspace(&config.mode) {
        config.udp_idle_timeout = config.udp_idle_timeout.or(UDP_IDLE);
    }
    limits(&mut config);
    let client = &mut config.client_connection;
    fill(
        &mut client.content_type,
        "application/vnd.kubernetes.protobuf",
    );
    if client.qps == 0.0 {
        client.qps = 5.0;
    }
    if client.burst == 0 {
        client.burst = 10;
    }
    fill(&mut config.logging.format, "text");
    config.logging.flush_frequency = config.logging.flush_frequency.or(seconds(5));
    let routings = &mut config.logging.options;
    fill(&mut routings.text.info_buffer_size, "0");
    fill(&mut routings.json.info_buffer_size, "0");
    config
}

/// On a node whose own address is an IPv6 one, the servers listen there.
fn addresses(config: &mut KubeProxyConfiguration) {
    fill(&mut config.bind_address, "0.0.0.0");
    let v6 = matches!(parse_ip(&config.bind_address), Ok(IpAddr::V6(_)));
    let (any, loopback) = if v6 {
        ("::", "::1")
    } else {
        ("0.0.0.0", "127.0.0.1")
    };
    fill(&mut config.healthz_bind_address, any);
    fill(&mut config.metrics_bind_address, loopback);
    config.healthz_bind_address = with_port(&config.healthz_bind_address, HEALTHZ_PORT.into());
    config.metrics_bind_address = with_port(&config.metrics_bind_address, METRICS_PORT.into());
}

fn limits(config: &mut KubeProxyConfiguration) {
    config.oom_score_adj.get_or_insert(-999);
    let conntrack = &mut config.conntrack;
    conntrack.max_per_core.get_or_insert(32 * 1024);
    conntrack.min.get_or_insert(128 * 1024);
    let day = GoDuration::from_secs(24 * 3600);
    conntrack.tcp_established_timeout.get_or_insert(day);
    let hour = GoDuration::from_secs(3600);
    conntrack.tcp_close_wait_timeout.get_or_insert(hour);
    config.config_sync_period = config.config_sync_period.or(GoDuration::from_secs(15 * 60));
}

fn fill(field: &mut String, default: &str) {
    if field.is_empty() {
        default.clone_into(field);
    }
}
