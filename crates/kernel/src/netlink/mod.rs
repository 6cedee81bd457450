//! Netlink (RFC 3549, linux/netlink.h): the socket, and how messages are written and read.
//!
//! Knows nothing of what is said over it; nf_tables, rtnetlink and ctnetlink are written on top.

mod builder;
mod parse;
mod pipeline;
mod socket;

pub use builder::Builder;
pub(crate) use parse::u32_at;
pub use parse::{Ack, Attribute, Attributes, Message, Messages};
pub use pipeline::{Head, Pipelined, Refused};
pub use socket::{Protocol, Request, Socket};
