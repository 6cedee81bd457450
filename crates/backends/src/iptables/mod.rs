//! The iptables mode: rule for rule what kube-proxy programs.
//!
//! ```text
//!  Routes ──PortState──▶ chains and rules ──installed──▶ Op ──▶ iptables
//!                              ▲                           │
//!                              └───────── observe ◀────────┘
//! ```
//!
//! docs/backends/iptables.md draws the chains and explains them.

mod advance;
mod chains;
mod entries;
mod frame;
mod hooks;
mod installed;
mod kept;
mod mode;
mod names;
mod plan;
mod port;
mod rebuild;
mod removal;
mod shared;

pub use chains::ChainRules;
pub use frame::{CT_INVALID_DROPPED, Facts, Frame, LOCALHOST_ACCEPTED};
pub use installed::{Changes, Installed};
pub use mode::Iptables;
pub use names::{PortChain, endpoint_chain, is_kube_proxys, is_ours, port_chain};
pub use port::{Group, PortState};
pub use rebuild::Found;
pub use removal::remove;
pub use shared::Shared;
