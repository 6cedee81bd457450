//! What ipvs mode has in a section of its own.

use std::time::Duration;

use fairlead_core::address::parse_net;
use fairlead_core::scheduling::{Scheduler, Scheduling};
use fairlead_core::settings::IpvsSettings;
use fairlead_kernel::ipvs::server::Timeouts;
use ipnet::IpNet;

use super::duration::GoDuration;
use super::mode::Mode;
use super::v1alpha1::KubeProxyConfiguration;
use super::validate::Findings;

/// What ipvs mode asks of the kernel besides what it writes for Services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct IpvsOptions {
    /// Whether no device answers ARP for the addresses of another, as those of Services are
    /// (`--ipvs-strict-arp`).
    pub(crate) strict_arp: bool,
    /// How long IPVS remembers connections.
    pub(crate) timeouts: Timeouts,
}

/// The settings of a mode. In all but ipvs mode they mean nothing.
pub(super) fn settings(
    config: &KubeProxyConfiguration,
    mode: Mode,
    findings: &mut Findings<'_>,
) -> IpvsSettings {
    if mode != Mode::Ipvs {
        return IpvsSettings::default();
    }
    IpvsSettings {
        scheduling: scheduling(&config.ipvs.scheduler, findings),
        exclude_cidrs: exclude_cidrs(config, findings),
    }
}

/// The rest of the section, which counts in ipvs mode alone.
pub(super) fn options(config: &KubeProxyConfiguration, findings: &mut Findings<'_>) -> IpvsOptions {
    if Mode::of(&config.mode) != Mode::Ipvs {
        return IpvsOptions::default();
    }
    let ipvs = &config.ipvs;
    let mut seconds = |field: &str, timeout: GoDuration| {
        findings.not_negative(field, timeout);
        whole_seconds(timeout.positive())
    };
    IpvsOptions {
        strict_arp: ipvs.strict_arp,
        timeouts: Timeouts {
            tcp: seconds("ipvs.tcpTimeout", ipvs.tcp_timeout),
            tcp_fin: seconds("ipvs.tcpFinTimeout", ipvs.tcp_fin_timeout),
            udp: seconds("ipvs.udpTimeout", ipvs.udp_timeout),
        },
    }
}

fn scheduling(text: &str, findings: &mut Findings<'_>) -> Scheduling {
    if text.is_empty() {
        return Scheduling::default();
    }
    let parsed = text.parse::<Scheduling>();
    let parsed = parsed.map_err(|error| error.to_string()).and_then(|it| {
        let is_there = Scheduler::in_ipvs().any(|scheduler| scheduler == it.scheduler);
        let why = || format!("scheduler {} is not one of the kernel's", it.scheduler);
        is_there.then_some(it).ok_or_else(why)
    });
    parsed.unwrap_or_else(|why| {
        findings.refuse("ipvs.scheduler", why);
        Scheduling::default()
    })
}

fn exclude_cidrs(config: &KubeProxyConfiguration, findings: &mut Findings<'_>) -> Vec<IpNet> {
    let texts = config.ipvs.exclude_cidrs.as_deref().unwrap_or_default();
    let mut nets = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        match parse_net(text) {
            Ok(net) => nets.push(net),
            Err(error) => {
                findings.refuse(&format!("ipvs.excludeCIDRs[{index}]"), error.to_string());
            }
        }
    }
    nets
}

/// The kernel's unit. Less than a second is none, which leaves what the kernel has, as with
/// kube-proxy.
fn whole_seconds(timeout: Duration) -> u32 {
    u32::try_from(timeout.as_secs()).unwrap_or(u32::MAX)
}
