//! What a lab needs to be allowed to do, and how an ordinary user gets it.

use fairlead_kernel::netns::{self, Netns};

use crate::LabError;

/// Makes sure that this process may build labs: a process that may not make network namespaces
/// becomes root in private namespaces of its own, where it may.
///
/// To be called at the start of `main`, as only a process with a single thread can do the latter.
/// The error says what is needed.
pub fn obtain() -> Result<(), LabError> {
    if Netns::anonymous().is_ok() {
        return Ok(());
    }
    netns::become_root_in_private().map_err(|cause| LabError::Privilege {
        cause,
        hint: netns::USER_NAMESPACE_HINT,
    })
}
