//! The kernel's accounting objects, in which rules of iptables mode count packets.

use std::sync::{Arc, Mutex};

use fairlead_backends::iptables::{CT_INVALID_DROPPED, LOCALHOST_ACCEPTED};
use fairlead_kernel::error::CallError;
use fairlead_kernel::nfacct::Nfacct;

use crate::metrics::{CountedPackets, ReadPackets};

/// Makes an object, unless it is there. False if the kernel knows none.
pub(super) fn ensure(name: &str) -> Result<bool, CallError> {
    let mut nfacct = Nfacct::open()?;
    let supported = nfacct.is_supported()?;
    if supported {
        nfacct.ensure(name)?;
    }
    Ok(supported)
}

/// What the objects counted, whenever somebody asks; `None` where the kernel knows none.
pub(super) fn counted() -> Result<Option<CountedPackets>, CallError> {
    let mut nfacct = Nfacct::open()?;
    if !nfacct.is_supported()? {
        return Ok(None);
    }
    let nfacct = Arc::new(Mutex::new(nfacct));
    let read = |name: &'static str| -> ReadPackets {
        let nfacct = Arc::clone(&nfacct);
        Box::new(move || {
            let mut nfacct = nfacct.lock().ok()?;
            let counts = nfacct.read(name).ok().flatten()?;
            Some(counts.packets)
        })
    };
    Ok(Some(CountedPackets {
        invalid_dropped: read(CT_INVALID_DROPPED),
        localhost_accepted: read(LOCALHOST_ACCEPTED),
    }))
}
