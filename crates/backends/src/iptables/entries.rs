//! The rules of one service port in the chains that Services share: who is sent on to its own
//! chains, and who is refused.

use fairlead_core::model::{Destination, DestinationKind};
use fairlead_core::route::{Route, Verdict};
use fairlead_kernel::iptables::rule::{Match, Protocol, Rule, Target};

use super::chains::PortRules;
use super::frame::{LOCALHOST_ACCEPTED, loopback};
use super::names::PortChain;
use super::port::is_served;
use super::shared::Shared;

impl PortRules<'_> {
    /// All of them, in order.
    pub(super) fn shared(&self) -> Vec<(Shared, Rule)> {
        let mut rules = Vec::new();
        let cluster_ip = self.port.cluster_ip();
        rules.extend(cluster_ip.and_then(|route| self.cluster_ip(route)));
        let external = || self.port.external();
        for route in external().filter(|route| is_served(route)) {
            self.served(route, &mut rules);
        }
        rules.extend(external().filter_map(|route| self.unserved(route)));
        rules.extend(self.health_check());
        rules
    }

    /// Load balancers may ask whether this node has endpoints.
    fn health_check(&self) -> Option<(Shared, Rule)> {
        let port = self.port.routes.health_check_node_port?;
        let rule = self.commented(" health check node port");
        let rule = rule.transport(Protocol::Tcp, Some(port));
        Some((Shared::HealthChecks, rule.then(Target::Accept)))
    }

    fn cluster_ip(&self, route: &Route) -> Option<(Shared, Rule)> {
        match route.verdicts.node {
            Verdict::Forward { pool, .. } => {
                let rule = self.addressed(self.commented(" cluster IP"), route.destination);
                Some((Shared::Services, rule.jump(self.port.pool_chain(pool))))
            }
            refused => Some((Shared::Unserved, self.refuse(refused, route.destination)?)),
        }
    }

    /// Where connections from outside the cluster are sent on.
    fn served(&self, route: &Route, rules: &mut Vec<(Shared, Rule)>) {
        let to = route.destination;
        let external = self.port.chain(PortChain::External);
        let (shared, what, chain) = match route.kind {
            DestinationKind::NodePort => {
                rules.extend(self.localhost_node_port(to));
                (Shared::NodePorts, "", external)
            }
            DestinationKind::LoadBalancer => {
                let firewall = route
                    .sources
                    .is_some()
                    .then(|| self.port.chain(PortChain::Firewall));
                rules.extend(
                    firewall
                        .as_deref()
                        .map(|chain| self.not_accepted(chain, to)),
                );
                (
                    Shared::Services,
                    " loadbalancer IP",
                    firewall.unwrap_or(external),
                )
            }
            _ => (Shared::Services, " external IP", external),
        };
        rules.push((shared, self.addressed(self.commented(what), to).jump(chain)));
    }

    /// Connections to a node port on a loopback address are counted.
    fn localhost_node_port(&self, to: Destination) -> Option<(Shared, Rule)> {
        if !(self.frame.serves_localhost() && self.frame.facts.counts_localhost) {
            return None;
        }
        let rule = self.addressed(self.commented("").to(loopback()), to);
        let rule = rule.matching(Match::Count(LOCALHOST_ACCEPTED));
        Some((
            Shared::NodePorts,
            rule.jump(self.port.chain(PortChain::External)),
        ))
    }

    /// What the firewall chain did not let through comes by undecided.
    fn not_accepted(&self, firewall: &str, to: Destination) -> (Shared, Rule) {
        let rule = self.commented(&format!(" traffic not accepted by {firewall}"));
        (
            Shared::Firewall,
            self.addressed(rule, to).then(Target::Drop),
        )
    }

    /// What becomes of connections from outside that nothing serves.
    fn unserved(&self, route: &Route) -> Option<(Shared, Rule)> {
        let rule = self.refuse(route.verdicts.elsewhere, route.destination)?;
        Some((Shared::UnservedExternal, rule))
    }

    fn refuse(&self, verdict: Verdict, to: Destination) -> Option<Rule> {
        let (why, target) = match verdict {
            Verdict::Forward { .. } => return None,
            Verdict::Reject(_) => (" has no endpoints", Target::Reject),
            Verdict::Drop(_) => (" has no local endpoints", Target::Drop),
        };
        let rule = self.commented(why);
        let rule = match to {
            Destination::NodePort(..) => rule.matching(Match::DestinationIsLocal),
            Destination::Address(..) => rule,
        };
        Some(self.addressed(rule, to).then(target))
    }
}
