//! The kernel's IPVS, over generic netlink.

use std::collections::BTreeSet;

use super::handle::{Applied, Ipvs, Op, Refusal};
use super::module::{self, OpenError};
use super::server::{ObservedReal, SchedulerName, Timeouts, VirtualAddress, VirtualServer};
use super::wire;
use crate::error::CallError;
use crate::netlink::{Builder, Message, Protocol, Refused, Request, Socket};

/// A socket to the IPVS of the network namespace it was opened in.
#[derive(Debug)]
pub struct IpvsSocket {
    socket: Socket,
    /// What the kernel calls IPVS until its module is loaded anew.
    family: u16,
    /// The schedulers that the kernel was made to load, if it can.
    asked_for: BTreeSet<SchedulerName>,
}

impl IpvsSocket {
    /// Opens a socket and asks IPVS a first question over it. If the kernel has no IPVS, it is
    /// made to load it.
    ///
    /// # Errors
    /// [`OpenError::Unavailable`] when it cannot; `EPERM` without CAP_NET_ADMIN in the first user
    /// namespace (IPVS's commands have `GENL_ADMIN_PERM`).
    pub fn open() -> Result<IpvsSocket, OpenError> {
        let mut socket = Socket::open(Protocol::Generic)?;
        let family = module::find_or_load(&mut socket)?;
        let mut ipvs = IpvsSocket {
            socket,
            family,
            asked_for: BTreeSet::new(),
        };
        let request = ipvs.request("IPVS_CMD_GET_INFO");
        let body = |body: &mut Builder| wire::header(body, wire::IPVS_CMD_GET_INFO);
        ipvs.socket.request(&request, body)?;
        Ok(ipvs)
    }

    /// Those that are asked for and were not before.
    fn load_schedulers(&mut self, ops: &[Op]) {
        for op in ops {
            if let Op::AddServer(server) | Op::EditServer(server) = op
                && self.asked_for.insert(server.scheduler)
            {
                module::load_scheduler(server.scheduler);
            }
        }
    }

    fn request(&self, call: &'static str) -> Request<'static> {
        Request {
            kind: self.family,
            flags: 0,
            call,
            object: wire::FAMILY,
        }
    }
}

impl Ipvs for IpvsSocket {
    fn apply(&mut self, ops: &[Op]) -> Result<Applied, CallError> {
        self.load_schedulers(ops);
        let family = self.family;
        let sent = self.socket.pipeline(ops, |builder, head, op| {
            let body = |body: &mut Builder| wire::operation(body, op);
            builder.message(family, head.flags, head.sequence, body);
        })?;
        let refused = sent.refused.into_iter();
        let refused: Vec<Refusal> = refused
            .map(|Refused { index, errno }| Refusal { op: index, errno })
            .collect();
        for refusal in &refused {
            // It may come later.
            if let Some(missing) = ops[refusal.op].missing_scheduler(refusal.errno) {
                self.asked_for.remove(&missing);
            }
        }
        if refused.iter().any(|refusal| refusal.errno == libc::EPERM) {
            return Err(not_permitted());
        }
        Ok(Applied {
            messages: ops.len(),
            bytes: sent.bytes,
            refused,
        })
    }

    fn servers(&mut self) -> Result<Vec<VirtualServer>, CallError> {
        let request = self.request("IPVS_CMD_GET_SERVICE");
        self.socket.dump(
            &request,
            |body| wire::header(body, wire::IPVS_CMD_GET_SERVICE),
            |servers: &mut Vec<VirtualServer>, message: &Message<'_>| {
                servers.extend(wire::read_server(message));
            },
        )
    }

    fn reals(&mut self, of: VirtualAddress) -> Result<Vec<ObservedReal>, CallError> {
        let request = self.request("IPVS_CMD_GET_DEST");
        self.socket.dump(
            &request,
            |body| wire::command(body, wire::IPVS_CMD_GET_DEST, of),
            |reals: &mut Vec<ObservedReal>, message: &Message<'_>| {
                reals.extend(wire::read_real(message, of));
            },
        )
    }

    fn set_timeouts(&mut self, timeouts: Timeouts) -> Result<(), CallError> {
        let request = self.request("IPVS_CMD_SET_CONFIG");
        self.socket
            .request(&request, |body| wire::timeouts(body, timeouts))
    }
}

/// What the kernel says of each operation, when it has looked at none.
fn not_permitted() -> CallError {
    CallError {
        call: "IPVS_CMD_NEW_SERVICE",
        object: wire::FAMILY.to_owned(),
        errno: libc::EPERM,
    }
}
