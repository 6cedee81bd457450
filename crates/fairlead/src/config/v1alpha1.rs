//! `KubeProxyConfiguration` of `kubeproxy.config.k8s.io/v1alpha1`, field by field as kube-proxy
//! 1.36 has it. An `Option` is a field that tells 0 from not given.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, Deserializer, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

use super::duration::GoDuration;

/// The only version there is.
pub(crate) const API_VERSION: &str = "kubeproxy.config.k8s.io/v1alpha1";
/// The only kind of it.
pub(crate) const KIND: &str = "KubeProxyConfiguration";

/// The whole file. What a field means is said by the flag of that name, or by the section's name.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct KubeProxyConfiguration {
    pub(crate) api_version: String,
    pub(crate) kind: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) feature_gates: BTreeMap<String, bool>,
    pub(crate) client_connection: ClientConnection,
    pub(crate) logging: Logging,
    pub(crate) hostname_override: String,
    pub(crate) bind_address: String,
    pub(crate) healthz_bind_address: String,
    pub(crate) metrics_bind_address: String,
    pub(crate) bind_address_hard_fail: bool,
    pub(crate) enable_profiling: bool,
    pub(crate) show_hidden_metrics_for_version: String,
    pub(crate) mode: String,
    pub(crate) iptables: IpTables,
    pub(crate) ipvs: Ipvs,
    pub(crate) nftables: NfTables,
    pub(crate) winkernel: Winkernel,
    pub(crate) detect_local_mode: String,
    pub(crate) detect_local: DetectLocal,
    #[serde(rename = "clusterCIDR")]
    pub(crate) cluster_cidr: String,
    pub(crate) node_port_addresses: Option<Vec<String>>,
    pub(crate) oom_score_adj: Option<i32>,
    pub(crate) conntrack: Conntrack,
    pub(crate) config_sync_period: GoDuration,
    pub(crate) port_range: String,
    /// Up to kube-proxy 1.25. It is written where it was given or counts, so that what is written
    /// for other modes can be given to kube-proxy.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) udp_idle_timeout: GoDuration,
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) windows_run_as_service: bool,
}

/// How the API is reached.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ClientConnection {
    pub(crate) kubeconfig: String,
    pub(crate) accept_content_types: String,
    pub(crate) content_type: String,
    #[serde(serialize_with = "as_short_as_can_be")]
    pub(crate) qps: f32,
    pub(crate) burst: i32,
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Logging {
    pub(crate) format: String,
    #[serde(deserialize_with = "duration_or_nanoseconds")]
    pub(crate) flush_frequency: GoDuration,
    pub(crate) verbosity: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) vmodule: Vec<VmoduleItem>,
    pub(crate) options: FormatOptions,
}

/// Another verbosity for some source files of kube-proxy.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct VmoduleItem {
    pub(crate) file_pattern: String,
    pub(crate) verbosity: u32,
}

/// Details of each log format.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct FormatOptions {
    pub(crate) text: OutputRouting,
    pub(crate) json: OutputRouting,
}

/// Where messages go that are no errors.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct OutputRouting {
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) split_stream: bool,
    #[serde(serialize_with = "zero_if_empty", deserialize_with = "text_or_number")]
    pub(crate) info_buffer_size: String,
}

/// iptables mode.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct IpTables {
    pub(crate) masquerade_bit: Option<i32>,
    pub(crate) masquerade_all: bool,
    pub(crate) localhost_node_ports: Option<bool>,
    pub(crate) sync_period: GoDuration,
    pub(crate) min_sync_period: GoDuration,
}

/// ipvs mode.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Ipvs {
    pub(crate) sync_period: GoDuration,
    pub(crate) min_sync_period: GoDuration,
    pub(crate) scheduler: String,
    #[serde(rename = "excludeCIDRs")]
    pub(crate) exclude_cidrs: Option<Vec<String>>,
    #[serde(rename = "strictARP")]
    pub(crate) strict_arp: bool,
    pub(crate) tcp_timeout: GoDuration,
    pub(crate) tcp_fin_timeout: GoDuration,
    pub(crate) udp_timeout: GoDuration,
}

/// nftables mode.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct NfTables {
    pub(crate) masquerade_bit: Option<i32>,
    pub(crate) masquerade_all: bool,
    pub(crate) sync_period: GoDuration,
    pub(crate) min_sync_period: GoDuration,
}

/// kernelspace mode, of Windows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Winkernel {
    pub(crate) network_name: String,
    pub(crate) source_vip: String,
    #[serde(rename = "enableDSR")]
    pub(crate) enable_dsr: bool,
    pub(crate) root_hns_endpoint_name: String,
    pub(crate) forward_health_check_vip: bool,
}

/// What tells local pods, besides their addresses.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct DetectLocal {
    pub(crate) bridge_interface: String,
    pub(crate) interface_name_prefix: String,
}

/// The kernel's connection tracking.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Conntrack {
    pub(crate) max_per_core: Option<i32>,
    pub(crate) min: Option<i32>,
    pub(crate) tcp_established_timeout: Option<GoDuration>,
    pub(crate) tcp_close_wait_timeout: Option<GoDuration>,
    pub(crate) tcp_be_liberal: bool,
    pub(crate) udp_timeout: GoDuration,
    pub(crate) udp_stream_timeout: GoDuration,
}

// Serde hands out references.
#[expect(clippy::trivially_copy_pass_by_ref)]
fn is_false(value: &bool) -> bool {
    !value
}

#[expect(clippy::trivially_copy_pass_by_ref)]
fn is_zero(duration: &GoDuration) -> bool {
    *duration == GoDuration::ZERO
}

/// Go writes 5, not 5.0.
#[expect(clippy::trivially_copy_pass_by_ref)]
fn as_short_as_can_be<S: Serializer>(number: &f32, serializer: S) -> Result<S::Ok, S::Error> {
    if number.fract() == 0.0 && number.abs() < 1e6 {
        serializer.serialize_i64(*number as i64)
    } else {
        // By way of its digits, or 0.1 would get the digits of the nearest f64.
        serializer.serialize_f64(number.to_string().parse().unwrap_or_default())
    }
}

fn zero_if_empty<S: Serializer>(quantity: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(if quantity.is_empty() { "0" } else { quantity })
}

fn duration_or_nanoseconds<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<GoDuration, D::Error> {
    struct Either;

    impl Visitor<'_> for Either {
        type Value = GoDuration;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a duration like 5s, or a number of nanoseconds")
        }

        fn visit_i64<E: de::Error>(self, nanos: i64) -> Result<GoDuration, E> {
            Ok(GoDuration::from_nanos(nanos))
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<GoDuration, E> {
            text.parse().map_err(E::custom)
        }
    }

    deserializer.deserialize_any(Either)
}

fn text_or_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    struct Either;

    impl Visitor<'_> for Either {
        type Value = String;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a quantity like 512Ki")
        }

        fn visit_i64<E: de::Error>(self, number: i64) -> Result<String, E> {
            Ok(number.to_string())
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<String, E> {
            Ok(text.to_owned())
        }
    }

    deserializer.deserialize_any(Either)
}
