//! What is given and has no effect: because of the file, of the mode, or at all.

use super::complete::Completed;
use super::duration::GoDuration;
use super::mode::{Mode, is_userspace};
use super::origin::is_of_the_log;
use crate::cli::flags::{Flag, Flags, Given, Standing, all};

/// A single warning for all flags that the file makes void.
pub(super) fn ignored(given: &Given) -> Option<String> {
    let void = |flag: &&Flag| flag.standing != Standing::Always && !is_of_the_log(flag);
    let names: Vec<_> = given
        .flags()
        .into_iter()
        .filter(void)
        .map(ToString::to_string)
        .collect();
    (!names.is_empty()).then(|| format!("ignored because of --config: {}", names.join(", ")))
}

/// One warning for each flag and field that is given and deprecated or never counts.
pub(super) fn without_effect(completed: &Completed<'_>) -> Vec<String> {
    let mut warnings = Vec::new();
    let origin = completed.origin();
    for flag in completed.given.flags() {
        match flag.standing {
            Standing::Deprecated(instead) if completed.lines.is_none() => {
                warnings.push(format!("{flag} is deprecated: {instead}"));
            }
            Standing::Never(why) if origin.counts(flag) => {
                warnings.push(format!("{flag} has no effect: {why}"));
            }
            _ => {}
        }
    }
    warnings.extend(of_another_mode(completed));
    if completed.lines.is_some() {
        warnings.extend(fields_without_effect(completed));
    }
    let config = &completed.config;
    if !config.client_connection.accept_content_types.is_empty() {
        let name = origin.name("clientConnection.acceptContentTypes");
        warnings.push(format!(
            "{name} has no effect: the API is always asked for JSON"
        ));
    }
    if !is_userspace(&config.mode) {
        warnings.extend(of_userspace_mode(completed));
    }
    warnings
}

/// Flags and fields of userspace mode, which is not the one.
fn of_userspace_mode(completed: &Completed<'_>) -> Vec<String> {
    const FLAGS: [&str; 7] = [
        "proxy-port-range",
        "udp-timeout",
        "userspace-source-address",
        "userspace-dial-timeouts",
        "userspace-max-connections",
        "userspace-drain-timeout",
        "userspace-threads",
    ];
    const WHY: &str = "it is for userspace mode";
    let (origin, config) = (completed.origin(), &completed.config);
    let of_flags = completed.given.flags().into_iter();
    let of_flags = of_flags.filter(|flag| FLAGS.contains(&flag.name) && origin.counts(flag));
    let mut told: Vec<String> = of_flags
        .map(|flag| format!("{flag} does not count in {} mode; {WHY}", config.mode))
        .collect();
    let fields = [
        ("portRange", config.port_range.is_empty()),
        (
            "udpIdleTimeout",
            config.udp_idle_timeout == GoDuration::ZERO,
        ),
    ];
    for (field, _) in fields
        .into_iter()
        .filter(|(_, is_empty)| !is_empty && completed.lines.is_some())
    {
        told.push(format!("{} has no effect: {WHY}", origin.name(field)));
    }
    told
}

/// Flags that were given for a mode that is not the one.
fn of_another_mode(completed: &Completed<'_>) -> Vec<String> {
    const NO_COUNTERS: &str =
        "its rules are kube-proxy's, which do not count the traffic of Services";
    const IPVS_COUNTS: &str = "IPVS counts by itself, see ipvsadm --list --stats";
    const RELAY_COUNTS: &str = "the relay counts by itself, see fairlead_userspace_* at /metrics";
    const NO_IPVS: &str = "it is for ipvs mode";
    let (given, config) = (completed.given, &completed.config);
    let by_flags = completed.lines.is_none();
    // Without a mode the bit of iptables mode counts in ours.
    let is_lent = given.flags.config.mode.is_empty() || given.has("nftables-masquerade-bit");
    let localhost = config.iptables.localhost_node_ports == Some(true);
    let counts = given.flags.other.traffic_counters;
    let rows = match Mode::of(&config.mode) {
        Mode::Nftables => vec![
            (
                by_flags && !is_lent,
                "iptables-masquerade-bit",
                "use --nftables-masquerade-bit",
            ),
            (
                by_flags && localhost,
                "iptables-localhost-nodeports",
                "use the word localhost in --nodeport-addresses",
            ),
            (true, "iptables-variant", "it is for iptables mode"),
            (true, "ipvs-fallback", NO_IPVS),
        ],
        Mode::Iptables => vec![
            (
                by_flags,
                "nftables-masquerade-bit",
                "use --iptables-masquerade-bit",
            ),
            (counts, "traffic-counters", NO_COUNTERS),
            (true, "metrics-max-services", NO_COUNTERS),
            (true, "ipvs-fallback", NO_IPVS),
        ],
        Mode::Ipvs => vec![
            (
                by_flags,
                "nftables-masquerade-bit",
                "use --iptables-masquerade-bit",
            ),
            (
                by_flags && localhost,
                "iptables-localhost-nodeports",
                "its node ports never answer on localhost",
            ),
            (counts, "traffic-counters", IPVS_COUNTS),
            (true, "metrics-max-services", IPVS_COUNTS),
        ],
        Mode::Userspace => vec![
            (
                by_flags,
                "nftables-masquerade-bit",
                "use --iptables-masquerade-bit",
            ),
            (
                by_flags && localhost,
                "iptables-localhost-nodeports",
                "use the word localhost in --nodeport-addresses",
            ),
            (counts, "traffic-counters", RELAY_COUNTS),
            (true, "iptables-variant", "it is for iptables mode"),
            (true, "ipvs-fallback", NO_IPVS),
        ],
    };
    let told = rows
        .into_iter()
        .filter(|(counts, flag, _)| *counts && given.has(flag));
    told.map(|(_, flag, why)| format!("--{flag} does not count in {} mode; {why}", config.mode))
        .collect()
}

fn fields_without_effect(completed: &Completed<'_>) -> Vec<String> {
    let origin = completed.origin();
    let mut flags = Flags {
        config: completed.config.clone(),
        ..Flags::default()
    };
    let mut defaults = Flags::default();
    let mut warn = |flag: &'static Flag| {
        let Standing::Never(why) = flag.standing else {
            return None;
        };
        let given = completed.given.has(flag.name) && origin.counts(flag);
        if given || flag.slot.show(&mut flags) == flag.slot.show(&mut defaults) {
            return None;
        }
        let name = origin.name(flag.fields.first()?);
        Some(format!("{name} has no effect: {why}"))
    };
    all().filter_map(&mut warn).collect()
}
