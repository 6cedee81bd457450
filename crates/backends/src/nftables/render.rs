//! Routes said in the table's words. Nothing is decided here.

use fairlead_core::address::Family;
use fairlead_core::model::{Destination, DestinationKind};
use fairlead_core::route::{Pool, Route, Routes, Verdict};
use ipnet::IpNet;

use super::chains::{Choice, DispatchChain, Entry, Range, Sticky};
use super::layout::{Layout, Slots};
use super::state::{DestinationState, PortState, Refused};

/// Renders the routes of a service port. `before` is how its endpoints sat in their slots, if
/// they did; `count_traffic`, whether its connections and their packets are counted.
pub fn render(routes: &Routes, family: Family, before: &Slots, count_traffic: bool) -> PortState {
    let layout = Layout::arrange(&routes.cluster, &routes.local, before);
    let balancer = Balancer::Slots {
        layout: &layout,
        affinity_seconds: routes.affinity_seconds,
    };
    let destination = |route| render_destination(route, balancer);
    PortState {
        name: routes.name.clone(),
        family,
        destinations: routes.routes.iter().map(destination).collect(),
        hairpin: routes.hairpin.clone(),
        layout,
        count_traffic,
    }
}

/// Renders what ipvs mode leaves to the table: all but the choice of an endpoint.
pub fn render_for_ipvs(routes: &Routes, family: Family) -> PortState {
    let destination = |route| render_destination(route, Balancer::VirtualServers);
    PortState {
        name: routes.name.clone(),
        family,
        destinations: routes.routes.iter().map(destination).collect(),
        hairpin: routes.hairpin.clone(),
        layout: Layout::default(),
        count_traffic: false,
    }
}

/// Renders what brings connections to listeners in userspace mode, but for the ports of these.
pub fn render_for_userspace(routes: &Routes, family: Family) -> PortState {
    let destination = |route| render_destination(route, Balancer::Listeners);
    PortState {
        name: routes.name.clone(),
        family,
        destinations: routes.routes.iter().map(destination).collect(),
        hairpin: Vec::new(),
        layout: Layout::default(),
        count_traffic: false,
    }
}

/// Who chooses an endpoint.
#[derive(Debug, Clone, Copy)]
enum Balancer<'a> {
    /// The table.
    Slots {
        layout: &'a Layout,
        affinity_seconds: Option<u32>,
    },
    /// IPVS.
    VirtualServers,
    /// This process.
    Listeners,
}

fn render_destination(route: &Route, balancer: Balancer<'_>) -> DestinationState {
    let dispatch = Dispatch { route, balancer };
    let ip = match route.destination {
        Destination::Address(ip, ..) => Some(ip),
        Destination::NodePort(..) => None,
    };
    DestinationState {
        destination: route.destination,
        cluster_ip: ip.filter(|_| route.kind == DestinationKind::ClusterIp),
        device_ip: ip.filter(|_| matches!(balancer, Balancer::VirtualServers)),
        service: dispatch.service(),
        outside: dispatch.outside(),
        portals: None,
        refused: dispatch.refused(),
        sources: sources(route, balancer),
    }
}

/// In as few networks as can say them.
fn sources(route: &Route, balancer: Balancer<'_>) -> Option<Vec<IpNet>> {
    let given = route.sources.as_deref()?;
    Some(match (balancer, route.destination) {
        (Balancer::VirtualServers, Destination::Address(ip, ..)) => {
            IpNet::aggregate(&without_own(given, ip.into()))
        }
        _ => IpNet::aggregate(&given.to_vec()),
    })
}

/// In ipvs mode what this node sends to a load balancer's address comes from that address, which is
/// no reason why it may. Where it may, the route names the address besides the Service's networks.
fn without_own(sources: &[IpNet], own: IpNet) -> Vec<IpNet> {
    match sources.contains(&own) {
        true => sources.to_vec(),
        false => sources.iter().flat_map(|net| without(*net, own)).collect(),
    }
}

/// The networks that a network is made of without an address.
fn without(net: IpNet, address: IpNet) -> Vec<IpNet> {
    let mut rest = Vec::new();
    let mut around = Some(net);
    while let Some(net) = around.take() {
        if !net.contains(&address) {
            rest.push(net);
        } else if let Ok(halves) = net.subnets(net.prefix_len() + 1) {
            let (with, free) = halves.partition::<Vec<_>, _>(|half| half.contains(&address));
            rest.extend(free);
            around = with.first().copied();
        }
    }
    rest
}

/// One route on its way to chains.
struct Dispatch<'a> {
    route: &'a Route,
    balancer: Balancer<'a>,
}

