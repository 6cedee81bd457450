//! Counters by name, which rules may add to (`-m nfacct`).
//!
//! linux/netfilter/nfnetlink_acct.h.

use fairlead_kernel::error::CallError;
use fairlead_kernel::netlink::{Builder, Protocol, Request, Socket};
use nix::libc;

const NFNL_SUBSYS_ACCT: u8 = 7;
const NFNL_MSG_ACCT_NEW: u8 = 0;
const NFNL_MSG_ACCT_GET: u8 = 1;
const NFACCT_NAME: u16 = 1;

/// A name that no counter has.
const NO_COUNTER: &str = "fairlead-lab-asks";

/// Whether the kernel counts by name, in the network namespace of the calling thread.
pub(super) fn is_available() -> Result<bool, CallError> {
    match ask(NFNL_MSG_ACCT_GET, "NFNL_MSG_ACCT_GET", 0, NO_COUNTER) {
        Err(error) if error.errno == libc::ENOENT => Ok(true),
        // `nfnetlink_rcv_msg` says so for a subsystem that nothing registered.
        Err(error) if [libc::EINVAL, libc::EOPNOTSUPP].contains(&error.errno) => Ok(false),
        answered => answered.map(|()| true),
    }
}

/// Makes a counter.
pub(super) fn add(name: &str) -> Result<(), CallError> {
    let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    ask(NFNL_MSG_ACCT_NEW, "NFNL_MSG_ACCT_NEW", flags, name)
}

fn ask(message: u8, call: &'static str, flags: i32, name: &str) -> Result<(), CallError> {
    let nfgenmsg = [libc::AF_UNSPEC as u8, libc::NFNETLINK_V0 as u8, 0, 0];
    let request = Request {
        kind: u16::from_be_bytes([NFNL_SUBSYS_ACCT, message]),
        flags,
        call,
        object: name,
    };
    Socket::open(Protocol::Netfilter)?.request(&request, |body: &mut Builder| {
        body.raw(&nfgenmsg);
        body.string(NFACCT_NAME, name);
    })
}
