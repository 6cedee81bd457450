//! Flags and file made one: which of them counts, and what is not given.

use std::collections::BTreeMap;

use super::address::with_port;
use super::defaults::with_defaults;
use super::duration::GoDuration;
use super::effect::{ignored, without_effect};
use super::file::File;
use super::mode::{Mode, is_userspace};
use super::origin::{Origin, is_of_the_log};
use super::v1alpha1::KubeProxyConfiguration;
use crate::cli::flags::{Flags, Given, Invocation};

/// A configuration in which everything is given. Nobody has looked whether it makes sense.
#[derive(Debug)]
pub(super) struct Completed<'a> {
    /// As it is used: the section of the mode has the periods, those of other modes have none.
    pub(super) config: KubeProxyConfiguration,
    /// The flags.
    pub(super) given: &'a Given,
    /// The line of every field, if there is a file.
    pub(super) lines: Option<BTreeMap<String, u64>>,
    /// What has no effect.
    pub(super) warnings: Vec<String>,
    /// What is wrong already.
    pub(super) errors: Vec<String>,
}

impl Completed<'_> {
    /// How fields are called.
    pub(super) fn origin(&self) -> Origin<'_> {
        Origin {
            given: self.given,
            lines: self.lines.as_ref(),
        }
    }
}

/// Takes the file if there is one, else the flags.
pub(super) fn complete(given: &Given, file: Option<File>) -> Completed<'_> {
    let (mut warnings, mut errors) = (Vec::new(), given.errors.clone());
    let (mut config, lines) = match file {
        Some(file) => {
            errors.extend(file.errors);
            warnings.extend(file.warnings);
            warnings.extend(ignored(given));
            (of_file(file.config, given), Some(file.lines))
        }
        None => (of_flags(given, &mut warnings), None),
    };
    name_node(&mut config, given, &mut errors);
    if config.detect_local_mode.is_empty() {
        "ClusterCIDR".clone_into(&mut config.detect_local_mode);
    }
    keep_one_section(&mut config);
    let mut completed = Completed {
        config,
        given,
        lines,
        warnings,
        errors,
    };
    let without_effect = without_effect(&completed);
    completed.warnings.extend(without_effect);
    completed
}

fn of_file(file: KubeProxyConfiguration, given: &Given) -> KubeProxyConfiguration {
    let mut config = with_defaults(choose_mode(file));
    let of_file = std::mem::take(&mut config.logging.vmodule);
    let mut flags = Flags {
        config,
        ..given.flags.clone()
    };
    given.set_again(&mut flags, is_of_the_log);
    flags.config.logging.vmodule.extend(of_file);
    flags.config
}

/// Without a mode kube-proxy has iptables, so that section is what is meant, unless the one of our
/// own mode says something.
fn choose_mode(mut config: KubeProxyConfiguration) -> KubeProxyConfiguration {
    if config.mode.is_empty() {
        Mode::ALL[0].name().clone_into(&mut config.mode);
        let (to, from) = (&mut config.nftables, &config.iptables);
        to.masquerade_bit = to.masquerade_bit.or(from.masquerade_bit);
        to.masquerade_all |= from.masquerade_all;
        to.sync_period = to.sync_period.or(from.sync_period);
        to.min_sync_period = to.min_sync_period.or(from.min_sync_period);
    }
    config
}

fn of_flags(given: &Given, warnings: &mut Vec<String>) -> KubeProxyConfiguration {
    let Flags { mut config, other } = given.flags.clone();
    let no_mode = config.mode.is_empty();
    if no_mode {
        Mode::ALL[0].name().clone_into(&mut config.mode);
    }
    listen(&mut config, given, warnings);
    let (nftables, iptables) = (&mut config.nftables, &mut config.iptables);
    nftables.masquerade_all = other.masquerade_all;
    iptables.masquerade_all = other.masquerade_all;
    for (sync, min_sync) in [
        (&mut nftables.sync_period, &mut nftables.min_sync_period),
        (&mut iptables.sync_period, &mut iptables.min_sync_period),
    ] {
        *sync = other.iptables_sync_period;
        *min_sync = other.iptables_min_sync_period;
    }
    if is_userspace(&config.mode) {
        config.udp_idle_timeout = other.udp_timeout;
    }
    config.ipvs.sync_period = other.ipvs_sync_period;
    config.ipvs.min_sync_period = other.ipvs_min_sync_period;
    let has_bit_of_iptables_alone =
        given.has("iptables-masquerade-bit") && !given.has("nftables-masquerade-bit");
    if no_mode && has_bit_of_iptables_alone {
        nftables.masquerade_bit = iptables.masquerade_bit;
    }
    config
}

/// Where the servers listen: the address with its usual port, or with that of the deprecated flag.
fn listen(config: &mut KubeProxyConfiguration, given: &Given, warnings: &mut Vec<String>) {
    let defaults = with_defaults(KubeProxyConfiguration {
        bind_address: config.bind_address.clone(),
        ..KubeProxyConfiguration::default()
    });
    let other = &given.flags.other;
    let servers = [
        (
            ["healthz-bind-address", "healthz-port"],
            &mut config.healthz_bind_address,
            defaults.healthz_bind_address,
            other.healthz_port,
        ),
        (
            ["metrics-bind-address", "metrics-port"],
            &mut config.metrics_bind_address,
            defaults.metrics_bind_address,
            other.metrics_port,
        ),
    ];
    for ([flag, port_flag], address, default, port) in servers {
        let given_address = given.text(flag);
        if given_address.is_none_or(str::is_empty) {
            *address = default;
        }
        // kube-proxy says so in its help, and does not do so.
        let nowhere = given_address == Some("") && given.invocation == Invocation::Fairlead;
        let no_port = port == 0 && other.write_config_to.is_empty();
        if nowhere || no_port {
            address.clear();
        } else {
            if given.has(port_flag) && with_port(address, port) == *address {
                warnings.push(format!(
                    "--{port_flag} does not count: {address} has a port already; give the port with --{flag}"
                ));
            }
            *address = with_port(address, port);
        }
    }
}

/// A name that is given as a flag counts most. It is that of a Node object, which has no capitals.
fn name_node(config: &mut KubeProxyConfiguration, given: &Given, errors: &mut Vec<String>) {
    let flag = &given.flags.other.hostname_override;
    if flag.is_empty() {
        return;
    }
    if flag.trim().is_empty() {
        errors.push(
            "--hostname-override: is empty; give the name of this node's Node object".to_owned(),
        );
    }
    config.hostname_override = flag.trim().to_lowercase();
}

/// There is one period and one choice to masquerade; they stand in the section of the mode.
fn keep_one_section(config: &mut KubeProxyConfiguration) {
    let (nftables, iptables, ipvs) = (&mut config.nftables, &mut config.iptables, &mut config.ipvs);
    let zero = GoDuration::ZERO;
    if config.mode == Mode::Nftables.name() {
        iptables.masquerade_all = false;
    } else {
        nftables.masquerade_all = false;
        (nftables.sync_period, nftables.min_sync_period) = (zero, zero);
    }
    if config.mode != "ipvs" {
        (ipvs.sync_period, ipvs.min_sync_period) = (zero, zero);
    }
    if config.mode == Mode::Nftables.name() || config.mode == "ipvs" {
        (iptables.sync_period, iptables.min_sync_period) = (zero, zero);
    }
}
