//! Whether the kernel has a scheduler.

use std::net::{IpAddr, Ipv4Addr};

use super::handle::{Applied, Ipvs, Op};
use super::server::{Flags, Protocol, SchedulerName, VirtualAddress, VirtualServer};
use crate::error::CallError;

/// What is added for the test, and removed again: nobody's address (RFC 5737), the one that
/// kube-proxy uses for the same.
const PROBE: VirtualAddress = VirtualAddress {
    address: IpAddr::V4(Ipv4Addr::new(198, 51, 100, 0)),
    protocol: Protocol::Tcp,
    port: 20000,
};

/// Whether the kernel has a scheduler of this name, or can load its module.
///
/// # Errors
/// What [`Ipvs::servers`] and [`Ipvs::apply`] fail with; the refusal of a virtual server for
/// another reason.
pub fn has_scheduler(ipvs: &mut impl Ipvs, name: SchedulerName) -> Result<bool, CallError> {
    let servers = ipvs.servers()?;
    let others = servers.iter().filter(|server| server.address != PROBE);
    if others.into_iter().any(|server| server.scheduler == name) {
        return Ok(true);
    }
    let probe = VirtualServer {
        address: PROBE,
        scheduler: name,
        flags: Flags::default(),
        persistence: None,
    };
    // The first is for what somebody left who was stopped in the middle.
    let remove = Op::RemoveServer(PROBE);
    let applied = ipvs.apply(&[remove, Op::AddServer(probe), remove])?;
    match refusal(&applied) {
        None => Ok(true),
        Some(libc::ENOENT) => Ok(false),
        Some(errno) => Err(CallError {
            call: "IPVS_CMD_NEW_SERVICE",
            object: format!("{PROBE} with scheduler {name}"),
            errno,
        }),
    }
}

fn refusal(applied: &Applied) -> Option<i32> {
    let refusal = applied.refused.iter().find(|refusal| refusal.op == 1)?;
    Some(refusal.errno)
}
