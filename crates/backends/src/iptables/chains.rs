//! The chains that are a service port's own, with their rules.

use std::net::SocketAddr;

use ipnet::IpNet;

use fairlead_core::model::Destination;
use fairlead_core::route::{Pool, Route, Target as Endpoint, Verdict};
use fairlead_kernel::iptables::rule::{Match, Probability, Rule, Target};
use fairlead_kernel::iptables::ruleset::ChainName;

use super::frame::Frame;
use super::names::PortChain;
use super::port::{PortState, is_served, treats_all_alike};
use super::shared::MARK_MASQ;

/// A chain with its rules.
pub type ChainRules = (ChainName, Vec<Rule>);

/// The rules of a service port.
pub(super) struct PortRules<'a> {
    pub(super) port: &'a PortState,
    pub(super) frame: &'a Frame,
}

impl PortRules<'_> {
    /// The chains of the nat table that are the port's own.
    pub(super) fn chains(&self) -> Vec<ChainRules> {
        let port = self.port;
        let mut chains = Vec::new();
        if let Some(route) = port.external().find(|route| is_served(route)) {
            chains.push((port.chain(PortChain::External), self.external(route)));
        }
        if let Some(sources) = self.restricted() {
            chains.push((port.chain(PortChain::Firewall), self.firewall(sources)));
        }
        let pools = port.pools();
        chains.extend(pools.map(|(pool, of)| (port.pool_chain(pool), self.pool(pool, of))));
        let endpoints = port.endpoints().into_iter();
        chains.extend(endpoints.map(|one| (port.endpoint_chain(one), self.endpoint(one))));
        chains
    }

    /// `KUBE-EXT-`: masquerades what must come back through this node. With the policy Local,
    /// what pods and this node send was never outside, and may go to any endpoint.
    fn external(&self, route: &Route) -> Vec<Rule> {
        let port = self.port;
        let everywhere = port.chain(PortChain::Cluster);
        let destinations = |who: &str| {
            let name = &port.routes.name;
            Rule::commented(format!("{who} for {name} external destinations"))
        };
        let mut rules = Vec::new();
        if treats_all_alike(route) {
            rules.push(destinations("masquerade traffic").jump(MARK_MASQ));
        } else {
            let to_any = destinations("pod traffic").jump(everywhere.clone());
            rules.extend(self.frame.of_pods(to_any, false));
            let local = |who| destinations(who).matching(Match::SourceIsLocal);
            rules.push(local("masquerade LOCAL traffic").jump(MARK_MASQ));
            rules.push(local("route LOCAL traffic").jump(everywhere));
        }
        if let Verdict::Forward { pool, .. } = route.verdicts.elsewhere {
            rules.push(Rule::default().jump(port.pool_chain(pool)));
        }
        rules
    }

    /// The sources that may use the port's load balancers, if not everybody.
    fn restricted(&self) -> Option<&[IpNet]> {
        let mut served = self.port.external().filter(|route| is_served(route));
        served.find_map(|route| route.sources.as_deref())
    }

    /// `KUBE-FW-`.
    fn firewall(&self, sources: &[IpNet]) -> Vec<Rule> {
        let external = self.port.chain(PortChain::External);
        let may = |net: &IpNet| {
            self.commented(" loadbalancer IP")
                .from(*net)
                .jump(external.clone())
        };
        let name = &self.port.routes.name;
        let rest = format!("other traffic to {name} will be dropped by KUBE-PROXY-FIREWALL");
        sources
            .iter()
            .map(may)
            .chain([Rule::commented(rest)])
            .collect()
    }

    /// `KUBE-SVC-` or `KUBE-SVL-`: the endpoint that the client is remembered at, else one by
    /// chance: the first of n with a probability of 1/n, and so on with those that are left.
    fn pool(&self, pool: Pool, endpoints: &[Endpoint]) -> Vec<Rule> {
        let mut rules: Vec<Rule> = self.masquerade_cluster_ip(pool).into_iter().collect();
        if let Some(seconds) = self.port.routes.affinity_seconds {
            rules.extend(endpoints.iter().map(|endpoint| {
                let chain = self.port.endpoint_chain(*endpoint);
                let list = chain.to_string();
                let remembered = Match::Remembered { list, seconds };
                self.to_endpoint(*endpoint).matching(remembered).jump(chain)
            }));
        }
        let left = (1..=endpoints.len() as u32).rev();
        rules.extend(endpoints.iter().zip(left).map(|(endpoint, left)| {
            let rule = self.to_endpoint(*endpoint);
            let rule = match left {
                1 => rule,
                _ => rule.matching(Match::Random(Probability::one_in(left))),
            };
            rule.jump(self.port.endpoint_chain(*endpoint))
        }));
        rules
    }

    /// Connections to the cluster IP of those who are not pods are masqueraded: the answers must
    /// come back through this node.
    fn masquerade_cluster_ip(&self, of: Pool) -> Option<Rule> {
        let route = self.port.cluster_ip()?;
        let rule = || {
            let rule = self.addressed(self.commented(" cluster IP"), route.destination);
            rule.jump(MARK_MASQ)
        };
        let masquerades =
            |verdict| matches!(verdict, Verdict::Forward { pool, masquerade: true } if pool == of);
        match (
            masquerades(route.verdicts.local_pod),
            masquerades(route.verdicts.node),
        ) {
            (true, _) => Some(rule()),
            (false, true) => self.frame.of_pods(rule(), true),
            (false, false) => None,
        }
    }

    /// `KUBE-SEP-`.
    fn endpoint(&self, endpoint: Endpoint) -> Vec<Rule> {
        let rule = || match self.port.terse {
            true => Rule::default(),
            false => self.commented(""),
        };
        // A pod that is sent back to itself must not see its own address as the source.
        let hairpin = rule().from(IpNet::from(endpoint.address)).jump(MARK_MASQ);
        let to = SocketAddr::new(endpoint.address, endpoint.port);
        let translate = match self.port.routes.affinity_seconds {
            Some(_) => {
                let list = self.port.endpoint_chain(endpoint).to_string();
                rule().matching(Match::Remember { list })
            }
            None => rule(),
        };
        let translate = translate
            .transport(self.port.protocol(), None)
            .then(Target::Dnat(to));
        vec![hairpin, translate]
    }

    fn to_endpoint(&self, endpoint: Endpoint) -> Rule {
        match self.port.terse {
            true => Rule::default(),
            false => self.commented(&format!(" -> {endpoint}")),
        }
    }

    /// A rule whose comment names the port, and what more.
    pub(super) fn commented(&self, more: &str) -> Rule {
        Rule::commented(format!("{}{more}", self.port.routes.name))
    }

    /// The rule for what is sent to a destination. A node port's address is asked for elsewhere.
    pub(super) fn addressed(&self, rule: Rule, to: Destination) -> Rule {
        match to {
            Destination::Address(ip, _, port) => rule
                .transport(self.port.protocol(), Some(port))
                .to(IpNet::from(ip)),
            Destination::NodePort(_, _, port) => rule.transport(self.port.protocol(), Some(port)),
        }
    }
}
