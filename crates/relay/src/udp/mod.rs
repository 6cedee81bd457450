//! Datagrams.

use std::sync::Arc;

use fairlead_kernel::error::CallError;

use crate::entrance::Entrance;

/// A listener for datagrams. It listens no more when this goes.
#[derive(Debug)]
pub(crate) struct Listening;

/// Listens at an entrance.
pub(crate) fn listen(entrance: &Arc<Entrance>) -> Result<Listening, CallError> {
    Err(CallError {
        call: "socket",
        object: entrance.address.to_string(),
        errno: libc::EPROTONOSUPPORT,
    })
}
