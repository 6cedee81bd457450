//! Which operations a relay refuses whatever the system says, the real one as the fake.

use fairlead_core::address::Protocol;

use crate::handle::{ListenerAddress, Op, Relayed, UpstreamName};

/// # Errors
/// The errno of the refusal.
pub(crate) fn check(relayed: &Relayed, op: &Op) -> Result<(), i32> {
    match op {
        Op::SetUpstream(..) => Ok(()),
        Op::RemoveUpstream(name) => {
            is_known(relayed, name)?;
            let mut listeners = relayed.listeners.values();
            match listeners.any(|listener| listener.upstream == *name) {
                true => Err(libc::EBUSY),
                false => Ok(()),
            }
        }
        Op::Listen(address, listener) => {
            can_listen(*address)?;
            is_known(relayed, &listener.upstream)?;
            match listener.upstream.family == address.family {
                true => Ok(()),
                false => Err(libc::EAFNOSUPPORT),
            }
        }
        Op::Close(address) => match relayed.listeners.contains_key(address) {
            true => Ok(()),
            false => Err(libc::ENOENT),
        },
    }
}

fn is_known(relayed: &Relayed, name: &UpstreamName) -> Result<(), i32> {
    match relayed.upstreams.contains_key(name) {
        true => Ok(()),
        false => Err(libc::ENOENT),
    }
}

fn can_listen(address: ListenerAddress) -> Result<(), i32> {
    match address.protocol {
        Protocol::Sctp => Err(libc::EPROTONOSUPPORT),
        // The system would choose one, which nobody knows.
        _ if address.port == 0 => Err(libc::EINVAL),
        Protocol::Tcp | Protocol::Udp => Ok(()),
    }
}

/// What an operation that was carried out changes.
pub(crate) fn note(relayed: &mut Relayed, op: &Op) {
    match op {
        Op::SetUpstream(name, upstream) => {
            relayed.upstreams.insert(name.clone(), upstream.clone());
        }
        Op::RemoveUpstream(name) => {
            relayed.upstreams.remove(name);
        }
        Op::Listen(address, listener) => {
            relayed.listeners.insert(*address, listener.clone());
        }
        Op::Close(address) => {
            relayed.listeners.remove(address);
        }
    }
}
