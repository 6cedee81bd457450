//! Fairlead as a process on a lab's node, and the folder of manifests that it follows.
//!
//! What follows an API server instead needs `proxy` alone; `watch` is for those who look closer.

mod folder;
pub(crate) mod follow;
#[allow(dead_code, reason = "not every test asks of all modes")]
mod mode;
pub(crate) mod proxy;

pub(crate) use folder::Folder;
pub(crate) use mode::Mode;
pub(crate) use proxy::{FAIRLEAD, PATIENCE, Proxy};
