//! The deciding half of Fairlead, pure: no sockets, no clock, no environment, no `unsafe`.
//!
//! ```text
//!  Change ──▶ model ──ServicePort──▶ route() ──▶ Routes
//! ```
//!
//! [`api`] holds the Kubernetes objects, reduced to the fields that decide something and
//! otherwise as they were written; [`model`] gives them meaning, merges and keeps them;
//! [`route`] is the one decision: which endpoints serve which traffic, and why not.

pub mod address;
pub mod api;
pub mod balance;
pub mod conntrack;
pub mod model;
pub mod parameters;
pub mod report;
pub mod route;
pub mod schedule;
pub mod scheduling;
pub mod settings;
pub mod start;
pub mod unrest;
pub mod unserved;
