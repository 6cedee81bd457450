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

pub mod counts;
pub mod fake;
pub mod handle;
mod rules;
