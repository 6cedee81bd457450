//! The nftables mode.
//!
//! ```text
//!  Routes ──render──▶ PortState ──rows──▶ elements ──changes──▶ Op ──▶ kernel
//!                        ▲                                              │
//!                        └────────────── observe ◀──────────────────────┘
//! ```
//!
//! docs/backends/nftables.md draws the table and explains it.

mod chains;
mod changes;
mod counting;
mod frame;
mod installed;
mod layout;
mod mode;
mod observe;
mod plan;
mod render;
mod rows;
pub(crate) mod schema;
mod slots;
mod state;
mod traffic;

pub use counting::{Direction, Reason};
pub use frame::Frame;
pub use installed::{Changes, Installed};
pub use mode::{Findings, Nftables};
pub use observe::{Elements, Finding, Found, led_to, understand};
pub use plan::Transactions;
pub use render::{render, render_for_ipvs, render_for_userspace};
pub use schema::{Role, portal_mark, table};
pub use state::{DestinationState, Group, PortState, Portals, Refused};
pub use traffic::{Totals, Traffic};
