//! The rules of the chains that no Service shows in.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use fairlead_core::address::Family;
use fairlead_kernel::nft::rule::{Expr, Rule, Statement};
use fairlead_kernel::nft::ruleset::SetName;

use super::super::counting::{self, Reason};
use super::super::schema::{
    BY_ADDRESS, BY_NODEPORT, CLUSTER_IPS, HAIRPIN, Maps, NODEPORT_IPS, RESTRICTED, Role,
    SERVICE_CIDRS, SOURCE_RANGES, key,
};
use super::Frame;

impl Frame {
    /// Node ports on loopback need `route_localnet`, which opens 127.0.0.0/8 to the neighbours
    /// of this node. This closes it again.
    pub(super) fn guard_localhost(&self) -> Option<Rule> {
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
        self.node_ports.localhost.then(|| {
            let count = Reason::LoopbackFromOutside.count();
            Rule::new([from_elsewhere, to_loopback, count, Statement::Drop])
                .comment("loopback is for this node alone")
        })
    }

    pub(super) fn services(&self) -> Vec<Rule> {
        let mut rules = Vec::from_iter(self.masquerade_cluster_ips());
        rules.extend(self.masquerade_own());
        rules.extend(self.dispatch(&key::address(), &BY_ADDRESS));
        rules.extend(self.refuse_service_ips());
        rules.extend(self.at_node_ports(&Statement::Jump("nodeports".into())));
        rules
    }

    pub(super) fn nodeports(&self) -> Vec<Rule> {
        self.dispatch(&key::nodeport(), &BY_NODEPORT)
    }

    /// Looks up where a connection goes on; in ipvs mode also whether it is refused, which is told
    /// later elsewhere.
    fn dispatch(&self, key: &[Expr], maps: &Maps) -> Vec<Rule> {
        let mut from = vec![maps.outside, maps.services];
        if self.role == Role::Companion {
            from.push(maps.no_endpoint);
        }
        let rule = |map| Rule::new([lookup(key.to_vec(), map)]);
        from.into_iter().map(rule).collect()
    }

    fn masquerade_cluster_ips(&self) -> Option<Rule> {
        if self.role == Role::Portal {
            return None;
        }
        let to_cluster_ip = to(CLUSTER_IPS);
        let mark = Statement::SetMark(self.mark);
        if self.masquerade_all {
            let rule = Rule::new([to_cluster_ip, mark]);
            return Some(rule.comment("masquerade all traffic to cluster IPs"));
        }
        let rule = Rule::new([to_cluster_ip, self.from_pods(true)?, mark]);
        Some(rule.comment("masquerade traffic to cluster IPs from outside the cluster"))
    }

    /// The rules that do something with what is for a node port.
    fn at_node_ports(&self, then: &Statement) -> Vec<Rule> {
        let loopback = |negate| Statement::InNet {
            address: Expr::DestinationAddress,
            net: self.loopback(),
            negate,
        };
        let anywhere = Rule::new([
            Statement::IsLocal(Expr::DestinationAddress),
            loopback(true),
            then.clone(),
        ]);
        let at_some = Rule::new([to(NODEPORT_IPS), then.clone()]);
        let mut rules = vec![if self.node_ports.all {
            anywhere
        } else {
            at_some
        }];
        rules.extend(
            self.node_ports
                .localhost
                .then(|| Rule::new([loopback(false), then.clone()])),
        );
        rules
    }

    pub(super) fn endpoints_check(&self) -> Vec<Rule> {
        let count = self.count_traffic.then(counting::of_connections);
        let refuse = Rule::new([lookup(key::address(), BY_ADDRESS.no_endpoint)]);
        count.into_iter().chain([refuse]).collect()
    }

    pub(super) fn nodeport_endpoints_check(&self) -> Vec<Rule> {
        self.at_node_ports(&lookup(key::nodeport(), BY_NODEPORT.no_endpoint))
    }

    pub(super) fn masquerading(&self) -> Vec<Rule> {
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
            Rule::new([
                Statement::HasMark(self.mark),
                Statement::FlipMark(self.mark),
                Statement::Masquerade,
            ]),
            match self.role {
                // What IPVS translates is not marked as such.
                Role::Companion => Rule::new([hairpin, Statement::Masquerade]),
                _ => Rule::new([Statement::Translated, hairpin, Statement::Masquerade]),
            },
        ]
    }

    fn loopback(&self) -> IpNet {
        match self.family {
            Family::V4 => IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8)),
            Family::V6 => IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128)),
        }
    }
}

pub(super) fn source_ranges_check() -> Vec<Rule> {
    let mut allowed = key::address();
    allowed.push(Expr::SourceAddress);
    vec![Rule::new([
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
        Reason::SourceNotAllowed.count(),
        Statement::Drop,
    ])]
}

/// Refuses what has come so far for one of the service addresses of a set, and what is for none.
pub(super) fn service_ips_check(service_ips: SetName) -> [Rule; 2] {
    [
        Rule::new([
            to(service_ips),
            Reason::NoSuchPort.count(),
            Statement::Reject,
        ]),
        Rule::new([
            to(SERVICE_CIDRS),
            Reason::NoSuchClusterIp.count(),
            Statement::Drop,
        ]),
    ]
}

/// Goes on if the destination is in a set.
pub(super) fn to(set: SetName) -> Statement {
    Statement::InSet {
        key: key::destination(),
        set,
        negate: false,
    }
}

fn lookup(key: Vec<Expr>, map: SetName) -> Statement {
    Statement::VerdictMap { key, map }
}
