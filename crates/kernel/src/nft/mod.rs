//! nf_tables: the language ([`ruleset`], [`rule`]), and what speaks it.

mod contents;
pub mod handle;
pub mod json;
pub mod rule;
pub mod ruleset;
pub mod schema;
pub mod text;
