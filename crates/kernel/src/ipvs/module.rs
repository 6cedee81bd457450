//! Finds IPVS in the kernel, and has the kernel load it.
//!
//! Nothing is run for that here: the kernel runs its own modprobe (`kernel.modprobe`) outside of
//! any container, when it is asked for what a module says that it has.

use rustix::net::{AddressFamily, SocketFlags, SocketType};
use thiserror::Error;

use super::server::SchedulerName;
use super::wire;
use crate::error::CallError;
use crate::iptables::info::TableInfo;
use crate::iptables::nft::has_match;
use crate::iptables::ruleset::Family;
use crate::netlink::{Message, Protocol, Request, Socket};

/// The match of iptables whose module, xt_ipvs, needs ip_vs.
const MATCH: &str = "ipvs";

/// Why there is no socket to IPVS.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OpenError {
    /// The kernel has none, and could not load it.
    #[error(
        "the kernel has no IPVS: module ip_vs could not be loaded (modprobe ip_vs on the host, \
         or a kernel with CONFIG_IP_VS)"
    )]
    Unavailable,
    /// It has, or nobody knows.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// The number of IPVS's family of generic netlink.
///
/// A kernel that does not know the family looks for a module that says it has it, and that of
/// recent kernels does (`MODULE_ALIAS_GENL_FAMILY`). Of others it comes along with the match of
/// iptables.
pub(super) fn find_or_load(socket: &mut Socket) -> Result<u16, OpenError> {
    if let Some(family) = find(socket)? {
        return Ok(family);
    }
    load_by_match();
    find(socket)?.ok_or(OpenError::Unavailable)
}

/// Makes the kernel load ip_vs by asking for the match of iptables that needs it: of nf_tables,
/// and of the legacy tables where they are in use. What they answer says nothing of ip_vs.
pub fn load_by_match() {
    let _ = Socket::open(Protocol::Netfilter).and_then(|mut nft| has_match(&mut nft, MATCH));
    let _ = TableInfo::open(Family::Ip).and_then(|legacy| legacy.has_match(MATCH));
}

/// Makes the kernel load a scheduler, if it can, before IPVS is asked for it.
///
/// IPVS loads one by itself while it holds a lock of generic netlink that taking a network namespace
/// down needs (`ip_vs_scheduler_get`); and the modules of lblc and lblcr wait for namespaces that are
/// being taken down (`register_pernet_subsys`). Linux 6.1 was seen to wait for itself so, for ever.
/// Asking for a device of the module's name loads it without any lock (`dev_load` of
/// net/core/dev_ioctl.c), where `CAP_SYS_MODULE` is given.
pub(super) fn load_scheduler(name: SchedulerName) {
    let (family, kind) = (AddressFamily::INET, SocketType::DGRAM);
    if let Ok(socket) = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None) {
        // There is no such device.
        let _ = rustix::net::netdevice::name_to_index(&socket, &format!("ip_vs_{name}"));
    }
}

fn find(socket: &mut Socket) -> Result<Option<u16>, CallError> {
    let request = Request {
        kind: libc::GENL_ID_CTRL as u16,
        flags: 0,
        call: "CTRL_CMD_GETFAMILY",
        object: wire::FAMILY,
    };
    let answer = socket.query(
        &request,
        |body| wire::family_question(body, wire::FAMILY),
        |family: &mut Option<u16>, message: &Message<'_>| {
            *family = family.or(wire::family_number(message));
        },
    );
    match answer {
        Err(error) if error.errno == libc::ENOENT => Ok(None),
        answer => answer,
    }
}
