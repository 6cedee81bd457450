//! What a completed configuration means: the options of the program.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fairlead_core::address::parse_ip;
use fairlead_core::parameters::ConntrackSettings;
use fairlead_core::settings::{DetectLocal, Settings};

use super::address::socket;
use super::complete::Completed;
use super::duration::GoDuration;
use super::gates::Gates;
use super::mode::{IptablesVariant, Mode};
use super::validate::{Findings, cluster_cidrs, periods, sync_periods, validate};
use super::{ConfigErrors, ipvs, mode, node_ports, userspace};
use crate::app::{Fallback, Options, SourceOptions};

/// The options, or everything that is wrong.
pub(super) fn options(
    completed: &Completed<'_>,
    warnings: &mut Vec<String>,
) -> Result<Options, ConfigErrors> {
    let mut findings = Findings::new(completed.origin());
    let gates = gates(completed, &mut findings, warnings);
    validate(completed, &gates, &mut findings);
    let mode = Mode::of(&completed.config.mode);
    let settings = settings(completed, &gates, mode, &mut findings);
    let fallback = fallback(completed, &gates, &mut findings);
    let ipvs = ipvs::options(&completed.config, &mut findings);
    let userspace = userspace::options(completed, &mut findings);
    let (min_sync_period, sync_period) = sync(completed, &mut findings);
    let metrics_max_services = max_services(completed, &mut findings);
    let iptables_variant = variant(completed, &mut findings);
    let source = source(completed);
    let mut errors = completed.errors.clone();
    errors.append(&mut findings.errors);
    ConfigErrors::none_or(errors)?;
    let config = &completed.config;
    let other = &completed.given.flags.other;
    Ok(Options {
        mode,
        fallback,
        ipvs,
        userspace,
        iptables_variant,
        settings,
        source,
        once: other.once,
        init_only: other.init_only,
        min_sync_period,
        sync_period,
        healthz: listen(&config.healthz_bind_address),
        metrics: listen(&config.metrics_bind_address),
        bind_hard_fail: config.bind_address_hard_fail,
        profiling: config.enable_profiling,
        conntrack: conntrack(completed),
        oom_score_adj: config.oom_score_adj.unwrap_or_default(),
        verbosity: i32::try_from(config.logging.verbosity).unwrap_or(i32::MAX),
        json_log: config.logging.format == "json",
        gates,
        startup_taint: Some(other.startup_taint.clone()).filter(|key| !key.is_empty()),
        metrics_max_services,
        flags: completed.given.values(),
        config: Arc::new(config.clone()),
    })
}

fn gates(
    completed: &Completed<'_>,
    findings: &mut Findings<'_>,
    warnings: &mut Vec<String>,
) -> Gates {
    let (mut errors, mut ignored) = (Vec::new(), Vec::new());
    let gates = Gates::of(&completed.config.feature_gates, &mut errors, &mut ignored);
    for error in errors {
        findings.refuse("featureGates", error);
    }
    let name = completed.origin().name("featureGates");
    warnings.extend(ignored.into_iter().map(|gate| format!("{name}: {gate}")));
    gates
}

/// What runs where ipvs mode cannot, with the settings of that.
fn fallback(
    completed: &Completed<'_>,
    gates: &Gates,
    findings: &mut Findings<'_>,
) -> Option<Fallback> {
    let word = &completed.given.flags.other.ipvs_fallback;
    let mode = mode::fallback(word).unwrap_or_else(|message| {
        findings.refuse("--ipvs-fallback", message);
        None
    })?;
    if Mode::of(&completed.config.mode) != Mode::Ipvs {
        return None;
    }
    let settings = settings(completed, gates, mode, findings);
    Some(Fallback { mode, settings })
}

/// The settings of a mode that runs. What was written for the one that was asked for counts; what
/// was not, and what a mode cannot do, is as the mode has it.
fn settings(
    completed: &Completed<'_>,
    gates: &Gates,
    mode: Mode,
    findings: &mut Findings<'_>,
) -> Settings {
    let config = &completed.config;
    let (all, bit) = match Mode::of(&config.mode) {
        Mode::Nftables => (
            config.nftables.masquerade_all,
            config.nftables.masquerade_bit,
        ),
        // kube-proxy has one bit and one choice for these.
        Mode::Iptables | Mode::Ipvs | Mode::Userspace => (
            config.iptables.masquerade_all,
            config.iptables.masquerade_bit,
        ),
    };
    let bit = bit
        .and_then(|bit| u32::try_from(bit).ok())
        .unwrap_or_default();
    let node_ip = parse_ip(&config.bind_address).ok();
    Settings {
        node_name: node_name(&config.hostname_override, findings),
        detect_local: detect_local(completed, findings),
        masquerade_all: all,
        // A bit that is none was refused.
        masquerade_mark: 1u32.checked_shl(bit).unwrap_or_default(),
        node_port_addresses: node_ports::of(config, mode, findings),
        node_ip: node_ip.filter(|ip| !ip.is_unspecified()),
        // The rules of iptables mode are kube-proxy's, and those do not count; IPVS does so itself.
        traffic_counters: mode == Mode::Nftables && completed.given.flags.other.traffic_counters,
        external_ips: gates.external_ips(),
        scheduling_by_service: matches!(mode, Mode::Ipvs | Mode::Userspace),
        ipvs: ipvs::settings(config, mode, findings),
        userspace: userspace::settings(completed, findings),
    }
}

