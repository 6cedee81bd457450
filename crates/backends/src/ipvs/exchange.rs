//! What makes of what was there what is wanted, virtual server by virtual server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use fairlead_kernel::ipvs::handle::Op;
use fairlead_kernel::ipvs::server::{RealServer, VirtualAddress};
use fairlead_kernel::link::DeviceOp;

use super::installed::{Installed, Survey};
use super::leaving::has_connections;
use super::port::Server;
use super::steps::Steps;
use super::wanted::Before;

impl Installed {
    /// Plans what makes of what was there what is wanted.
    pub(super) fn exchange_all(&mut self, before: Before, now: Instant, steps: &mut Steps) {
        for (at, was) in before.servers {
            let is = self.wanted.server(&at).cloned();
            let opens = was.as_ref().zip(is.as_ref()).is_some_and(opens);
            let ops = match opens {
                true => &mut steps.before_rules,
                false => &mut steps.after_rules,
            };
            self.exchange(at, was, is, now, ops);
        }
        for (ip, was_held) in before.ips {
            match (was_held, self.wanted.holds(&ip)) {
                (false, true) => steps.device.push(DeviceOp::Hold(ip)),
                (true, false) => steps.device.push(DeviceOp::Release(ip)),
                _ => {}
            }
        }
    }

    fn exchange(
        &mut self,
        at: VirtualAddress,
        was: Option<Server>,
        is: Option<Server>,
        now: Instant,
        ops: &mut Vec<Op>,
    ) {
        self.recount(at, was.as_ref(), is.as_ref());
        match (was, is) {
            (None, None) => {}
            (Some(_), None) => {
                self.leaving.remove_server(at);
                ops.push(Op::RemoveServer(at));
            }
            (None, Some(is)) => {
                ops.push(Op::AddServer(is.settings.at(at)));
                ops.extend(is.reals.iter().map(|real| Op::AddReal(at, serving(*real))));
            }
            (Some(was), Some(is)) => {
                if was.settings != is.settings {
                    ops.push(Op::EditServer(is.settings.at(at)));
                }
                self.exchange_reals(at, &was, &is, now, ops);
            }
        }
    }

    /// Those who come are there before others go.
    fn exchange_reals(
        &mut self,
        at: VirtualAddress,
        was: &Server,
        is: &Server,
        now: Instant,
        ops: &mut Vec<Op>,
    ) {
        if Arc::ptr_eq(&was.reals, &is.reals) {
            return;
        }
        for real in without(&is.reals, &was.reals) {
            ops.push(match self.leaving.remove(at, *real) {
                true => Op::EditReal(at, serving(*real)),
                false => Op::AddReal(at, serving(*real)),
            });
        }
        for real in without(&was.reals, &is.reals) {
            if has_connections(at.protocol) {
                self.leaving.insert(at, *real, now);
                ops.push(Op::EditReal(at, leaving(*real)));
            } else {
                ops.push(Op::RemoveReal(at, *real));
            }
        }
    }

    /// Removes what has no connection left, unless it is wanted again.
    pub(super) fn dismiss(&mut self, idle: Survey, steps: &mut Steps) {
        for (of, real) in idle {
            if self.leaving.remove(of, real) {
                steps.after_rules.push(Op::RemoveReal(of, real));
            }
        }
    }
}

/// Whether rules let in whom they kept away until then: somebody has to be there before.
fn opens((was, is): (&Server, &Server)) -> bool {
    was.reals.is_empty() || (was.closed && !is.closed)
}

/// What of the first is not in the second. Both are sorted.
fn without<'a>(
    first: &'a [SocketAddr],
    second: &'a [SocketAddr],
) -> impl Iterator<Item = &'a SocketAddr> {
    let is_there = |real: &SocketAddr| second.binary_search(real).is_ok();
    first.iter().filter(move |real| !is_there(real))
}

/// Every endpoint has the same share, as with kube-proxy.
pub(super) fn serving(address: SocketAddr) -> RealServer {
    RealServer { address, weight: 1 }
}

fn leaving(address: SocketAddr) -> RealServer {
    RealServer { address, weight: 0 }
}
