//! IPVS, the kernel's load balancer, over generic netlink (linux/ip_vs.h; the source is
//! net/netfilter/ipvs/ip_vs_ctl.c).
//!
//! A virtual server is what clients address; its real servers are who answers.

pub mod fake;
pub mod handle;
pub mod module;
pub mod scheduler;
pub mod server;
pub mod socket;
pub mod text;
pub mod watched;
mod wire;