impl Dispatch<'_> {
    /// The chain for what may go where this node's own traffic may go. The masquerading of
    /// traffic to cluster IPs is the frame's, since it asks who sends and not which Service.
    fn service(&self) -> Option<DispatchChain> {
        let Verdict::Forward { pool, masquerade } = self.route.verdicts.node else {
            return None;
        };
        let by_frame = self.route.kind == DestinationKind::ClusterIp || self.outside().is_some();
        let by_listener = matches!(self.balancer, Balancer::Listeners);
        let entry = if masquerade && !by_frame && !by_listener {
            Entry::External
        } else {
            Entry::Direct
        };
        Some(self.chain(entry, pool, false))
    }

    /// The chain for what comes from elsewhere, where that is treated differently.
    fn outside(&self) -> Option<DispatchChain> {
        let Verdict::Forward { pool: of_node, .. } = self.route.verdicts.node else {
            return None;
        };
        match self.route.verdicts.elsewhere {
            Verdict::Forward { pool, .. } if pool == of_node => None,
            // They are brought to another listener.
            Verdict::Forward { .. } if matches!(self.balancer, Balancer::Listeners) => None,
            Verdict::Forward { pool, .. } => Some(self.chain(Entry::Outside, pool, true)),
            Verdict::Drop(_) | Verdict::Reject(_) => Some(DispatchChain {
                entry: Entry::Outside,
                choice: Choice::Nothing,
            }),
        }
    }

    /// What becomes of connections that no chain takes.
    fn refused(&self) -> Option<Refused> {
        match self.route.verdicts.node {
            Verdict::Forward { .. } => None,
            Verdict::Reject(_) => Some(Refused::Reject),
            Verdict::Drop(_) => Some(Refused::Drop),
        }
    }

    fn chain(&self, entry: Entry, pool: Pool, outside: bool) -> DispatchChain {
        let choice = match self.balancer {
            Balancer::VirtualServers => Choice::VirtualServer,
            Balancer::Listeners => Choice::Portal,
            Balancer::Slots {
                layout,
                affinity_seconds,
            } => {
                let range = range(layout, pool);
                let sticky = |seconds| Sticky {
                    seconds,
                    nodeport: matches!(self.route.destination, Destination::NodePort(..)),
                    outside,
                };
                affinity_seconds.map_or(Choice::Slots(range), |seconds| {
                    Choice::Sticky(range, sticky(seconds))
                })
            }
        };
        DispatchChain { entry, choice }
    }
}

fn range(layout: &Layout, pool: Pool) -> Range {
    match pool {
        Pool::Cluster => layout.cluster(),
        Pool::Local => layout.local(),
    }
}

#[cfg(test)]
mod tests {
    use fairlead_core::address::Protocol;
    use fairlead_core::route::{RejectReason, Verdicts};

    use super::*;

    #[test]
    fn sources_are_in_as_few_networks_as_can_say_them() {
        for (given, expected) in [
            (
                &["203.0.113.0/24", "198.51.100.0/25"][..],
                &["198.51.100.0/25", "203.0.113.0/24"][..],
            ),
            (&["203.0.113.7/32", "203.0.113.0/24"], &["203.0.113.0/24"]),
            (&["203.0.113.128/25", "203.0.113.0/25"], &["203.0.113.0/24"]),
        ] {
            let state = render_destination(&route(given), Balancer::VirtualServers);
            assert_eq!(state.sources, Some(nets(expected)), "{given:?}");
        }
    }

    #[test]
    fn a_node_may_not_because_it_uses_the_address_of_the_load_balancer() {
        for (given, expected) in [
            (
                &["192.0.2.8/30"][..],
                &["192.0.2.8/31", "192.0.2.11/32"][..],
            ),
            (
                &["192.0.2.10/31", "10.0.0.0/8"],
                &["10.0.0.0/8", "192.0.2.11/32"],
            ),
            // So the route says that the node may.
            (&["192.0.2.8/30", "192.0.2.10/32"], &["192.0.2.8/30"]),
        ] {
            let state = render_destination(&route(given), Balancer::VirtualServers);
            assert_eq!(state.sources, Some(nets(expected)), "{given:?}");
        }
        let all = without("::/0".parse().unwrap(), "fd00::1/128".parse().unwrap());
        assert_eq!(all.len(), 128);
    }

    fn route(sources: &[&str]) -> Route {
        Route {
            destination: Destination::Address([192, 0, 2, 10].into(), Protocol::Tcp, 80),
            kind: DestinationKind::LoadBalancer,
            verdicts: Verdicts::same(Verdict::Reject(RejectReason::NoEndpoint)),
            sources: Some(nets(sources)),
        }
    }

    fn nets(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }
}
