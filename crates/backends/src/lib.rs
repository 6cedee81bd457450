//! The proxy modes. Each has a State of kernel objects, a Plan of operations, and one engine
//! that renders, plans, applies and remembers.

pub mod engine;
pub mod family;
pub mod iptables;
pub mod ipvs;
pub mod leftovers;
pub mod nftables;
mod refused;
pub mod sweep;
mod unheeded;
pub mod userspace;
