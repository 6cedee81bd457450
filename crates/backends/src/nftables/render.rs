//! Routes said in the table's words. Nothing is decided here.

use fairlead_core::model::{Destination, DestinationKind};
use fairlead_core::route::{Pool, Route, Routes, Target, Verdict};
use ipnet::IpNet;

use super::chains::{DispatchChain, Entry, Range, Sticky};
use super::layout::Layout;
use super::state::{DestinationState, PortState, Refused};

/// Renders the routes of a service port. `before` is how its endpoints sat in their slots, if
/// they did; `count_traffic`, whether its connections and their packets are counted.
pub fn render(
    routes: &Routes,
    family: fairlead_core::address::Family,
    before: &[Target],
    count_traffic: bool,
) -> PortState {
    let layout = Layout::arrange(&routes.cluster, &routes.local, before);
    let destination = |route| render_destination(route, routes.affinity_seconds, &layout);
    PortState {
        name: routes.name.clone(),
        family,
        destinations: routes.routes.iter().map(destination).collect(),
        hairpin: routes.hairpin.clone(),
        layout,
        count_traffic,
    }
}

fn render_destination(
    route: &Route,
    affinity_seconds: Option<u32>,
    layout: &Layout,
) -> DestinationState {
    let dispatch = Dispatch {
        route,
        affinity_seconds,
        layout,
    };
    DestinationState {
        destination: route.destination,
        cluster_ip: match (route.kind, route.destination) {
            (DestinationKind::ClusterIp, Destination::Address(ip, ..)) => Some(ip),
            _ => None,
        },
        service: dispatch.service(),
        outside: dispatch.outside(),
        refused: dispatch.refused(),
        sources: route.sources.as_ref().map(IpNet::aggregate),
    }
}

/// One route on its way to chains.
struct Dispatch<'a> {
    route: &'a Route,
    affinity_seconds: Option<u32>,
    layout: &'a Layout,
}

impl Dispatch<'_> {
    /// The chain for what may go where this node's own traffic may go. The masquerading of
    /// traffic to cluster IPs is the frame's, since it asks who sends and not which Service.
    fn service(&self) -> Option<DispatchChain> {
        let Verdict::Forward { pool, masquerade } = self.route.verdicts.node else {
            return None;
        };
        let by_frame = self.route.kind == DestinationKind::ClusterIp || self.outside().is_some();
        let entry = if masquerade && !by_frame {
            Entry::External
        } else {
            Entry::Direct
        };
        Some(self.chain(entry, self.range(pool), false))
    }

    /// The chain for what comes from elsewhere, where that is treated differently.
    fn outside(&self) -> Option<DispatchChain> {
        let Verdict::Forward { pool: of_node, .. } = self.route.verdicts.node else {
            return None;
        };
        match self.route.verdicts.elsewhere {
            Verdict::Forward { pool, .. } if pool == of_node => None,
            Verdict::Forward { pool, .. } => {
                Some(self.chain(Entry::Outside, self.range(pool), true))
            }
            Verdict::Drop(_) | Verdict::Reject(_) => {
                let nothing = Range { count: 0, from: 0 };
                Some(DispatchChain {
                    entry: Entry::Outside,
                    range: nothing,
                    sticky: None,
                })
            }
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

    fn chain(&self, entry: Entry, range: Range, outside: bool) -> DispatchChain {
        let nodeport = matches!(self.route.destination, Destination::NodePort(..));
        let sticky = self.affinity_seconds.map(|seconds| Sticky {
            seconds,
            nodeport,
            outside,
        });
        DispatchChain {
            entry,
            range,
            sticky,
        }
    }

    fn range(&self, pool: Pool) -> Range {
        match pool {
            Pool::Cluster => self.layout.cluster(),
            Pool::Local => self.layout.local(),
        }
    }
}

#[cfg(test)]
mod tests {
    use fairlead_core::address::{Family, Protocol};
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
            let nets = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
            let route = Route {
                destination: Destination::NodePort(Family::V4, Protocol::Tcp, 30080),
                kind: DestinationKind::NodePort,
                verdicts: Verdicts::same(Verdict::Reject(RejectReason::NoEndpoint)),
                sources: Some(nets(given)),
            };
            let state = render_destination(&route, None, &Layout::arrange(&[], &[], &[]));
            let expected: Vec<IpNet> = nets(expected);
            assert_eq!(state.sources, Some(expected), "{given:?}");
        }
    }
}
