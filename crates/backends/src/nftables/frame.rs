//! The part of a table that no Service shows in: hooks, and what they do in order.
//!
//! ```text
//!  prerouting, output   -110  source ranges
//!                       -100  services: masquerade mark, then the maps, then the endpoint
//!  input, forward, output  0  services without endpoints, cluster IPs that are none
//!  postrouting           100  masquerading
//! ```

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use fairlead_core::address::Family;
use fairlead_core::settings::{LocalDetector, NodePortScope};
use fairlead_kernel::nft::rule::{Expr, Rule, Statement};
use fairlead_kernel::nft::ruleset::{
    BaseHook, Bytes, Chain, ChainKind, ChainName, Element, Hook, SetName,
};

use super::schema::{
    BY_ADDRESS, BY_NODEPORT, CLUSTER_IPS, HAIRPIN, NODEPORT_IPS, RESTRICTED, SERVICE_CIDRS,
    SOURCE_RANGES, key,
};

/// Where elements of the no-endpoint maps send what is to be rejected.
pub(super) const REJECT: &str = "reject-connection";

/// Before destinations are translated (`NF_IP_PRI_NAT_DST` is -100, linux/netfilter_ipv4.h).
const PRE_DNAT: i32 = -110;

/// The chains that the kernel calls, and where.
pub(super) fn base_hooks() -> Vec<(ChainName, BaseHook)> {
    use ChainKind::{Filter, Nat};
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
    vec![
        base("filter-prerouting-pre-dnat", Filter, Prerouting, PRE_DNAT),
        base("filter-output-pre-dnat", Filter, Output, PRE_DNAT),
        base("filter-input", Filter, Input, 0),
        base("filter-forward", Filter, Forward, 0),
        base("filter-output", Filter, Output, 0),
        base("nat-prerouting", Nat, Prerouting, -100),
        base("nat-output", Nat, Output, -100),
        base("nat-postrouting", Nat, Postrouting, 100),
    ]
}

/// Everything about one family's table that does not come from Services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The family.
    pub family: Family,
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
}

impl Frame {
    /// Whether the two differ in their rules, and not in elements alone.
    pub fn has_rules_of(&self, other: &Frame) -> bool {
        let scope = |frame: &Frame| (frame.node_ports.all, frame.node_ports.localhost);
        (self.mark, self.masquerade_all, &self.detector, scope(self))
            == (
                other.mark,
                other.masquerade_all,
                &other.detector,
                scope(other),
            )
    }

