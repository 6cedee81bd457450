//! Whether a completed configuration makes sense, by kube-proxy's rules. What settings are made
//! of is read in `meaning`, which says what it cannot read.

use std::fmt::Display;

use fairlead_core::address::{Family, parse_ip, parse_net};

use super::address::socket;
use super::complete::Completed;
use super::duration::GoDuration;
use super::gates::Gates;
use super::logging;
use super::mode;
use super::origin::Origin;
use super::v1alpha1::KubeProxyConfiguration;
use crate::cli::flags::Invocation;

/// The release before the one that this does the work of, whose metrics can be asked for.
const PREVIOUS_MINOR: &str = "1.35";

/// Collects what is wrong, with the names by which it was given.
pub(super) struct Findings<'a> {
    origin: Origin<'a>,
    /// What is wrong.
    pub(super) errors: Vec<String>,
}

impl<'a> Findings<'a> {
    pub(super) fn new(origin: Origin<'a>) -> Findings<'a> {
        Findings {
            origin,
            errors: Vec::new(),
        }
    }

    /// Notes what is wrong with a field.
    pub(super) fn refuse(&mut self, field: &str, message: impl AsRef<str>) {
        let name = self.origin.name(field);
        let error = format!("{name}: {}", message.as_ref());
        // A value may count for two fields.
        if !self.errors.contains(&error) {
            self.errors.push(error);
        }
    }

    pub(super) fn within(&mut self, field: &str, number: Option<i32>, least: i32, most: i32) {
        match number {
            Some(number) if !(least..=most).contains(&number) => self.refuse(
                field,
                format!("{number} must be within the range [{least}, {most}]"),
            ),
            _ => {}
        }
    }

    pub(super) fn not_negative<T: PartialOrd + Default + Display + Copy>(
        &mut self,
        field: &str,
        value: T,
    ) {
        if value < T::default() {
            let message = format!("{value} must be greater than or equal to 0");
            self.refuse(field, message);
        }
    }

    pub(super) fn positive(&mut self, field: &str, value: GoDuration) {
        if value <= GoDuration::ZERO {
            self.refuse(field, format!("{value} must be greater than 0"));
        }
    }
}

/// Looks at everything.
pub(super) fn validate(completed: &Completed<'_>, gates: &Gates, findings: &mut Findings<'_>) {
    let config = &completed.config;
    if let Some(refusal) = mode::refusal(&config.mode) {
        findings.refuse("mode", refusal);
    }
    addresses(completed, findings);
    findings.within("oomScoreAdj", config.oom_score_adj, -1000, 1000);
    findings.positive("configSyncPeriod", config.config_sync_period);
    findings.not_negative("clientConnection.burst", config.client_connection.burst);
    masquerading(config, findings);
    conntrack(config, findings);
    hidden_metrics(&config.show_hidden_metrics_for_version, findings);
    logging::validate(&config.logging, gates, findings);
}

/// The section of the mode with its least and longest period; their names begin with it.
pub(super) fn periods(config: &KubeProxyConfiguration) -> (&'static str, GoDuration, GoDuration) {
    match config.mode.as_str() {
        "nftables" => {
            let section = &config.nftables;
            ("nftables", section.min_sync_period, section.sync_period)
        }
        "ipvs" => ("ipvs", config.ipvs.min_sync_period, config.ipvs.sync_period),
        _ => {
            let section = &config.iptables;
            ("iptables", section.min_sync_period, section.sync_period)
        }
    }
}

/// Checks the periods that are used.
pub(super) fn sync_periods(
    names: (&str, &str),
    least: GoDuration,
    longest: GoDuration,
    findings: &mut Findings<'_>,
) {
    findings.positive(names.1, longest);
    findings.not_negative(names.0, least);
    if least > longest {
        let other = findings.origin.name(names.0);
        let message = format!("{longest} must be greater than or equal to {least} of {other}");
        findings.refuse(names.1, message);
    }
}

fn addresses(completed: &Completed<'_>, findings: &mut Findings<'_>) {
    let config = &completed.config;
    if parse_ip(&config.bind_address).is_err() {
        let message = format!("{:?} is not an IP address", config.bind_address);
        findings.refuse("bindAddress", message);
    }
    if !config.healthz_bind_address.is_empty()
        && let Err(error) = socket(&config.healthz_bind_address)
    {
        findings.refuse("healthzBindAddress", error);
    }
    let given = completed.given;
    let switched_off = given.invocation == Invocation::Fairlead
        && completed.lines.is_none()
        && given.text("metrics-bind-address") == Some("");
    if config.metrics_bind_address.is_empty() && !switched_off {
        findings.refuse(
            "metricsBindAddress",
            "is empty, and there must be an address",
        );
    } else if !switched_off && let Err(error) = socket(&config.metrics_bind_address) {
        findings.refuse("metricsBindAddress", error);
    }
}

fn masquerading(config: &KubeProxyConfiguration, findings: &mut Findings<'_>) {
    findings.within(
        "iptables.masqueradeBit",
        config.iptables.masquerade_bit,
        0,
        31,
    );
    if config.mode == "nftables" {
        findings.within(
            "nftables.masqueradeBit",
            config.nftables.masquerade_bit,
            0,
            31,
        );
    }
}

fn conntrack(config: &KubeProxyConfiguration, findings: &mut Findings<'_>) {
    let conntrack = &config.conntrack;
    let number = |value: Option<i32>| value.unwrap_or_default();
    let duration = |value: Option<GoDuration>| value.unwrap_or_default();
    findings.not_negative("conntrack.maxPerCore", number(conntrack.max_per_core));
    findings.not_negative("conntrack.min", number(conntrack.min));
    for (field, value) in [
        (
            "tcpEstablishedTimeout",
            duration(conntrack.tcp_established_timeout),
        ),
        (
            "tcpCloseWaitTimeout",
            duration(conntrack.tcp_close_wait_timeout),
        ),
        ("udpTimeout", conntrack.udp_timeout),
        ("udpStreamTimeout", conntrack.udp_stream_timeout),
    ] {
        findings.not_negative(&format!("conntrack.{field}"), value);
    }
}

fn hidden_metrics(version: &str, findings: &mut Findings<'_>) {
    if !version.is_empty() && version != PREVIOUS_MINOR {
        let message = format!("{version:?} must be omitted or have the value {PREVIOUS_MINOR}");
        findings.refuse("showHiddenMetricsForVersion", message);
    }
}

/// Networks, one of a family at most.
pub(super) fn cluster_cidrs(text: &str, findings: &mut Findings<'_>) -> Vec<ipnet::IpNet> {
    let mut nets: Vec<ipnet::IpNet> = Vec::new();
    let parts: Vec<_> = text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect();
    for (index, part) in parts.iter().enumerate() {
        let field = match parts.len() {
            1 => "clusterCIDR".to_owned(),
            _ => format!("clusterCIDR[{index}]"),
        };
        match parse_net(part) {
            Ok(net) => {
                let family = Family::of_net(net);
                if nets.iter().any(|known| Family::of_net(*known) == family) {
                    let message =
                        format!("{net} is a second {family} network; give one of each family");
                    findings.refuse(&field, message);
                } else {
                    nets.push(net);
                }
            }
            Err(error) => findings.refuse(&field, error.to_string()),
        }
    }
    nets
}
