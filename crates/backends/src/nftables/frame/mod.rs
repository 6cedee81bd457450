//! The part of a table that no Service shows in: hooks, and what they do in order.
//!
//! ```text
//!  prerouting, output   -110  source ranges
//!                       -100  services: masquerade mark, then the maps, then the endpoint
//!  input, forward, output  0  services without endpoints, cluster IPs that are none; counting
//!  postrouting           100  masquerading
//! ```
//!
//! In userspace mode ([`Role::Portal`]) nothing is translated: what is for a Service is brought to a
//! listener of this host, see [`portal`].
//!
//! In ipvs mode ([`Role::Companion`]) all is decided at -100, whatever IPVS does afterwards:
//! packets that this node sends are its from -98 on, others when they have come in
//! (`ip_vs_ops4` of net/netfilter/ipvs/ip_vs_core.c).

mod companion;
mod listener;
mod portal;
mod rules;

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use fairlead_core::address::Family;
use fairlead_core::model::Model;
use fairlead_core::settings::{LocalDetector, NodePortScope};
use fairlead_kernel::nft::rule::{Expr, Rule, Statement};
use fairlead_kernel::nft::ruleset::{
    BaseHook, Bytes, Chain, ChainKind, ChainName, Element, Hook, SetName,
};

use super::counting::{self, COUNT_CONNECTIONS, COUNT_TRAFFIC, Reason};
use super::schema::{CLUSTER_IPS, HOST_IPS, NODEPORT_IPS, Role, SERVICE_CIDRS};
use rules::source_ranges_check;

/// Where elements of the no-endpoint maps send what is to be rejected.
pub(super) const REJECT: &str = "reject-connection";
/// Where they send what is to be dropped.
pub(super) const DROP: &str = "drop-connection";

/// Before destinations are translated (`NF_IP_PRI_NAT_DST` is -100, linux/netfilter_ipv4.h).
const PRE_DNAT: i32 = -110;

/// The chains that the kernel calls, and where.
pub(super) fn base_hooks(role: Role) -> Vec<(ChainName, BaseHook)> {
    use ChainKind::{Filter, Nat, Route};
    use Hook::{Forward, Input, Output, Postrouting, Prerouting};
    let base = |name: &str, kind, hook, priority| {
        (
            name.into(),
            BaseHook {
                kind,
                hook,
                priority,
            },
        )
    };
    let mut hooks = vec![
        base("filter-prerouting-pre-dnat", Filter, Prerouting, PRE_DNAT),
        base("filter-output-pre-dnat", Filter, Output, PRE_DNAT),
    ];
    if role != Role::Companion {
        hooks.extend([
            base("filter-input", Filter, Input, 0),
            base("filter-forward", Filter, Forward, 0),
            base("filter-output", Filter, Output, 0),
        ]);
    }
    hooks.extend(match role {
        Role::Proxy | Role::Companion => vec![
            base("nat-prerouting", Nat, Prerouting, -100),
            base("nat-output", Nat, Output, -100),
            base("nat-postrouting", Nat, Postrouting, 100),
        ],
        Role::Portal => vec![base("route-output", Route, Output, -100)],
    });
    hooks
}

/// Everything about one family's table that does not come from Services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The family.
    pub family: Family,
    /// What the table does.
    pub role: Role,
    /// The host's own addresses, where service addresses are this host's as well.
    pub host_ips: BTreeSet<IpAddr>,
    /// The bits of the packet mark that ask for masquerading.
    pub mark: u32,
    /// Whether all traffic to cluster IPs is masqueraded.
    pub masquerade_all: bool,
    /// What tells the traffic of local pods.
    pub detector: Option<LocalDetector>,
    /// Where node ports answer.
    pub node_ports: NodePortScope,
    /// The networks cluster IPs come from.
    pub service_cidrs: Vec<IpNet>,
    /// Whether connections to Services and their packets are counted.
    pub count_traffic: bool,
}

impl Frame {
    /// The frame of a family's table that does this.
    pub fn of(family: Family, model: &Model, host: &[IpAddr], role: Role) -> Frame {
        let (settings, node) = (model.settings(), model.node());
        let host_ips = host.iter().filter(|ip| Family::of(**ip) == family);
        Frame {
            family,
            role,
            host_ips: match role {
                Role::Proxy | Role::Portal => BTreeSet::new(),
                Role::Companion => host_ips.copied().collect(),
            },
            mark: settings.masquerade_mark,
            masquerade_all: settings.masquerade_all,
            detector: settings.detector(family, node),
            node_ports: settings.node_port_addresses.scope(family, node, host),
            service_cidrs: model.service_cidrs(family),
            count_traffic: settings.traffic_counters,
        }
    }

    /// Whether the two differ in their rules, and not in elements alone.
    pub fn has_rules_of(&self, other: &Frame) -> bool {
        let scope = |frame: &Frame| (frame.node_ports.all, frame.node_ports.localhost);
        let flags = |frame: &Frame| (frame.masquerade_all, frame.count_traffic);
        (self.mark, flags(self), &self.detector, scope(self))
            == (other.mark, flags(other), &other.detector, scope(other))
    }

    /// The elements: where node ports answer, what is the host's own, and where cluster IPs come
    /// from.
    pub fn elements(&self) -> Vec<(SetName, Element)> {
        let single = |set| move |ip: &IpAddr| (set, Element::new(Bytes::new().address(*ip)));
        let range = |net: &IpNet| {
            let end = |address| Bytes::new().address(address);
            let range = Element::range(end(net.network()), end(net.broadcast()));
            (SERVICE_CIDRS, range)
        };
        let node_ports = self.node_ports.addresses.iter();
        node_ports
            .map(single(NODEPORT_IPS))
            .chain(self.host_ips.iter().map(single(HOST_IPS)))
            .chain(self.service_cidrs.iter().map(range))
            .collect()
    }

