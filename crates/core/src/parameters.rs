//! Which kernel parameters the operator wants set.

use std::ops::Range;
use std::time::Duration;

use crate::settings::NodePortAddresses;

/// The most connections that are ever asked for, whatever the number of CPUs, as in kube-proxy:
/// the table's memory would be gone for good.
const MOST_CONNECTIONS: u64 = 1 << 20;

/// How many connections may share a place in the hash table on average, as in kube-proxy.
const CONNECTIONS_A_PLACE: u64 = 4;

/// Has IPVS track its connections as others are. Without it they cannot be masqueraded.
pub const IPVS_CONNTRACK: &str = "net/ipv4/vs/conntrack";

/// The section `conntrack` of the configuration. A zero leaves the kernel's own value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConntrackSettings {
    /// How many connections the table may have for each CPU; with zero `min` does not count.
    pub max_per_core: u32,
    /// How many it may have at least, however few CPUs there are.
    pub min: u32,
    /// How long an idle TCP connection is remembered.
    pub tcp_established_timeout: Duration,
    /// How long a TCP connection is remembered that one side has closed.
    pub tcp_close_wait_timeout: Duration,
    /// TCP packets outside the window are let through as part of their connection.
    pub tcp_be_liberal: bool,
    /// How long a UDP connection is remembered that had no answer yet.
    pub udp_timeout: Duration,
    /// How long a UDP connection is remembered that had one.
    pub udp_stream_timeout: Duration,
}

impl Default for ConntrackSettings {
    fn default() -> ConntrackSettings {
        ConntrackSettings {
            max_per_core: 32 * 1024,
            min: 128 * 1024,
            tcp_established_timeout: Duration::from_hours(24),
            tcp_close_wait_timeout: Duration::from_hours(1),
            tcp_be_liberal: false,
            udp_timeout: Duration::ZERO,
            udp_stream_timeout: Duration::ZERO,
        }
    }
}

/// A parameter that is to have a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameter {
    /// Its path below `/proc/sys`.
    pub name: &'static str,
    /// The value: a number, or seconds.
    pub value: u64,
    /// Which other values will do.
    pub rule: Rule,
    /// The field of the configuration that asks for it.
    pub field: &'static str,
}

/// Which values of a parameter are right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// This one alone.
    Exactly,
    /// This one and all that are greater.
    AtLeast,
}

impl Parameter {
    /// Whether what the parameter is now will do.
    pub fn accepts(&self, current: &str) -> bool {
        current
            .trim()
            .parse::<u64>()
            .is_ok_and(|current| match self.rule {
                Rule::Exactly => current == self.value,
                Rule::AtLeast => current >= self.value,
            })
    }
}

/// What the settings ask for on a machine with so many CPUs, in the order in which to set it.
pub fn conntrack(settings: &ConntrackSettings, cpus: usize) -> Vec<Parameter> {
    let seconds = |name, field, timeout: Duration| {
        let value = timeout.as_secs();
        (value > 0).then(|| exactly(name, value, field))
    };
    let liberal = settings.tcp_be_liberal.then(|| {
        let name = "net/netfilter/nf_conntrack_tcp_be_liberal";
        exactly(name, 1, "conntrack.tcpBeLiberal")
    });
    let timeouts = [
        seconds(
            "net/netfilter/nf_conntrack_tcp_timeout_established",
            "conntrack.tcpEstablishedTimeout",
            settings.tcp_established_timeout,
        ),
        seconds(
            "net/netfilter/nf_conntrack_tcp_timeout_close_wait",
            "conntrack.tcpCloseWaitTimeout",
            settings.tcp_close_wait_timeout,
        ),
        liberal,
        seconds(
            "net/netfilter/nf_conntrack_udp_timeout",
            "conntrack.udpTimeout",
            settings.udp_timeout,
        ),
        seconds(
            "net/netfilter/nf_conntrack_udp_timeout_stream",
            "conntrack.udpStreamTimeout",
            settings.udp_stream_timeout,
        ),
    ];
    table_size(settings, cpus)
        .into_iter()
        .chain(timeouts.into_iter().flatten())
        .collect()
}

/// What node ports at these addresses ask for.
pub fn node_ports(addresses: &NodePortAddresses) -> Vec<Parameter> {
    // Lets packets with a loopback address be routed, also to pods.
    let name = "net/ipv4/conf/all/route_localnet";
    let localhost = addresses
        .serves_localhost()
        .then(|| exactly(name, 1, "nodePortAddresses"));
    localhost.into_iter().collect()
}

