//! Connections: accepted, dialled, carried.

mod accept;
mod connection;
mod dial;
mod half;
mod scratch;
mod socket;

pub(crate) use accept::{Listening, listen};
