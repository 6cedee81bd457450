//! Where objects come from, as [`Change`](fairlead_core::api::Change)s.
//!
//! [`wire`] holds the shapes of the Kubernetes API, whoever sends them; [`manifests`] reads them
//! from files, and [`cluster`] hears of them from an API server. [`file`](mod@file) follows one file of any kind.

pub mod cluster;
pub mod file;
mod flaw;
pub mod manifests;
pub mod wire;