/// The node's name is the host's in lower case unless another is given, as the kubelet has it.
fn node_name(given: &str, findings: &mut Findings<'_>) -> String {
    let name = match given {
        "" => nix::unistd::gethostname()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
        given => given.to_owned(),
    };
    let name = name.trim().to_lowercase();
    if name.is_empty() {
        findings.refuse(
            "hostnameOverride",
            "is empty; give the name of this node's Node object",
        );
    }
    name
}

fn detect_local(completed: &Completed<'_>, findings: &mut Findings<'_>) -> DetectLocal {
    let config = &completed.config;
    let mut required = |field: &str, value: &str, what: &str| {
        if value.is_empty() {
            let message = format!("is needed to detect local traffic by {what}");
            findings.refuse(field, message);
        }
        value.to_owned()
    };
    match config.detect_local_mode.as_str() {
        "BridgeInterface" => DetectLocal::BridgeInterface(required(
            "detectLocal.bridgeInterface",
            &config.detect_local.bridge_interface,
            "BridgeInterface: the name of the bridge",
        )),
        "InterfaceNamePrefix" => DetectLocal::InterfaceNamePrefix(required(
            "detectLocal.interfaceNamePrefix",
            &config.detect_local.interface_name_prefix,
            "InterfaceNamePrefix: how the interfaces' names begin",
        )),
        "NodeCIDR" => DetectLocal::NodeCidr,
        "ClusterCIDR" => match cluster_cidrs(&config.cluster_cidr, findings) {
            nets if nets.is_empty() => DetectLocal::None,
            nets => DetectLocal::ClusterCidr(nets),
        },
        other => {
            let message = format!(
                "{other:?} is none of ClusterCIDR, NodeCIDR, BridgeInterface, InterfaceNamePrefix and \"\""
            );
            findings.refuse("detectLocalMode", message);
            DetectLocal::None
        }
    }
}

/// The least and the longest period, by our own flags or by the section of the mode.
fn sync(completed: &Completed<'_>, findings: &mut Findings<'_>) -> (Duration, Duration) {
    let given = completed.given;
    let (section, least, longest) = periods(&completed.config);
    let choose = |flag: &str, own: GoDuration, field: &str, other: GoDuration| {
        if given.has(flag) {
            (format!("--{flag}"), own)
        } else {
            (format!("{section}.{field}"), other)
        }
    };
    let own = &given.flags.other;
    let (least_name, least) = choose(
        "min-sync-period",
        own.min_sync_period,
        "minSyncPeriod",
        least,
    );
    let (longest_name, longest) = choose("sync-period", own.sync_period, "syncPeriod", longest);
    sync_periods((&least_name, &longest_name), least, longest, findings);
    (least.positive(), longest.positive())
}

fn max_services(completed: &Completed<'_>, findings: &mut Findings<'_>) -> usize {
    let number = completed.given.flags.other.metrics_max_services;
    usize::try_from(number).unwrap_or_else(|_| {
        let message = format!("{number} must be greater than or equal to 0");
        findings.refuse("--metrics-max-services", message);
        0
    })
}

fn variant(completed: &Completed<'_>, findings: &mut Findings<'_>) -> IptablesVariant {
    let word = &completed.given.flags.other.iptables_variant;
    IptablesVariant::of(word).unwrap_or_else(|| {
        let message = format!("{word:?} is none of auto, nft and legacy");
        findings.refuse("--iptables-variant", message);
        IptablesVariant::Auto
    })
}

fn source(completed: &Completed<'_>) -> SourceOptions {
    let other = &completed.given.flags.other;
    let path = |text: &str| Some(PathBuf::from(text)).filter(|_| !text.is_empty());
    if let Some(manifests) = path(&other.manifests) {
        return SourceOptions::Manifests(manifests);
    }
    SourceOptions::Api {
        kubeconfig: path(&completed.config.client_connection.kubeconfig),
        master: Some(other.master.clone()).filter(|master| !master.is_empty()),
    }
}

fn listen(address: &str) -> Option<SocketAddr> {
    socket(address).ok()
}

fn conntrack(completed: &Completed<'_>) -> ConntrackSettings {
    let conntrack = &completed.config.conntrack;
    let number = |value: Option<i32>| u32::try_from(value.unwrap_or_default()).unwrap_or_default();
    let duration = |value: Option<GoDuration>| value.unwrap_or_default().positive();
    ConntrackSettings {
        max_per_core: number(conntrack.max_per_core),
        min: number(conntrack.min),
        tcp_established_timeout: duration(conntrack.tcp_established_timeout),
        tcp_close_wait_timeout: duration(conntrack.tcp_close_wait_timeout),
        tcp_be_liberal: conntrack.tcp_be_liberal,
        udp_timeout: conntrack.udp_timeout.positive(),
        udp_stream_timeout: conntrack.udp_stream_timeout.positive(),
    }
}