    /// The elements: where node ports answer, and where cluster IPs come from.
    pub fn elements(&self) -> Vec<(SetName, Element)> {
        let single = |ip: &IpAddr| (NODEPORT_IPS, Element::new(Bytes::new().address(*ip)));
        let range = |net: &IpNet| {
            let end = |address| Bytes::new().address(address);
            let range = Element::range(end(net.network()), end(net.broadcast()));
            (SERVICE_CIDRS, range)
        };
        self.node_ports
            .addresses
            .iter()
            .map(single)
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
                nodeports(),
            ),
            regular(
                "masquerading",
                "hides the source where the answer must come back here",
                self.masquerading(),
            ),
            regular(
                "source-ranges-check",
                "drops sources that may not use a load balancer",
                source_ranges_check(),
            ),
            regular(
                REJECT,
                "answers what the no-endpoint maps reject",
                vec![rule([Statement::Reject])],
            ),
            regular(
                "endpoints-check",
                "refuses services without endpoints",
                endpoints_check(),
            ),
            regular(
                "nodeport-endpoints-check",
                "refuses node ports without endpoints",
                self.nodeport_endpoints_check(),
            ),
            regular(
                "cluster-ips-check",
                "refuses cluster IPs that are none",
                cluster_ips_check(),
            ),
        ];
        chains.extend(self.base_chains());
        chains
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
        base_hooks().into_iter().map(with_rules).collect()
    }

    fn base_rules(&self, hook: BaseHook) -> Vec<Rule> {
        let new = |target: &str| rule([Statement::NewConnection, Statement::Jump(target.into())]);
        let all = |target: &str| rule([Statement::Jump(target.into())]);
        match (hook.kind, hook.hook) {
            (ChainKind::Filter, Hook::Prerouting) => self
                .guard_localhost()
                .into_iter()
                .chain([new("source-ranges-check")])
                .collect(),
            (ChainKind::Filter, Hook::Output) if hook.priority == PRE_DNAT => {
                vec![new("source-ranges-check")]
            }
            (ChainKind::Filter, Hook::Input) => {
                vec![new("nodeport-endpoints-check"), new("endpoints-check")]
            }
            (ChainKind::Filter, _) => vec![new("endpoints-check"), new("cluster-ips-check")],
            (ChainKind::Nat, Hook::Postrouting) => vec![all("masquerading")],
            (ChainKind::Nat, _) => vec![all("services")],
        }
    }

    /// Node ports on loopback need `route_localnet`, which opens 127.0.0.0/8 to the neighbours
    /// of this node. This closes it again.
    fn guard_localhost(&self) -> Option<Rule> {
        let from_elsewhere = Statement::InputInterface {
            name: "lo".to_owned(),
            prefix: false,
            negate: true,
        };
        let to_loopback = Statement::InNet {
            address: Expr::DestinationAddress,
            net: self.loopback(),
            negate: false,
        };
        self.node_ports.localhost.then(|| Rule {
            statements: vec![from_elsewhere, to_loopback, Statement::Drop],
            comment: Some("loopback is for this node alone"),
        })
    }

    fn services(&self) -> Vec<Rule> {
        let mut rules = Vec::from_iter(self.masquerade_cluster_ips());
        rules.push(rule([lookup(key::address(), BY_ADDRESS.outside)]));
        rules.push(rule([lookup(key::address(), BY_ADDRESS.services)]));
        rules.extend(self.at_node_ports(&Statement::Jump("nodeports".into())));
        rules
    }

    fn masquerade_cluster_ips(&self) -> Option<Rule> {
        let to_cluster_ip = Statement::InSet {
            key: key::destination(),
            set: CLUSTER_IPS,
            negate: false,
        };
        let mark = Statement::SetMark(self.mark);
        if self.masquerade_all {
            let comment = Some("masquerade all traffic to cluster IPs");
            return Some(Rule {
                statements: vec![to_cluster_ip, mark],
                comment,
            });
        }
        let comment = Some("masquerade traffic to cluster IPs from outside the cluster");
        self.from_pods(true).map(|from_others| Rule {
            statements: vec![to_cluster_ip, from_others, mark],
            comment,
        })
    }

    /// The rules that do something with what is for a node port.
    fn at_node_ports(&self, then: &Statement) -> Vec<Rule> {
        let loopback = |negate| Statement::InNet {
            address: Expr::DestinationAddress,
            net: self.loopback(),
            negate,
        };
        let anywhere = rule([
            Statement::IsLocal(Expr::DestinationAddress),
            loopback(true),
            then.clone(),
        ]);
        let at_some = rule([
            Statement::InSet {
                key: key::destination(),
                set: NODEPORT_IPS,
                negate: false,
            },
            then.clone(),
        ]);
        let mut rules = vec![if self.node_ports.all {
            anywhere
        } else {
            at_some
        }];
        rules.extend(
            self.node_ports
                .localhost
                .then(|| rule([loopback(false), then.clone()])),
        );
        rules
    }

    fn nodeport_endpoints_check(&self) -> Vec<Rule> {
        self.at_node_ports(&lookup(key::nodeport(), BY_NODEPORT.no_endpoint))
    }

    fn masquerading(&self) -> Vec<Rule> {
        let hairpin = Statement::InSet {
            key: vec![
                Expr::SourceAddress,
                Expr::DestinationAddress,
                Expr::Protocol,
                Expr::DestinationPort,
            ],
            set: HAIRPIN,
            negate: false,
        };
        vec![
            rule([
                Statement::HasMark(self.mark),
                Statement::FlipMark(self.mark),
                Statement::Masquerade,
            ]),
            rule([Statement::Translated, hairpin, Statement::Masquerade]),
        ]
    }

    fn loopback(&self) -> IpNet {
        match self.family {
            Family::V4 => IpNet::V4(Ipv4Net::new_assert(
                std::net::Ipv4Addr::new(127, 0, 0, 0),
                8,
            )),
            Family::V6 => IpNet::V6(Ipv6Net::new_assert(std::net::Ipv6Addr::LOCALHOST, 128)),
        }
    }
}

fn nodeports() -> Vec<Rule> {
    vec![
        rule([lookup(key::nodeport(), BY_NODEPORT.outside)]),
        rule([lookup(key::nodeport(), BY_NODEPORT.services)]),
    ]
}

fn endpoints_check() -> Vec<Rule> {
    vec![rule([lookup(key::address(), BY_ADDRESS.no_endpoint)])]
}

fn source_ranges_check() -> Vec<Rule> {
    let mut allowed = key::address();
    allowed.push(Expr::SourceAddress);
    vec![rule([
        Statement::InSet {
            key: key::address(),
            set: RESTRICTED,
            negate: false,
        },
        Statement::InSet {
            key: allowed,
            set: SOURCE_RANGES,
            negate: true,
        },
        Statement::Drop,
    ])]
}

fn cluster_ips_check() -> Vec<Rule> {
    let to = |set| Statement::InSet {
        key: key::destination(),
        set,
        negate: false,
    };
    vec![
        Rule {
            statements: vec![to(CLUSTER_IPS), Statement::Reject],
            comment: Some("no such port"),
        },
        Rule {
            statements: vec![to(SERVICE_CIDRS), Statement::Drop],
            comment: Some("no such cluster IP"),
        },
    ]
}

fn lookup(key: Vec<Expr>, map: SetName) -> Statement {
    Statement::VerdictMap { key, map }
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

fn rule<const N: usize>(statements: [Statement; N]) -> Rule {
    Rule {
        statements: statements.into(),
        comment: None,
    }
}
