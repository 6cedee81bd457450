//! nf_tables: the language ([`ruleset`], [`rule`]), and what speaks it.

pub mod rule;
pub mod ruleset;
