//! The userspace mode.
//!
//! ```text
//!            ┌──▶ endpoints, listeners ──▶ the relay of this process
//!  Routes ───┼──▶ who is brought where ──▶ the table of nftables mode, as a portal
//!            └──▶ every address is here ─▶ a routing table for what has the mark
//! ```
//!
//! docs/backends/userspace.md draws the packet's path and explains it.

mod frame;
mod installed;
mod kernel;
mod mode;
mod port;
mod ports;
mod rebuild;
mod relayed;
mod routing;
mod starved;
mod steps;

pub use frame::Frame;
pub use installed::Installed;
pub use kernel::{ApplyError, Parts, Refused, remove_routing};
pub use mode::Userspace;
pub use port::Port;
pub use rebuild::Found;
pub use starved::Survey;
pub use steps::Steps;
