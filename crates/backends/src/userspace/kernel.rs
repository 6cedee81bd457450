//! The parts that the mode programs, as one: the table, the routing and this process's relay.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::ops::RangeInclusive;

use thiserror::Error;

use fairlead_core::address::Family;
use fairlead_core::api::ObjectName;
use fairlead_kernel::error::CallError;
use fairlead_kernel::nft::handle::{CommitError, Nft};
use fairlead_kernel::routing::{Routing, RoutingOp};
use fairlead_relay::handle::{ListenerAddress, Op, Refusal, Relay};

use super::installed::Installed;
use super::mode::Userspace;
use super::rebuild::Found;
use super::routing::Rerouting;
use super::starved::Survey;
use super::steps::Steps;
use crate::engine::{Cost, Kernel, SyncError};
use crate::nftables::{Findings, Nftables, Role, led_to, table, understand};
use crate::refused::list;

/// The relay, the table and the routing.
#[derive(Debug)]
pub struct Parts<R, N, P> {
    /// Listeners and endpoints.
    pub relay: R,
    /// The table.
    pub nft: N,
    /// What keeps packets with the mark on this host.
    pub routing: P,
}

/// What is said when not everything is carried out.
#[derive(Debug, Error)]
pub enum ApplyError {
    /// The table stays as it was. What follows it is not tried.
    #[error(transparent)]
    Rules(#[from] CommitError),
    /// Nothing is known of a part of it.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The rules stay as they were: they would lead where nobody listens.
    #[error("cannot {}", list(refused))]
    Refused {
        /// What was refused.
        refused: Vec<Refused>,
        /// The ports that somebody else has, if that is why for any.
        busy: BTreeSet<ListenerAddress>,
    },
}

/// An operation that was refused.
#[derive(Debug, Clone)]
pub struct Refused {
    /// Whose it is, if it is a Service's.
    pub service: Option<ObjectName>,
    /// Where somebody else listens, if that is why.
    busy: Option<ListenerAddress>,
    /// The operation.
    pub what: String,
    /// The error number (errno(3)).
    pub errno: i32,
}

impl Refused {
    fn of_relay(op: &Op, refusal: Refusal) -> Refused {
        let (upstream, what) = match op {
            Op::Listen(at, listener) => (Some(&listener.upstream), format!("listen at {at}")),
            Op::Close(at) => (None, format!("close {at}")),
            Op::SetUpstream(name, _) => (Some(name), format!("set the endpoints of {name}")),
            Op::RemoveUpstream(name) => (Some(name), format!("forget the endpoints of {name}")),
        };
        let busy = match op {
            Op::Listen(at, _) if refusal.is_in_use() => Some(*at),
            _ => None,
        };
        Refused {
            service: upstream.map(|name| name.port.service.clone()),
            busy,
            what,
            errno: refusal.errno,
        }
    }

    fn of_routing(op: RoutingOp, errno: i32) -> Refused {
        Refused {
            service: None,
            busy: None,
            what: op.to_string(),
            errno,
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Refused { what, errno, .. } = self;
        write!(f, "{what}: {}", io::Error::from_raw_os_error(*errno))
    }
}

impl ApplyError {
    fn refused(refused: Vec<Refused>) -> ApplyError {
        let busy = BTreeSet::new();
        ApplyError::Refused { refused, busy }
    }
}

impl<R: Relay, N: Nft, P: Routing> Parts<R, N, P> {
    fn relay(&mut self, ops: &[Op]) -> Vec<Refused> {
        let refusals = self.relay.apply(ops).into_iter();
        refusals
            .filter_map(|it| Some(Refused::of_relay(ops.get(it.op)?, it)))
            .collect()
    }

    /// The ports that somebody else has. Where one is found, all are looked at: to learn of them
    /// one by one would take a sync for each.
    fn busy(
        &mut self,
        refused: &[Refused],
        ports: &RangeInclusive<u16>,
    ) -> BTreeSet<ListenerAddress> {
        let found: BTreeSet<_> = refused.iter().filter_map(|refused| refused.busy).collect();
        let kinds: BTreeSet<_> = found.iter().map(|at| (at.family, at.protocol)).collect();
        let of_kind = |(family, protocol)| {
            ports.clone().map(move |port| ListenerAddress {
                family,
                protocol,
                port,
            })
        };
        let all: Vec<_> = kinds.into_iter().flat_map(of_kind).collect();
        &found | &self.relay.in_use(&all)
    }
}

/// Removes the rules and routes that are ours. False if there are none.
///
/// # Errors
/// The kernel cannot be asked, or refuses.
pub fn remove_routing(routing: &mut impl Routing) -> Result<bool, ApplyError> {
    let ops = Rerouting::removal(routing.observe()?);
    let refused = reroute(routing, &ops)?;
    match refused.is_empty() {
        true => Ok(!ops.is_empty()),
        false => Err(ApplyError::refused(refused)),
    }
}

fn reroute(routing: &mut impl Routing, ops: &[RoutingOp]) -> Result<Vec<Refused>, CallError> {
    if ops.is_empty() {
        return Ok(Vec::new());
    }
    let refusals = routing.apply(ops)?.into_iter();
    let refused = |op: &RoutingOp, errno| Refused::of_routing(*op, errno);
    Ok(refusals
        .filter_map(|it| Some(refused(ops.get(it.op)?, it.errno)))
        .collect())
}

impl<R: Relay, N: Nft, P: Routing> Kernel<Userspace> for Parts<R, N, P> {
    fn observe(&mut self, families: &[Family]) -> Result<Found, CallError> {
        let (mut tables, mut led) = (Vec::new(), BTreeMap::new());
        for family in families {
            let observed = self.nft.observe(table(*family))?;
            led.insert(*family, observed.as_ref().map(led_to).unwrap_or_default());
            tables.push((*family, understand(*family, Role::Portal, observed)));
        }
        Ok(Found {
            rules: Findings::new(tables),
            led,
            relayed: self.relay.observe(),
            routing: self.routing.observe()?,
        })
    }

    fn survey(&mut self, installed: &Installed) -> Result<Survey, CallError> {
        let busy = installed.worth_a_look();
        let still = self.relay.in_use(&busy);
        Ok(busy.into_iter().filter(|at| !still.contains(at)).collect())
    }

    fn apply(&mut self, steps: &Steps) -> Result<Cost, ApplyError> {
        let mut refused = self.relay(&steps.before_rules);
        refused.extend(reroute(&mut self.routing, &steps.routing)?);
        if !refused.is_empty() {
            let ports = steps.ports.iter();
            let busy = ports.flat_map(|ports| self.busy(&refused, ports)).collect();
            return Err(ApplyError::Refused { refused, busy });
        }
        let cost = steps.rules.commit(&mut self.nft)?;
        let refused = self.relay(&steps.after_rules);
        match refused.is_empty() {
            true => Ok(Cost {
                messages: cost.messages + steps.routing.len(),
                ..cost
            }),
            false => Err(ApplyError::refused(refused)),
        }
    }

    fn remove(&mut self) -> Result<bool, SyncError> {
        let of_rules = Kernel::<Nftables>::remove(&mut self.nft)?;
        let of_routing = remove_routing(&mut self.routing).map_err(SyncError::apply)?;
        Ok(of_rules || of_routing)
    }
}
