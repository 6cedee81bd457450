//! The ipvs mode.
//!
//! ```text
//!            ┌──▶ virtual and real servers ──▶ IPVS
//!  Routes ───┼──▶ addresses ─────────────────▶ the device kube-ipvs0
//!            └──▶ what IPVS cannot do ───────▶ the table of nftables mode, as a companion
//! ```
//!
//! docs/backends/ipvs.md draws the packet's path and explains it.

mod exchange;
mod frame;
mod installed;
mod kernel;
mod leaving;
mod mode;
mod owners;
mod port;
mod rebuild;
mod steps;
mod wanted;

pub use frame::Frame;
pub use installed::{Installed, Survey};
pub use kernel::{ApplyError, Object, Parts, Refused};
pub use mode::Ipvs;
pub use port::Port;
pub use rebuild::{Found, FoundServer};
pub use steps::Steps;
