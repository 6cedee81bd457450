//! Fairlead's handles to the kernel. Nothing here has heard of a Service.
//!
//! The only crate with `unsafe`, netlink and, where a mode cannot do without, exec. Beside each
//! handle stands an in-memory fake that is as strict as the kernel.

pub mod conntrack;
pub mod cpus;
pub mod descriptors;
pub mod error;
pub mod fault;
pub mod features;
pub mod ipset;
pub mod iptables;
pub mod ipvs;
pub mod link;
pub mod memory;
pub mod netlink;
pub mod netns;
pub mod nfacct;
pub mod nft;
pub mod routing;
pub mod sysctl;
pub mod transparent;
