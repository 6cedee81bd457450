//! Flags turned into settings. All that is wrong is said at once.

mod duration;
mod node_ports;

use std::fmt;

use ipnet::IpNet;

pub(crate) use duration::duration;

use fairlead_core::address::{Family, parse_net};
use fairlead_core::settings::{DetectLocal, Settings};

use crate::cli::{DetectLocalMode, ProxyFlags};

/// Everything that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConfigErrors(Vec<String>);

impl std::error::Error for ConfigErrors {}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0[..] {
            [one] => write!(f, "invalid configuration: {one}"),
            all => write!(f, "invalid configuration:\n  {}", all.join("\n  ")),
        }
    }
}

impl ConfigErrors {
    /// A single one.
    pub(crate) fn one(error: String) -> ConfigErrors {
        ConfigErrors(vec![error])
    }
}

/// Collects what is wrong, so that all of it can be said.
#[derive(Debug, Default)]
pub(crate) struct Problems(Vec<String>);

impl Problems {
    /// Adds a problem.
    pub(crate) fn add(&mut self, problem: String) {
        self.0.push(problem);
    }

    /// Takes what is right, notes what is wrong.
    pub(crate) fn take<T>(&mut self, result: Result<T, ConfigErrors>) -> Option<T> {
        result.map_err(|errors| self.0.extend(errors.0)).ok()
    }

    /// The parts, if nothing was wrong with any.
    pub(crate) fn settle<A, B, C>(
        self,
        parts: (Option<A>, Option<B>, Option<C>),
    ) -> Result<(A, B, C), ConfigErrors> {
        match parts {
            (Some(a), Some(b), Some(c)) if self.0.is_empty() => Ok((a, b, c)),
            _ => Err(ConfigErrors(self.0)),
        }
    }
}

/// What the flags mean.
pub(crate) fn settings(flags: &ProxyFlags) -> Result<Settings, ConfigErrors> {
    let mut errors = Vec::new();
    let settings = Settings {
        node_name: node_name(flags.hostname_override.as_deref(), &mut errors),
        detect_local: detect_local(flags, &mut errors),
        masquerade_all: flags.masquerade_all,
        masquerade_mark: masquerade_mark(flags.iptables_masquerade_bit, &mut errors),
        node_port_addresses: node_ports::read(&flags.nodeport_addresses, &mut errors),
        ..Settings::default()
    };
    if errors.is_empty() {
        Ok(settings)
    } else {
        Err(ConfigErrors(errors))
    }
}

/// The node's name is the host's in lower case unless another is given, as the kubelet has it.
fn node_name(given: Option<&str>, errors: &mut Vec<String>) -> String {
    let name = match given {
        Some(given) => given.to_owned(),
        None => nix::unistd::gethostname()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
    };
    let name = name.trim().to_lowercase();
    if name.is_empty() {
        errors.push(
            "--hostname-override: is empty; give the name of this node's Node object".to_owned(),
        );
    }
    name
}

fn detect_local(flags: &ProxyFlags, errors: &mut Vec<String>) -> DetectLocal {
    let mut required = |flag: &str, value: &str, what: &str| {
        if value.is_empty() {
            errors.push(format!(
                "{flag}: is needed with this --detect-local-mode: {what}"
            ));
        }
        value.to_owned()
    };
    match flags.detect_local_mode {
        DetectLocalMode::BridgeInterface => DetectLocal::BridgeInterface(required(
            "--pod-bridge-interface",
            &flags.pod_bridge_interface,
            "the name of the bridge",
        )),
        DetectLocalMode::InterfaceNamePrefix => DetectLocal::InterfaceNamePrefix(required(
            "--pod-interface-name-prefix",
            &flags.pod_interface_name_prefix,
            "how the interfaces' names begin",
        )),
        DetectLocalMode::NodeCidr => DetectLocal::NodeCidr,
        DetectLocalMode::ClusterCidr => match cluster_cidrs(&flags.cluster_cidr, errors) {
            nets if nets.is_empty() => DetectLocal::None,
            nets => DetectLocal::ClusterCidr(nets),
        },
    }
}

/// One network, or one of each family.
fn cluster_cidrs(text: &str, errors: &mut Vec<String>) -> Vec<IpNet> {
    let mut nets: Vec<IpNet> = Vec::new();
    for part in text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        match parse_net(part) {
            Ok(net)
                if nets
                    .iter()
                    .any(|known| Family::of_net(*known) == Family::of_net(net)) =>
            {
                let family = Family::of_net(net);
                errors.push(format!(
                    "--cluster-cidr: {net} is a second {family} network; give one of each family"
                ));
            }
            Ok(net) => nets.push(net),
            Err(error) => errors.push(format!("--cluster-cidr: {error}")),
        }
    }
    nets
}

fn masquerade_mark(bit: u32, errors: &mut Vec<String>) -> u32 {
    1u32.checked_shl(bit).unwrap_or_else(|| {
        errors.push(format!(
            "--iptables-masquerade-bit: {bit} is not a bit of a mark; give 0 to 31"
        ));
        0
    })
}

#[cfg(test)]
mod tests;
