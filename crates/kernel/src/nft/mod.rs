//! nf_tables: the language ([`ruleset`], [`rule`]), and what speaks it.

pub mod handle;
pub mod rule;
pub mod ruleset;
