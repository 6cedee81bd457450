//! The flags of `fairlead run`, which are kube-proxy's and a few of our own: what there is
//! (`table`), how a command line is read (`parse`), what a value is (`slot`).
//!
//! They are read as kube-proxy reads its own: by the rules of Go's pflag, which are not clap's.

mod help;
mod parse;
mod slot;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use parse::{Given, Parsed, parse};
pub(crate) use table::{Command, Flag, Standing};

use crate::config::duration::GoDuration;
use crate::config::v1alpha1::KubeProxyConfiguration;
use crate::config::{IptablesVariant, Mode, userspace, with_defaults};

/// Under which name the program was started. It decides what a few flags mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Invocation {
    /// As `fairlead run`.
    Fairlead,
    /// As `kube-proxy`, or `fairlead kube-proxy`.
    KubeProxy,
}

/// Where flags put their values.
#[derive(Debug, Clone)]
pub(crate) struct Flags {
    /// Those that are fields of the file.
    pub(crate) config: KubeProxyConfiguration,
    /// All others.
    pub(crate) other: Other,
}

/// Values that have no field in the file, or whose field depends on other flags.
#[derive(Debug, Clone)]
pub(crate) struct Other {
    pub(crate) config: String,
    pub(crate) write_config_to: String,
    pub(crate) cleanup: bool,
    pub(crate) init_only: bool,
    pub(crate) master: String,
    pub(crate) hostname_override: String,
    pub(crate) healthz_port: i32,
    pub(crate) metrics_port: i32,
    pub(crate) masquerade_all: bool,
    pub(crate) iptables_sync_period: GoDuration,
    pub(crate) iptables_min_sync_period: GoDuration,
    pub(crate) ipvs_sync_period: GoDuration,
    pub(crate) ipvs_min_sync_period: GoDuration,
    pub(crate) manifests: String,
    pub(crate) once: bool,
    pub(crate) sync_period: GoDuration,
    pub(crate) min_sync_period: GoDuration,
    pub(crate) startup_taint: String,
    pub(crate) iptables_variant: String,
    pub(crate) ipvs_fallback: String,
    pub(crate) udp_timeout: GoDuration,
    pub(crate) userspace_source_address: String,
    pub(crate) userspace_dial_timeouts: String,
    pub(crate) userspace_max_connections: i32,
    pub(crate) userspace_drain_timeout: GoDuration,
    pub(crate) userspace_threads: i32,
    pub(crate) traffic_counters: bool,
    pub(crate) metrics_max_services: i32,
    pub(crate) format: String,
}

impl Default for Flags {
    /// The values without any flag.
    fn default() -> Flags {
        let config = with_defaults(KubeProxyConfiguration::default());
        let (sync, min_sync) = (config.iptables.sync_period, config.iptables.min_sync_period);
        Flags {
            config,
            other: Other {
                config: String::new(),
                write_config_to: String::new(),
                cleanup: false,
                init_only: false,
                master: String::new(),
                hostname_override: String::new(),
                healthz_port: i32::from(crate::config::HEALTHZ_PORT),
                metrics_port: i32::from(crate::config::METRICS_PORT),
                masquerade_all: false,
                iptables_sync_period: sync,
                iptables_min_sync_period: min_sync,
                ipvs_sync_period: sync,
                ipvs_min_sync_period: min_sync,
                manifests: String::new(),
                once: false,
                sync_period: sync,
                min_sync_period: min_sync,
                startup_taint: String::new(),
                iptables_variant: IptablesVariant::Auto.name().to_owned(),
                ipvs_fallback: Mode::Nftables.name().to_owned(),
                udp_timeout: userspace::UDP_IDLE,
                userspace_source_address: "node".to_owned(),
                userspace_dial_timeouts: userspace::DIAL_TIMEOUTS.to_owned(),
                userspace_max_connections: 0,
                userspace_drain_timeout: userspace::DRAIN,
                userspace_threads: 0,
                traffic_counters: true,
                metrics_max_services: 1000,
                format: "text".to_owned(),
            },
        }
    }
}

/// All flags of `fairlead run`.
pub(crate) fn all() -> impl Iterator<Item = &'static Flag> {
    table::of(Command::Run)
}
