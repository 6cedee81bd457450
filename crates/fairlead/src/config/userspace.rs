//! What userspace mode is told: by the two fields that kube-proxy had for it, and by flags of ours.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use fairlead_core::settings::UserspaceSettings;

use super::complete::Completed;
use super::duration::GoDuration;
use super::mode::is_userspace;
use super::validate::Findings;

/// How often an endpoint may be tried for at most.
const MOST_TRIES: usize = 8;
/// More threads than that no node has a use for.
const MOST_THREADS: i32 = 64;

/// What is asked of the relay besides where its traffic comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UserspaceOptions {
    /// How long each try to reach an endpoint may take, the first to the last.
    pub(crate) dial_timeouts: Vec<Duration>,
    /// How long a client of UDP is remembered that says and hears nothing.
    pub(crate) udp_idle: Duration,
    /// How many connections there may be; 0: as many as there are descriptors for.
    pub(crate) max_connections: usize,
    /// How long connections may go on when the process ends.
    pub(crate) drain: Duration,
    /// How many threads carry; 0: one a CPU, at most 4.
    pub(crate) threads: usize,
}

impl Default for UserspaceOptions {
    fn default() -> UserspaceOptions {
        UserspaceOptions {
            dial_timeouts: [250, 500, 1000, 2000].map(Duration::from_millis).into(),
            udp_idle: UDP_IDLE.positive(),
            max_connections: 0,
            drain: DRAIN.positive(),
            threads: 0,
        }
    }
}

/// As a line of the log has them.
impl fmt::Display for UserspaceOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let UserspaceOptions {
            dial_timeouts,
            udp_idle,
            max_connections,
            drain,
            threads,
        } = self;
        write!(
            f,
            "tries of {dial_timeouts:?}, UDP clients for {udp_idle:?}, connections {max_connections}, \
             at the end {drain:?}, threads {threads}"
        )
    }
}

/// The words of `--userspace-dial-timeouts` without the flag, which are kube-proxy's.
pub(crate) const DIAL_TIMEOUTS: &str = "250ms,500ms,1s,2s";
/// `udpIdleTimeout` where it is not given. kube-proxy had 250 ms, which a slow answer outlasts; 30 s
/// is how long the kernel remembers a UDP client (`net.netfilter.nf_conntrack_udp_timeout`).
pub(crate) const UDP_IDLE: GoDuration = GoDuration::from_secs(30);
/// `--userspace-drain-timeout` without the flag. A pod has 30 s to end
/// (`terminationGracePeriodSeconds`).
pub(crate) const DRAIN: GoDuration = GoDuration::from_secs(20);

/// What shapes the rules. In all but userspace mode it means nothing.
pub(super) fn settings(
    completed: &Completed<'_>,
    findings: &mut Findings<'_>,
) -> UserspaceSettings {
    let mut settings = UserspaceSettings::default();
    if !is_userspace(&completed.config.mode) {
        return settings;
    }
    match ports(&completed.config.port_range) {
        Ok(Some(ports)) => settings.ports = ports,
        Ok(None) => {}
        Err(why) => findings.refuse("portRange", why),
    }
    let word = &completed.given.flags.other.userspace_source_address;
    match word.as_str() {
        "node" => settings.keep_source = false,
        "client" => settings.keep_source = true,
        _ => {
            let why = format!("{word:?} is neither node nor client");
            findings.refuse("--userspace-source-address", why);
        }
    }
    settings
}

/// What the relay is asked for.
pub(super) fn options(completed: &Completed<'_>, findings: &mut Findings<'_>) -> UserspaceOptions {
    if !is_userspace(&completed.config.mode) {
        return UserspaceOptions::default();
    }
    let own = &completed.given.flags.other;
    if own.once {
        let why = "nobody carries traffic in userspace mode once the program has ended";
        findings.refuse("--once", why);
    }
    let udp_idle = completed.config.udp_idle_timeout;
    findings.positive("udpIdleTimeout", udp_idle);
    let drain = own.userspace_drain_timeout;
    findings.not_negative("--userspace-drain-timeout", drain);
    let connections = own.userspace_max_connections;
    findings.not_negative("--userspace-max-connections", connections);
    let threads = own.userspace_threads;
    findings.within("--userspace-threads", Some(threads), 0, MOST_THREADS);
    let dial_timeouts = dial_timeouts(&own.userspace_dial_timeouts).unwrap_or_else(|why| {
        findings.refuse("--userspace-dial-timeouts", why);
        Vec::new()
    });
    UserspaceOptions {
        dial_timeouts,
        udp_idle: udp_idle.positive(),
        max_connections: usize::try_from(connections).unwrap_or_default(),
        drain: drain.positive(),
        threads: usize::try_from(threads).unwrap_or_default(),
    }
}

/// A range as kube-proxy has it: `11000-29999`, `11000+18999`, `11000`. Nothing and 0 mean none.
fn ports(text: &str) -> Result<Option<RangeInclusive<u16>>, String> {
    let hint = || {
        format!("{text:?} is not a range of ports; write it like 11000-29999, 11000+18999 or 11000")
    };
    let number = |text: &str| text.parse::<u32>().map_err(|_| hint());
    let (first, last) = match text.trim() {
        "" | "0" | "0-0" => return Ok(None),
        text => match (text.split_once('-'), text.split_once('+')) {
            (None, None) => (number(text)?, number(text)?),
            (Some((first, last)), None) => (number(first)?, number(last)?),
            (None, Some((first, more))) => {
                let first = number(first)?;
                (first, first.saturating_add(number(more)?))
            }
            (Some(_), Some(_)) => return Err(hint()),
        },
    };
    if first > last {
        return Err(format!("{text:?} ends before it begins"));
    }
    match (u16::try_from(first), u16::try_from(last)) {
        (Ok(first @ 1..), Ok(last)) => Ok(Some(first..=last)),
        _ => Err(format!("{text:?} goes beyond the ports 1 to 65535")),
    }
}

fn dial_timeouts(text: &str) -> Result<Vec<Duration>, String> {
    let give = |what: String| {
        Err(format!(
            "{what}; give 1 to {MOST_TRIES} durations, like {DIAL_TIMEOUTS}"
        ))
    };
    if text.trim().is_empty() {
        return give("is empty".to_owned());
    }
    let mut timeouts = Vec::new();
    for word in text.split(',') {
        let timeout: GoDuration = word.trim().parse()?;
        if timeout <= GoDuration::ZERO {
            return Err(format!("{timeout} must be greater than 0"));
        }
        timeouts.push(timeout.positive());
    }
    match timeouts.len() {
        ..=MOST_TRIES => Ok(timeouts),
        count => give(format!("has {count} durations")),
    }
}