/// Which kernels of ipvs mode have a client's port wait when it is used again too soon, unless told
/// otherwise: before the first there is no such parameter, and the last needs none.
const REUSE_WAITS: Range<(u32, u32)> = (4, 1)..(5, 9);

/// What ipvs mode asks for of a kernel of this version (major and minor), as kube-proxy does. Those
/// below `net/ipv4/vs` are there once the module `ip_vs` is loaded.
pub fn ipvs(strict_arp: bool, kernel: (u32, u32)) -> Vec<Parameter> {
    let mode = "mode ipvs";
    let mut wanted = vec![exactly(IPVS_CONNTRACK, 1, mode)];
    if REUSE_WAITS.contains(&kernel) {
        wanted.push(exactly("net/ipv4/vs/conn_reuse_mode", 0, mode));
    }
    wanted.extend([
        exactly("net/ipv4/vs/expire_nodest_conn", 1, mode),
        exactly("net/ipv4/vs/expire_quiescent_template", 1, mode),
        exactly("net/ipv4/ip_forward", 1, mode),
    ]);
    if strict_arp {
        let field = "ipvs.strictARP";
        wanted.extend([
            exactly("net/ipv4/conf/all/arp_ignore", 1, field),
            exactly("net/ipv4/conf/all/arp_announce", 2, field),
        ]);
    }
    wanted
}

/// What userspace mode asks for. Where clients close first, it is the process's own connections to
/// endpoints that linger for a minute (TIME-WAIT, RFC 9293) and keep their ports: a new one may
/// take such a port when the endpoint's clock tells the two apart (timestamps, RFC 7323).
pub fn userspace() -> Vec<Parameter> {
    vec![exactly("net/ipv4/tcp_tw_reuse", 1, "mode userspace")]
}

/// How large the table may become, and the hash table that goes with it: the kernel's own is made
/// for the memory there is, and chains grow long when only the first is raised.
fn table_size(settings: &ConntrackSettings, cpus: usize) -> Vec<Parameter> {
    if settings.max_per_core == 0 {
        return Vec::new();
    }
    let scaled = u64::from(settings.max_per_core).saturating_mul(cpus as u64);
    // Above the cap a greater minimum does not count any more: so kube-proxy has it.
    let max = match scaled {
        scaled if scaled > MOST_CONNECTIONS => MOST_CONNECTIONS,
        scaled => scaled.max(settings.min.into()),
    };
    let field = "conntrack.maxPerCore";
    vec![
        exactly("net/netfilter/nf_conntrack_max", max, field),
        Parameter {
            // Writing it resizes the table, as does /sys/module/nf_conntrack/parameters/hashsize.
            name: "net/netfilter/nf_conntrack_buckets",
            value: max / CONNECTIONS_A_PLACE,
            rule: Rule::AtLeast,
            field,
        },
    ]
}

