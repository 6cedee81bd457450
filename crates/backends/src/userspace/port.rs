//! What one service port has: endpoints, listeners, and rows of the table.

use std::collections::BTreeSet;
use std::sync::Arc;

use fairlead_core::address::{Family, Protocol};
use fairlead_core::report::Unmet;
use fairlead_core::route::{Pool, Route, Routes, Target, Verdict};
use fairlead_core::scheduling::{Scheduler, Scheduling};
use fairlead_relay::handle::{Source, Upstream, UpstreamName};

use crate::nftables::{self, DestinationState, Refused, render_for_userspace};

/// What a service port has.
#[derive(Debug)]
pub struct Port {
    /// In the table, but for the ports of its listeners.
    pub(super) rules: nftables::PortState,
    /// In the relay, unless nothing can be carried.
    pub(super) served: Option<Served>,
    /// What of its wishes cannot be met.
    pub(super) unheeded: Option<Unmet>,
}

/// What a service port has in the relay.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) name: UpstreamName,
    /// Its `here` are all of this node, the host's own addresses too.
    pub(super) upstream: Upstream,
    /// Where each destination of the table leads, in their order.
    pub(super) doors: Vec<Option<Doors>>,
}

/// Where connections to a destination are brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Doors {
    pub(super) all: Way,
    /// For pods of this node, where it is another one.
    pub(super) pods: Option<Way>,
    /// For what comes from outside, where it is another one.
    pub(super) outside: Option<Way>,
}

/// What tells the listeners of a service port apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Way {
    pub(super) pool: Pool,
    pub(super) source: Source,
}

impl Port {
    /// Says the routes of a service port. `keep_source`: endpoints see clients where they may.
    pub(super) fn render(routes: Routes, family: Family, keep_source: bool) -> Port {
        let mut rules = render_for_userspace(&routes, family);
        if routes.name.protocol == Protocol::Sctp {
            rules.destinations.iter_mut().for_each(refuse);
            let why = "userspace mode carries TCP and UDP, and no SCTP; it is refused";
            return Port {
                rules,
                served: None,
                unheeded: Some(Unmet::Port(why.to_owned())),
            };
        }
        let (scheduler, unheeded) = heed(routes.scheduling);
        let doors = routes.routes.iter();
        let doors: Vec<_> = doors.map(|route| Doors::of(route, keep_source)).collect();
        let upstream = Upstream {
            cluster: sorted(routes.cluster),
            local: sorted(routes.local),
            here: sorted(routes.hairpin),
            scheduler,
            affinity_seconds: routes.affinity_seconds,
        };
        let name = UpstreamName {
            port: routes.name,
            family,
        };
        let is_served = doors.iter().any(Option::is_some);
        Port {
            rules,
            served: is_served.then_some(Served {
                name,
                upstream,
                doors,
            }),
            unheeded,
        }
    }
}

impl Served {
    /// The listeners that are needed.
    pub(super) fn ways(&self) -> BTreeSet<Way> {
        let doors = self.doors.iter().flatten();
        doors
            .flat_map(|doors| [Some(doors.all), doors.pods, doors.outside])
            .flatten()
            .collect()
    }
}

impl Doors {
    fn of(route: &Route, keep_source: bool) -> Option<Doors> {
        let way = |verdict| match verdict {
            Verdict::Forward { pool, masquerade } => Some(Way {
                pool,
                source: match keep_source && !masquerade {
                    true => Source::Client,
                    false => Source::Node,
                },
            }),
            Verdict::Reject(_) | Verdict::Drop(_) => None,
        };
        let all = way(route.verdicts.node)?;
        let outside = way(route.verdicts.elsewhere).filter(|way| *way != all);
        let pods = way(route.verdicts.local_pod).filter(|way| *way != all);
        Some(Doors {
            all,
            // What nothing tells from what comes from outside is what comes from outside.
            pods: pods.filter(|way| outside != Some(*way)),
            outside,
        })
    }
}

/// Leaves a destination without anybody who listens.
pub(super) fn refuse(destination: &mut DestinationState) {
    if destination.service.take().is_some() {
        destination.outside = None;
        destination.refused = Some(Refused::Reject);
    }
}

/// Who chooses, and what is said if that is not who was asked for.
fn heed(asked: Option<Scheduling>) -> (Scheduler, Option<Unmet>) {
    let Some(Scheduling { scheduler, .. }) = asked else {
        return (Scheduler::default(), None);
    };
    if Scheduler::IN_USERSPACE.contains(&scheduler) {
        return (scheduler, None);
    }
    let instead = Scheduler::default();
    let known = Scheduler::IN_USERSPACE.map(Scheduler::name).join(", ");
    let why = format!("scheduler {scheduler}: userspace mode has {known}; {instead} is used");
    (instead, Some(Unmet::Scheduler(why)))
}

fn sorted(mut targets: Vec<Target>) -> Arc<[Target]> {
    targets.sort_unstable();
    targets.into()
}
