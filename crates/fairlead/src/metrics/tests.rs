//! Metrics as they are read.

// Counts are whole numbers, which floats hold as they are.
#![allow(clippy::float_cmp)]

mod exposition;
mod iptables;
mod ipvs;
mod node;
mod table;
mod traffic;
mod userspace;
mod values;

pub(crate) use exposition::Metric;
pub(crate) use table::everything;