    /// The statement that goes on for traffic of local pods, or (`negate`) for all other.
    pub fn from_pods(&self, negate: bool) -> Option<Statement> {
        let interface = |name: &String, prefix| Statement::InputInterface {
            name: name.clone(),
            prefix,
            negate,
        };
        Some(match self.detector.as_ref()? {
            LocalDetector::Network(net) => Statement::InNet {
                address: Expr::SourceAddress,
                net: *net,
                negate,
            },
            LocalDetector::Interface(name) => interface(name, false),
            LocalDetector::InterfacePrefix(name) => interface(name, true),
        })
    }

    /// The chains with their rules, in an order in which each is known before it is referred to.
    pub fn chains(&self) -> Vec<(Chain, Vec<Rule>)> {
        let mut chains = vec![
            regular(
                "services",
                "where a connection to a service goes",
                self.services(),
            ),
            regular(
                "nodeports",
                "where a connection to a node port goes",
                self.nodeports(),
            ),
            regular(
                "source-ranges-check",
                "drops sources that may not use a load balancer",
                source_ranges_check(),
            ),
            regular(
                REJECT,
                "answers what the no-endpoint maps reject",
                vec![Rule::new([Reason::NoEndpoint.count(), Statement::Reject])],
            ),
            regular(
                DROP,
                "drops what the no-endpoint maps drop",
                vec![Rule::new([
                    Reason::NoLocalEndpoint.count(),
                    Statement::Drop,
                ])],
            ),
        ];
        chains.extend(match self.role {
            Role::Proxy => [self.counts(), self.checks(), vec![self.masquerades()]].concat(),
            Role::Companion => vec![
                self.masquerades(),
                regular(
                    companion::SERVICE_IPS_CHECK,
                    "refuses ports that service addresses do not have",
                    companion::service_ips_check(),
                ),
            ],
            Role::Portal => [self.checks(), self.portals()].concat(),
        });
        chains.extend(self.base_chains());
        chains
    }

    fn masquerades(&self) -> (Chain, Vec<Rule>) {
        regular(
            "masquerading",
            "hides the source where the answer must come back here",
            self.masquerading(),
        )
    }

    /// The chains that count packets once they are translated.
    fn counts(&self) -> Vec<(Chain, Vec<Rule>)> {
        vec![
            regular(
                COUNT_CONNECTIONS,
                "counts a connection by what its client asked for",
                self.if_counted(counting::count_connections),
            ),
            regular(
                COUNT_TRAFFIC,
                "counts a packet by what its client asked for",
                self.if_counted(counting::count_traffic),
            ),
        ]
    }

    /// The chains that refuse what nothing has taken so far.
    fn checks(&self) -> Vec<(Chain, Vec<Rule>)> {
        vec![
            regular(
                "endpoints-check",
                "refuses services without endpoints",
                self.endpoints_check(),
            ),
            regular(
                "nodeport-endpoints-check",
                "refuses node ports without endpoints",
                self.nodeport_endpoints_check(),
            ),
            regular(
                "cluster-ips-check",
                "refuses cluster IPs that are none",
                rules::service_ips_check(CLUSTER_IPS).into(),
            ),
        ]
    }

    /// The rules of a chain that counts. It has none when nothing leads there.
    fn if_counted(&self, rules: fn() -> Vec<Rule>) -> Vec<Rule> {
        self.count_traffic.then(rules).unwrap_or_default()
    }

    fn base_chains(&self) -> Vec<(Chain, Vec<Rule>)> {
        let with_rules = |(name, hook)| {
            (
                Chain {
                    name,
                    hook: Some(hook),
                    comment: None,
                },
                self.base_rules(hook),
            )
        };
        base_hooks(self.role).into_iter().map(with_rules).collect()
    }

    fn base_rules(&self, hook: BaseHook) -> Vec<Rule> {
        let rules = self.common_rules(hook);
        match self.role {
            Role::Proxy | Role::Companion => rules,
            Role::Portal => self.with_portals(hook, rules),
        }
    }

    fn common_rules(&self, hook: BaseHook) -> Vec<Rule> {
        let new =
            |target: &str| Rule::new([Statement::NewConnection, Statement::Jump(target.into())]);
        let all = |target: &str| Rule::new([Statement::Jump(target.into())]);
        let counted = |rules: [Rule; 2], arriving| {
            let count = self.count_traffic.then(|| counting::of_traffic(arriving));
            rules.into_iter().chain(count).collect()
        };
        match (hook.kind, hook.hook) {
            (ChainKind::Filter, Hook::Prerouting) => self
                .guard_localhost()
                .into_iter()
                .chain([new("source-ranges-check")])
                .collect(),
            (ChainKind::Filter, Hook::Output) if hook.priority == PRE_DNAT => {
                vec![new("source-ranges-check")]
            }
            (ChainKind::Filter, Hook::Input) => counted(
                [new("nodeport-endpoints-check"), new("endpoints-check")],
                true,
            ),
            (ChainKind::Filter, _) => {
                counted([new("endpoints-check"), new("cluster-ips-check")], false)
            }
            (ChainKind::Route, _) => Vec::new(),
            (ChainKind::Nat, Hook::Postrouting) => vec![all("masquerading")],
            (ChainKind::Nat, _) => vec![all("services")],
        }
    }
}

fn regular(name: &str, comment: &'static str, rules: Vec<Rule>) -> (Chain, Vec<Rule>) {
    (
        Chain {
            name: name.into(),
            hook: None,
            comment: Some(comment),
        },
        rules,
    )
}
