//! The kernel's rules and routes, over rtnetlink.

use std::os::fd::{AsFd, BorrowedFd};
use std::slice;

use super::monitor::RoutingMonitor;
use super::{LocalRoute, ObservedRouting, PolicyRule, Routing, RoutingOp, RoutingRefusal, wire};
use crate::error::CallError;
use crate::netlink::{Protocol, Request, Socket};
use crate::nft::ruleset::Family;

/// The rules and routes of a network namespace, and whether someone else touched ours.
///
/// The descriptor, for poll(2), is readable when [`PolicyRouting::touched`] has something to read.
/// Every change of the host's routes wakes it.
#[derive(Debug)]
pub struct PolicyRouting {
    socket: Socket,
    monitor: RoutingMonitor,
}

impl PolicyRouting {
    /// Those of the network namespace of the calling thread. Nothing is made yet.
    pub fn open() -> Result<PolicyRouting, CallError> {
        let socket = Socket::open(Protocol::Route)?;
        // Before Linux 4.20 all routes come, and ours are picked out.
        let _ = socket.ask_strictly();
        let monitor = RoutingMonitor::open(socket.port())?;
        Ok(PolicyRouting { socket, monitor })
    }

    /// Whether someone else, or the kernel of itself, may have changed a rule or route of ours or
    /// anything in a table of ours since this was last asked.
    pub fn touched(&mut self) -> Result<bool, CallError> {
        self.monitor.drain()
    }

    /// Our rules of both families.
    fn rules(&mut self) -> Result<Vec<PolicyRule>, CallError> {
        let mut rules: Vec<PolicyRule> = self.socket.dump(
            &Request::for_all(libc::RTM_GETRULE, "RTM_GETRULE", "all rules"),
            |body| body.raw(&[0; wire::HEADER]),
            |rules: &mut Vec<_>, message| rules.extend(wire::parse_rule(message)),
        )?;
        rules.sort_unstable();
        Ok(rules)
    }

    /// Our routes of both families.
    fn routes(&mut self) -> Result<Vec<LocalRoute>, CallError> {
        let mut routes = Vec::new();
        for family in [Family::Ip, Family::Ip6] {
            let found: Vec<LocalRoute> = self.socket.dump(
                &Request::for_all(libc::RTM_GETROUTE, "RTM_GETROUTE", "local routes"),
                |body| wire::ask_for_routes(body, family),
                |routes: &mut Vec<_>, message| routes.extend(wire::parse_route(message)),
            )?;
            // Without a family the kernel tells those of the others.
            routes.extend(found.into_iter().filter(|route| route.family == family));
        }
        routes.sort_unstable();
        Ok(routes)
    }

    /// Whether an operation that was just refused is as good as done.
    fn is_done(&mut self, op: RoutingOp, errno: i32) -> Result<bool, CallError> {
        match op {
            // There is a default route, which need not be ours.
            RoutingOp::AddRoute(route) if errno == libc::EEXIST => {
                Ok(self.routes()?.contains(&route))
            }
            op => Ok(op.is_done(errno)),
        }
    }
}

impl Routing for PolicyRouting {
    fn observe(&mut self) -> Result<ObservedRouting, CallError> {
        let (rules, routes) = (self.rules()?, self.routes()?);
        let tables = rules.iter().filter_map(|rule| rule.action.table());
        self.monitor
            .watch(tables.chain(routes.iter().map(|route| route.table)));
        Ok(ObservedRouting { rules, routes })
    }

    fn apply(&mut self, ops: &[RoutingOp]) -> Result<Vec<RoutingRefusal>, CallError> {
        self.monitor.watch(ops.iter().filter_map(|op| op.table()));
        let mut refusals = Vec::new();
        // One by one, for what a refusal means is seen from what is there then. There are few.
        for (index, op) in ops.iter().enumerate() {
            let refused = self.socket.pipeline(slice::from_ref(op), wire::write)?;
            for errno in refused.refused.iter().map(|refused| refused.errno) {
                if !self.is_done(*op, errno)? {
                    refusals.push(RoutingRefusal { op: index, errno });
                }
            }
        }
        Ok(refusals)
    }
}

impl AsFd for PolicyRouting {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.monitor.as_fd()
    }
}
