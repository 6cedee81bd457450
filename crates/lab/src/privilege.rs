//! What a lab needs to be allowed to do, and how an ordinary user gets it.

use std::process;

use fairlead_kernel::netns::{self, NamedNetns};

use crate::LabError;
use crate::network::PREFIX;

/// Makes sure that this process may build labs: one that may not make namespaces and give them
/// names becomes root in private namespaces of its own, where it may.
///
/// To be called at the start of `main`, as only a process with a single thread can do the latter.
/// The error says what is needed.
pub fn obtain() -> Result<(), LabError> {
    let attempt = format!("{PREFIX}{}-attempt", process::id());
    if NamedNetns::create(&attempt).is_ok() {
        return Ok(());
    }
    netns::become_root_in_private().map_err(|cause| LabError::Privilege {
        cause,
        hint: netns::USER_NAMESPACE_HINT,
    })
}
