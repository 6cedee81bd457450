//! nf_tables: the language ([`ruleset`], [`rule`]), and what speaks it.

mod bytes;
mod contents;
pub mod counters;
pub(crate) mod encode;
pub mod fake;
pub mod handle;
pub mod json;
pub(crate) mod jumps;
pub mod monitor;
pub(crate) mod observe;
pub mod rule;
pub mod ruleset;
pub mod schema;
pub mod socket;
pub mod text;
pub(crate) mod userdata;
pub mod watched;
pub(crate) mod wire;
