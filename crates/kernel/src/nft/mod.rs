//! nf_tables: the language ([`ruleset`], [`rule`]), and what speaks it.

mod bytes;
mod contents;
pub mod counters;
mod encode;
pub mod fake;
pub mod handle;
pub mod json;
mod jumps;
pub mod monitor;
mod observe;
pub mod rule;
pub mod ruleset;
pub mod schema;
pub mod socket;
pub mod text;
mod userdata;
pub mod watched;
mod wire;
