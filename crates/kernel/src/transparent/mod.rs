//! Sockets of a transparent proxy: they accept what rules bring to them, whatever address it was
//! sent to, and may speak from an address that is not this host's
//! (Documentation/networking/tproxy.rst).

mod batch;
mod option;
pub mod pipe;
mod poll;
pub mod tcp;
pub mod udp;

pub use batch::{Batch, Datagram};
pub use option::Keepalive;
pub use poll::Poll;
