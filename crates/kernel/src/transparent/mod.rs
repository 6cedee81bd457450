//! Sockets of a transparent proxy: they accept what rules bring to them, whatever address it was
//! sent to, and may speak from an address that is not this host's
//! (Documentation/networking/tproxy.rst).

mod option;
pub mod pipe;
pub mod tcp;

pub use option::Keepalive;
