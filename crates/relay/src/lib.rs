//! The data path of userspace mode: listeners accept what rules bring to them, choose an endpoint,
//! try another if it does not answer, and carry bytes until both sides are done.
//!
//! ```text
//!  client ──▶ listener ──▶ Balancer ──▶ dial, and dial again ──▶ endpoint
//!                                             │
//!               client ◀════ splice ════▶ endpoint
//! ```
//!
//! Which endpoints may serve whom is decided elsewhere: a listener has one pool of one upstream.

mod counters;
pub mod counts;
mod entrance;
pub mod fake;
pub mod handle;
mod places;
mod ports;
mod relay;
mod rules;
pub mod settings;
mod tcp;
mod udp;
mod upstreams;
mod workers;

pub use relay::{Drained, RelayHandle, SocketRelay};
