//! The rules that no Service shows in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};

use fairlead_core::address::Family;
use fairlead_core::settings::{LocalDetector, NodePortScope};
use fairlead_kernel::iptables::rule::{Interface, Match, Rule, State, Target};

use super::shared::{FIREWALL, FORWARD, MARK_MASQ, POSTROUTING};

/// The accounting object that counts packets dropped as not part of any connection.
pub const CT_INVALID_DROPPED: &str = "ct_state_invalid_dropped_pkts";
/// The accounting object that counts connections to node ports on loopback addresses.
pub const LOCALHOST_ACCEPTED: &str = "localhost_nps_accepted_pkts";

/// What this host offers, as it was found at the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// `MASQUERADE` knows `--random-fully`.
    pub random_fully: bool,
    /// Connection tracking lets packets outside the window through
    /// (`net.netfilter.nf_conntrack_tcp_be_liberal`): then none is invalid for that.
    pub liberal: bool,
    /// There is the accounting object [`CT_INVALID_DROPPED`].
    pub counts_invalid: bool,
    /// There is the accounting object [`LOCALHOST_ACCEPTED`].
    pub counts_localhost: bool,
}

impl Default for Facts {
    /// What a present Linux offers.
    fn default() -> Facts {
        Facts {
            random_fully: true,
            liberal: false,
            counts_invalid: true,
            counts_localhost: true,
        }
    }
}

impl Facts {
    /// The same without accounting objects: rules that count in them cannot be loaded where they
    /// are missing.
    #[must_use]
    pub fn uncounted(self) -> Facts {
        Facts {
            counts_invalid: false,
            counts_localhost: false,
            ..self
        }
    }
}

/// Everything about one family's rules that does not come from Services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The family.
    pub family: Family,
    /// What this host offers.
    pub facts: Facts,
    /// The bits of the packet mark that ask for masquerading.
    pub mark: u32,
    /// What tells the traffic of local pods.
    pub detector: Option<LocalDetector>,
    /// Where node ports answer.
    pub node_ports: NodePortScope,
}

impl Frame {
    /// `rule`, for traffic of local pods alone, or (`negate`) for all other; `None` when nothing
    /// tells them.
    pub(super) fn of_pods(&self, rule: Rule, negate: bool) -> Option<Rule> {
        let interface = |name: &String, prefix| {
            Some(Interface {
                name: name.clone(),
                prefix,
                negate,
            })
        };
        Some(match self.detector.as_ref()? {
            LocalDetector::Network(net) if negate => rule.not_from(*net),
            LocalDetector::Network(net) => rule.from(*net),
            LocalDetector::Interface(name) => Rule {
                input: interface(name, false),
                ..rule
            },
            LocalDetector::InterfacePrefix(name) => Rule {
                input: interface(name, true),
                ..rule
            },
        })
    }

    /// The rules that end nat `KUBE-SERVICES`: what is left may be for a node port.
    pub(super) fn dispatch(&self) -> Vec<Rule> {
        let rule = || {
            Rule::commented(
                "kubernetes service nodeports; NOTE: this must be the last rule in this chain",
            )
        };
        let scope = &self.node_ports;
        if scope.all {
            let local = rule()
                .matching(Match::DestinationIsLocal)
                .jump("KUBE-NODEPORTS");
            return vec![match (self.family, scope.localhost) {
                (Family::V4, true) => local,
                (Family::V4, false) => local.not_to(loopback()),
                (Family::V6, _) => local.not_to(IpNet::from(IpAddr::V6(Ipv6Addr::LOCALHOST))),
            }];
        }
        let localhost = scope.localhost.then_some(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let addresses = localhost.into_iter().chain(scope.addresses.iter().copied());
        addresses
            .map(|ip| rule().to(IpNet::from(ip)).jump("KUBE-NODEPORTS"))
            .collect()
    }

    /// Whether node ports answer on loopback addresses.
    pub(super) fn serves_localhost(&self) -> bool {
        self.family == Family::V4 && self.node_ports.localhost
    }

    /// The chains of the nat table that no Service shows in.
    pub(super) fn nat(&self) -> Vec<(&'static str, Vec<Rule>)> {
        let unmarked = Match::Mark {
            negate: true,
            bits: self.mark,
        };
        let masquerade = Target::Masquerade {
            random_fully: self.facts.random_fully,
        };
        let postrouting = vec![
            Rule::default().matching(unmarked).then(Target::Return),
            // So that what is encapsulated afterwards and comes by again is not masqueraded twice.
            Rule::default().then(Target::FlipMark(self.mark)),
            Rule::commented("kubernetes service traffic requiring SNAT").then(masquerade),
        ];
        let mark = vec![Rule::default().then(Target::SetMark(self.mark))];
        vec![(POSTROUTING, postrouting), (MARK_MASQ, mark)]
    }

    /// The chains of the filter table that no Service shows in.
    pub(super) fn filter(&self) -> Vec<(&'static str, Vec<Rule>)> {
        let guard = self
            .serves_localhost()
            .then(|| (FIREWALL, vec![guard_localhost()]));
        let forward = (FORWARD, self.forward());
        [forward].into_iter().chain(guard).collect()
    }

    fn forward(&self) -> Vec<Rule> {
        let marked = Match::Mark {
            negate: false,
            bits: self.mark,
        };
        let known = Match::State {
            negate: false,
            states: &[State::Related, State::Established],
        };
        let invalid = (!self.facts.liberal).then(|| self.drop_invalid());
        invalid
            .into_iter()
            .chain([
                Rule::commented("kubernetes forwarding rules")
                    .matching(marked)
                    .then(Target::Accept),
                Rule::commented("kubernetes forwarding conntrack rule")
                    .matching(known)
                    .then(Target::Accept),
            ])
            .collect()
    }

    /// Packets that connection tracking cannot place would reach the client untranslated, which
    /// would end its connection by a reset.
    fn drop_invalid(&self) -> Rule {
        let invalid = Match::State {
            negate: false,
            states: &[State::Invalid],
        };
        let rule = Rule::default().matching(invalid);
        let rule = match self.facts.counts_invalid {
            true => rule.matching(Match::Count(CT_INVALID_DROPPED)),
            false => rule,
        };
        rule.then(Target::Drop)
    }
}

pub(super) fn loopback() -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8))
}

/// With `route_localnet` neighbours could reach loopback addresses.
fn guard_localhost() -> Rule {
    let states = &[State::Related, State::Established, State::Dnat];
    Rule::commented("block incoming localnet connections")
        .to(loopback())
        .not_from(loopback())
        .matching(Match::State {
            negate: true,
            states,
        })
        .then(Target::Drop)
}
