//! Where objects come from, as [`Change`](fairlead_core::api::Change)s.
//!
//! [`wire`] holds the shapes of the Kubernetes API, whoever sends them; [`manifests`] reads them
//! from files.

pub mod manifests;
pub mod wire;