fn exactly(name: &'static str, value: u64, field: &'static str) -> Parameter {
    Parameter {
        name,
        value,
        rule: Rule::Exactly,
        field,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing() -> ConntrackSettings {
        ConntrackSettings {
            max_per_core: 0,
            min: 0,
            tcp_established_timeout: Duration::ZERO,
            tcp_close_wait_timeout: Duration::ZERO,
            ..ConntrackSettings::default()
        }
    }

    /// Name without its directory, value.
    fn wanted(settings: &ConntrackSettings, cpus: usize) -> Vec<(&'static str, u64)> {
        conntrack(settings, cpus)
            .iter()
            .map(|p| (p.name.rsplit('/').next().unwrap_or_default(), p.value))
            .collect()
    }

    #[test]
    fn nothing_asked_for_is_nothing_set() {
        assert_eq!(wanted(&nothing(), 8), []);
    }

    #[test]
    fn the_size_follows_the_cpus_up_to_a_cap() {
        let max = |max_per_core, min, cpus| {
            let settings = ConntrackSettings {
                max_per_core,
                min,
                ..nothing()
            };
            wanted(&settings, cpus).first().map(|(_, max)| *max)
        };
        for (max_per_core, min, cpus, expected) in [
            (0, 0, 4, None),
            (1200, 0, 4, Some(4800)),
            (1, 250_000, 4, Some(250_000)),
            (0, 250_000, 4, None),
            (32_768, 131_072, 4, Some(131_072)),
            (32_768, 131_072, 8, Some(262_144)),
            (32_768, 131_072, 32, Some(1_048_576)),
            (32_768, 131_072, 512, Some(1_048_576)),
            (32_768, 2_000_000, 33, Some(1_048_576)),
            (32_768, 2_000_000, 32, Some(2_000_000)),
            (u32::MAX, 0, usize::MAX, Some(1_048_576)),
        ] {
            let case = (max_per_core, min, cpus);
            assert_eq!(max(max_per_core, min, cpus), expected, "{case:?}");
        }
    }

    #[test]
    fn the_hash_table_has_a_quarter_and_may_have_more() {
        let settings = ConntrackSettings {
            max_per_core: 1000,
            ..nothing()
        };
        let [max, buckets] = conntrack(&settings, 4)[..] else {
            panic!("two parameters")
        };
        assert!(max.accepts("4000") && !max.accepts("4001"));
        assert_eq!(buckets.name, "net/netfilter/nf_conntrack_buckets");
        assert!(buckets.accepts("1000\n") && buckets.accepts("262144"));
        assert!(!buckets.accepts("999") && !buckets.accepts(""));
    }

    #[test]
    fn each_setting_asks_for_its_own_parameter() {
        type Set = fn(&mut ConntrackSettings);
        let rows: [(Set, &str, u64); 5] = [
            (
                |s| s.tcp_established_timeout = Duration::from_secs(5),
                "nf_conntrack_tcp_timeout_established",
                5,
            ),
            (
                |s| s.tcp_close_wait_timeout = Duration::from_mins(1),
                "nf_conntrack_tcp_timeout_close_wait",
                60,
            ),
            (
                |s| s.tcp_be_liberal = true,
                "nf_conntrack_tcp_be_liberal",
                1,
            ),
            (
                |s| s.udp_timeout = Duration::from_secs(10),
                "nf_conntrack_udp_timeout",
                10,
            ),
            (
                |s| s.udp_stream_timeout = Duration::from_millis(7900),
                "nf_conntrack_udp_timeout_stream",
                7,
            ),
        ];
        for (set, name, value) in rows {
            let mut settings = nothing();
            set(&mut settings);
            assert_eq!(wanted(&settings, 8), [(name, value)]);
        }
    }

    #[test]
    fn loopback_is_routed_for_node_ports_on_localhost_alone() {
        let names = |localhost, loopback| {
            let addresses = NodePortAddresses {
                all: true,
                localhost,
                loopback,
                ..NodePortAddresses::default()
            };
            let wanted = node_ports(&addresses);
            wanted.iter().map(|p| (p.name, p.value)).collect::<Vec<_>>()
        };
        let routed = [("net/ipv4/conf/all/route_localnet", 1)];
        assert_eq!(names(true, false), routed);
        assert_eq!(names(false, true), routed);
        assert_eq!(names(false, false), []);
    }

    #[test]
    fn ipvs_wants_what_kube_proxy_sets() {
        let values = |strict_arp, kernel| {
            let wanted = ipvs(strict_arp, kernel);
            wanted.iter().map(|p| (p.name, p.value)).collect::<Vec<_>>()
        };
        let always = [
            (IPVS_CONNTRACK, 1),
            ("net/ipv4/vs/expire_nodest_conn", 1),
            ("net/ipv4/vs/expire_quiescent_template", 1),
            ("net/ipv4/ip_forward", 1),
        ];
        assert_eq!(values(false, (6, 1)), always);
        let arp = [
            ("net/ipv4/conf/all/arp_ignore", 1),
            ("net/ipv4/conf/all/arp_announce", 2),
        ];
        assert_eq!(values(true, (6, 1)), [&always[..], &arp].concat());
        let reuse = ("net/ipv4/vs/conn_reuse_mode", 0);
        for (kernel, expected) in [
            ((3, 19), false),
            ((4, 0), false),
            ((4, 1), true),
            ((5, 8), true),
            ((5, 9), false),
            ((5, 10), false),
            ((6, 1), false),
        ] {
            let set = values(false, kernel).contains(&reuse);
            assert_eq!(set, expected, "{kernel:?}");
        }
    }

    #[test]
    fn by_default_size_and_tcp_timeouts_are_set() {
        assert_eq!(
            wanted(&ConntrackSettings::default(), 2),
            [
                ("nf_conntrack_max", 131_072),
                ("nf_conntrack_buckets", 32_768),
                ("nf_conntrack_tcp_timeout_established", 86_400),
                ("nf_conntrack_tcp_timeout_close_wait", 3600),
            ]
        );
    }
}
