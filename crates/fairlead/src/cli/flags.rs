//! Flags that shape what is programmed. Names and meanings are kube-proxy's.

use std::path::PathBuf;

use clap::{ArgAction, Args, ValueEnum};

use fairlead_core::settings::Settings;

use crate::config::{self, ConfigErrors};

/// Flags that `run` and `render` share.
#[derive(Debug, Clone, Args)]
pub(crate) struct ProxyFlags {
    /// How Services are implemented.
    #[arg(long, value_enum, default_value_t = ProxyMode::Nftables, value_name = "MODE")]
    pub(crate) proxy_mode: ProxyMode,

    /// A YAML or JSON file, or a folder of them, with Services, EndpointSlices, Nodes and
    /// ServiceCIDRs.
    #[arg(long, value_name = "PATH", default_value = "")]
    pub(crate) manifests: PathBuf,

    /// This node's name, if it is not the host's.
    #[arg(long, value_name = "NAME")]
    pub(crate) hostname_override: Option<String>,

    /// The addresses of the cluster's pods, one network for each IP family, separated by commas.
    #[arg(long, value_name = "CIDR", default_value = "")]
    pub(crate) cluster_cidr: String,

    /// How traffic of local pods is told from other traffic.
    #[arg(long, value_enum, default_value_t = DetectLocalMode::ClusterCidr, value_name = "MODE")]
    pub(crate) detect_local_mode: DetectLocalMode,

    /// The bridge that local pods are behind (with --detect-local-mode BridgeInterface).
    #[arg(long, value_name = "NAME", default_value = "")]
    pub(crate) pod_bridge_interface: String,

    /// How the interfaces of local pods begin (with --detect-local-mode InterfaceNamePrefix).
    #[arg(long, value_name = "PREFIX", default_value = "")]
    pub(crate) pod_interface_name_prefix: String,

    /// Where node ports answer, separated by commas: networks, `primary` (the addresses of the
    /// Node object), `localhost`, `all`.
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "LIST",
        default_value = "primary"
    )]
    pub(crate) nodeport_addresses: Vec<String>,

    /// Masquerade all traffic to cluster IPs.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true,
          default_value_t = false, default_missing_value = "true", value_name = "BOOL")]
    pub(crate) masquerade_all: bool,

    /// The bit of the packet mark, 0 to 31, that asks for masquerading.
    #[arg(
        long,
        visible_alias = "nftables-masquerade-bit",
        default_value_t = 14,
        value_name = "BIT"
    )]
    pub(crate) iptables_masquerade_bit: u32,
}

impl ProxyFlags {
    /// What the flags mean, or everything that is wrong with them.
    pub(crate) fn settings(&self) -> Result<Settings, ConfigErrors> {
        config::settings(self)
    }
}

/// `--proxy-mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProxyMode {
    /// nf_tables, by netlink.
    Nftables,
}

/// `--detect-local-mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DetectLocalMode {
    /// Sources in --cluster-cidr.
    #[value(name = "ClusterCIDR")]
    ClusterCidr,
    /// Sources in the Node's pod CIDRs.
    #[value(name = "NodeCIDR")]
    NodeCidr,
    /// What comes in by --pod-bridge-interface.
    #[value(name = "BridgeInterface")]
    BridgeInterface,
    /// What comes in by interfaces that begin with --pod-interface-name-prefix.
    #[value(name = "InterfaceNamePrefix")]
    InterfaceNamePrefix,
}
